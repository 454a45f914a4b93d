"""Image files within a Parquet file, to be read where they are needed: a process gets only their place."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq

__all__ = ["StoredImages"]

_BATCH_ROWS = 16


@dataclass(frozen=True, slots=True)
class StoredImages:
    """The image files of a row group, in order; a few are in memory at a time.

    Attributes:
        path: A local Parquet file.
        row_group: Number of the group.
        column: Column of the files, a struct with their ``bytes``.
    """

    path: Path
    row_group: int
    column: str

    def __iter__(self) -> Iterator[bytes]:
        with pq.ParquetFile(self.path, memory_map=True) as file:
            parts = [f"{self.column}.bytes"]
            for batch in file.iter_batches(_BATCH_ROWS, row_groups=[self.row_group], columns=parts, use_threads=False):
                yield from batch.column(0).field("bytes").to_pylist()
