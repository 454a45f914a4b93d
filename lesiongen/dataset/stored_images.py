"""A dataset's image files, to be read by other processes where they lie."""

from collections import deque
from collections.abc import Collection, Iterator
from contextlib import ExitStack
from types import TracebackType
from typing import Self

import pyarrow.parquet as pq

from lesiongen.dataset.reader import Dataset
from lesiongen.dataset.shard_reading import shard_errors
from lesiongen.imaging.stored import StoredImages

__all__ = ["DatasetImages"]


class DatasetImages:
    """The images of a dataset by row groups, in the order of its samples; used as a context manager.

    A shard that was copied from S3 stays on the local disk until `advance` was called for each of its groups.

    Args:
        dataset: Where they are.
        groups: Numbers of the row groups that are wanted (`Dataset.row_groups`); by default all.
    """

    def __init__(self, dataset: Dataset, groups: Collection[int] | None = None) -> None:
        self._dataset = dataset
        self._groups = groups
        self._shards: deque[tuple[ExitStack, int]] = deque()
        self._finished = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        while self._shards:
            self._shards.popleft()[0].close()

    def __iter__(self) -> Iterator[StoredImages]:
        """Yields the images of each row group; every shard is checked against its digest first, a wanted one or not.

        Raises:
            DataError: A shard is not the one that was published.
        """
        first = 0
        for shard in self._dataset.manifest.shards_of(None):
            with ExitStack() as held:
                path = held.enter_context(self._dataset.fetched(shard))
                with shard_errors(self._dataset.uri, shard):
                    groups = pq.read_metadata(path).num_row_groups
                wanted = [each for each in range(groups) if self._groups is None or first + each in self._groups]
                first += groups
                if wanted:
                    self._shards.append((held.pop_all(), len(wanted)))
            yield from (StoredImages(path, group, "image") for group in wanted)

    def advance(self) -> None:
        """Says that the next row group, in order, is no longer needed."""
        self._finished += 1
        held, groups = self._shards[0]
        if self._finished == groups:
            held.close()
            self._shards.popleft()
            self._finished = 0
