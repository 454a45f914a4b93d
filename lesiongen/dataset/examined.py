"""What the images of datasets are and what their pictures look like."""

from collections.abc import Collection, Generator, Sequence
from contextlib import closing

import numpy as np
import pandas as pd

from lesiongen.dataset.examinations import KeptExaminations, kept_examinations
from lesiongen.dataset.reader import Dataset
from lesiongen.dataset.stored_images import DatasetImages
from lesiongen.imaging import FingerprintFile
from lesiongen.imaging.examination import ExaminationLog, Examinations, examine_all
from lesiongen.parallel import SMALL, in_processes
from lesiongen.progress import progress

__all__ = ["examined_images"]


def examined_images(datasets: Sequence[Dataset], *, doing: str) -> tuple[pd.DataFrame, FingerprintFile]:
    """Returns what is looked up in every image: what is kept with a dataset is read, else its images are decoded.

    That is done on all cores unless a dataset is small. Every shard is checked against its digest.

    Args:
        datasets: One after another.
        doing: What the progress is called.

    Returns:
        A row for each sample, in order, with the columns of `EXAMINED`; and the fingerprints of those that decode.

    Raises:
        DataError: A shard, or what is kept beside it, is not the one that was published.
    """
    log = ExaminationLog()
    with progress(doing, total=sum(map(len, datasets)), unit="images") as bar:
        for dataset in datasets:
            with (
                kept_examinations(dataset) as kept,
                closing(_decoded(dataset) if kept is None else _with_kept(dataset, kept)) as parts,
            ):
                for found in parts:
                    log.extend(found)
                    bar.advance(len(found))
    return log.table(), log.prints


def _decoded(dataset: Dataset, groups: Collection[int] | None = None, share: float = 1.0) -> Generator[Examinations]:
    """Decodes the images of some row groups, a share of the dataset, or of all; checks every shard."""
    size = share * sum(shard.bytes for shard in dataset.manifest.shards)
    with DatasetImages(dataset, groups) as images:
        for found in in_processes(examine_all, images, processes=1 if size < SMALL else None):
            images.advance()
            yield found


def _with_kept(dataset: Dataset, kept: KeptExaminations) -> Generator[Examinations]:
    """Takes what is kept; row groups with an image of which nothing is kept are decoded."""
    places = kept.places(dataset.metadata(["image_id"])["image_id"].tolist())
    groups = np.split(places, np.flatnonzero(np.diff(dataset.row_groups())) + 1)
    lacking = {number: len(rows) for number, rows in enumerate(groups) if (rows < 0).any()}
    with closing(_decoded(dataset, lacking, sum(lacking.values()) / len(places))) as decoded:
        for number, rows in enumerate(groups):
            yield next(decoded) if number in lacking else kept.at(rows)
        yield from decoded  # no more of them, but every shard is checked by then
