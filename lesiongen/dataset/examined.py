"""What the images of datasets are and what their images look like."""

from collections.abc import Collection, Generator, Sequence
from contextlib import closing

import numpy as np
import pandas as pd
from numpy.typing import NDArray

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
        A row for each sample, in order, with the columns of `EXAMINED`, and ``from_kept``: whether they were read and
        not decoded for; and the fingerprints of those that decode.

    Raises:
        DataError: A shard, or what is kept beside it, is not the one that was published.
    """
    log, from_kept = ExaminationLog(), [np.zeros(0, dtype=np.bool_)]
    with progress(doing, total=sum(map(len, datasets)), unit="images") as bar:
        for dataset in datasets:
            with (
                kept_examinations(dataset) as kept,
                closing(_decoded(dataset) if kept is None else _with_kept(dataset, kept)) as parts,
            ):
                for found, is_kept in parts:
                    log.extend(found)
                    from_kept.append(np.full(len(found), is_kept))
                    bar.advance(len(found))
    return log.table().assign(from_kept=np.concatenate(from_kept)), log.prints


_Found = tuple[Examinations, bool]
"""What was looked up in some images, and whether it was kept."""


def _decoded(dataset: Dataset, groups: Collection[int] | None = None, share: float = 1.0) -> Generator[_Found]:
    """Decodes the images of some row groups, a share of the dataset, or of all; checks every shard."""
    size = share * sum(shard.bytes for shard in dataset.manifest.shards)
    with DatasetImages(dataset, groups) as images:
        for found in in_processes(examine_all, images, processes=1 if size < SMALL else None):
            images.advance()
            yield found, False


def _with_kept(dataset: Dataset, kept: KeptExaminations) -> Generator[_Found]:
    """Takes what is kept; row groups with an image of which nothing is kept are decoded."""
    places = kept.places(dataset.metadata(["image_id"])["image_id"].tolist())
    groups = _by_group(dataset, places)
    lacking = {number: len(rows) for number, rows in groups.items() if (rows < 0).any()}
    with closing(_decoded(dataset, lacking, sum(lacking.values()) / max(len(places), 1))) as decoded:
        for number, rows in groups.items():
            yield next(decoded) if number in lacking else (kept.at(rows), True)
        yield from decoded  # no more of them, but every shard is checked by then


def _by_group(dataset: Dataset, places: NDArray[np.int64]) -> dict[int, NDArray[np.int64]]:
    """Returns the places of the rows of each row group that has any: other programs also write empty ones."""
    numbers = dataset.row_groups()
    starts = np.flatnonzero(np.diff(numbers, prepend=-1))
    ends = [*starts[1:], len(places)]
    return {int(numbers[start]): places[start:end] for start, end in zip(starts, ends, strict=False)}
