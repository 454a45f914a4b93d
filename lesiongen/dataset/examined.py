"""What the images of datasets are and what their pictures look like."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lesiongen.dataset.reader import Dataset
from lesiongen.dataset.stored_images import DatasetImages
from lesiongen.imaging import FingerprintFile
from lesiongen.imaging.examination import EXAMINED, examine_all
from lesiongen.parallel import in_processes
from lesiongen.progress import progress

__all__ = ["examined_images"]

SMALL = 8 << 20
"""Bytes of a dataset that one process has examined before others have started."""


def examined_images(datasets: Sequence[Dataset], *, doing: str) -> tuple[pd.DataFrame, FingerprintFile]:
    """Decodes and examines every image, on all cores unless a dataset is small.

    Args:
        datasets: One after another.
        doing: What the progress is called.

    Returns:
        A row for each sample, in order, with the columns of `EXAMINED`; and the fingerprints of those that decode.

    Raises:
        DataError: A shard is not the one that was published.
    """
    parts: list[dict[str, NDArray[Any]]] = [examine_all([]).columns]
    prints = FingerprintFile()
    with progress(doing, total=sum(map(len, datasets)), unit="images") as bar:
        for dataset in datasets:
            size = sum(shard.bytes for shard in dataset.manifest.shards)
            with DatasetImages(dataset) as images:
                for found in in_processes(examine_all, images, processes=1 if size < SMALL else None):
                    images.advance()
                    prints.extend(found.fingerprints)
                    parts.append(found.columns)
                    bar.advance(len(found))
    return pd.DataFrame({name: np.concatenate([part[name] for part in parts]) for name in EXAMINED}), prints
