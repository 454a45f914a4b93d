"""Reading a dataset: metadata without pixels, samples as a stream."""

from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from lesiongen.dataset.manifest import DatasetManifest, Shard, read_manifest
from lesiongen.dataset.schema import SCHEMA, Sample, sample_from_row
from lesiongen.dataset.shard_reading import checked, opened_shard, shard_errors
from lesiongen.errors import DataError, UsageError
from lesiongen.references import DatasetReference
from lesiongen.storage import LocalStorage, open_storage, path_digest

__all__ = ["Dataset"]

_BATCH_ROWS = 64
_HASHED_AT_ONCE = 2
_METADATA_COLUMNS = tuple(name for name in SCHEMA.names if name != "image")


class Dataset:
    """A published dataset, opened by its manifest; only the shards that the manifest lists are read."""

    def __init__(self, uri: str, manifest: DatasetManifest) -> None:
        self.uri = uri
        self.manifest = manifest
        self._storage = open_storage(uri)
        self._hashing: dict[str, Future[str]] = {}

    @classmethod
    def open(cls, uri: str) -> "Dataset":
        """Opens the dataset of a folder or an ``s3://`` prefix.

        Raises:
            UsageError: The address holds no dataset.
            StorageError: It cannot be reached.
            DataError: Its manifest is damaged or of a later schema version.
        """
        storage = open_storage(uri)
        return cls(storage.uri, read_manifest(storage))

    def __len__(self) -> int:
        return self.manifest.rows

    def reference(self) -> DatasetReference:
        """Returns the reference that steps exchange."""
        return DatasetReference(
            uri=self.uri,
            version=self.manifest.version,
            rows=self.manifest.rows,
            splits=self.manifest.splits,
            classes=self.manifest.classes,
        )

    def metadata(self, columns: Sequence[str] | None = None, split: str | None = None) -> pd.DataFrame:
        """Returns the columns other than the image, one row for each sample, in the order of `samples`.

        Only footers and the asked columns are read, no pixel is transferred; what is read is checked.

        Raises:
            UsageError: A column does not exist.
            DataError: A shard is damaged, or not the one that was published.
        """
        names = list(_METADATA_COLUMNS if columns is None else columns)
        if unknown := sorted(set(names) - set(_METADATA_COLUMNS)):
            raise UsageError(f"Unknown metadata column {unknown[0]!r}", hint=f"Known: {', '.join(_METADATA_COLUMNS)}.")
        tables = [self._read_columns(shard, names) for shard in self.manifest.shards_of(split)]
        empty = pa.schema([SCHEMA.field(name) for name in names]).empty_table()
        return pa.concat_tables([empty, *tables]).to_pandas(strings_to_categorical=False)

    def _read_columns(self, shard: Shard, names: Sequence[str]) -> pa.Table:
        with opened_shard(self._storage, shard) as file:
            return checked(file.read(columns=list(names)), shard.rows, names).replace_schema_metadata(None)

    def row_groups(self) -> NDArray[np.int32]:
        """Numbers the row group that stores each row, int32 [rows] in the order of `metadata`; reads footers only."""
        counts: list[int] = []
        for shard in self.manifest.shards_of(None):
            with opened_shard(self._storage, shard) as file:
                counts += [file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)]
        return np.repeat(np.arange(len(counts), dtype=np.int32), counts)

    def select(self, image_ids: Collection[str]) -> Iterator[Sample]:
        """Reads chosen samples, in the order of `samples`; of the others' pixels only those in the same row group.

        Images that are not in the dataset are left out. What is read is checked, the rest of a shard is not.

        Raises:
            DataError: A shard is damaged, or not the one that was published.
        """
        wanted = pa.array(sorted(image_ids), pa.string())
        for shard in self.manifest.shards_of(None) if len(wanted) else ():
            with opened_shard(self._storage, shard) as file:
                ids = checked(file.read(columns=["image_id"]), shard.rows, ["image_id"])
                chosen = pc.is_in(ids["image_id"], wanted).combine_chunks()
                first = 0
                for group in range(file.num_row_groups):
                    count = file.metadata.row_group(group).num_rows
                    mask = chosen.slice(first, count)
                    first += count
                    if mask.true_count:
                        rows = checked(file.read_row_group(group), count, SCHEMA.names)
                        yield from map(sample_from_row, rows.filter(mask).to_pylist())

    def samples(self, split: str | None = None, *, rows: range | None = None) -> Iterator[Sample]:
        """Streams the samples of one split, or of all; each shard is checked against its digest first.

        Args:
            split: One of `SPLITS`; all in their order by default.
            rows: Only the rows at these positions of that stream, in steps of 1; shards outside are not read.

        Raises:
            DataError: A shard is not the one that was published.
        """
        first = 0
        for shard in self.manifest.shards_of(split):
            wanted = _within(rows, first, shard.rows)
            first += shard.rows
            if wanted:
                yield from self._samples_of(shard, wanted)

    def pick(self, image_ids: Sequence[str]) -> list[Sample]:
        """Returns a few samples by their ids, in the order of the ids; shards without any are not read.

        Raises:
            UsageError: The image is unknown.
            DataError: A shard is not the one that was published.
        """
        wanted = set(image_ids)
        names = list(self.metadata(["image_id"])["image_id"]) if wanted else []
        if unknown := wanted - set(names):
            raise UsageError(f"{self.uri} contains no image {sorted(unknown)[0]!r}")
        found: dict[str, Sample] = {}
        first = 0
        for shard in self.manifest.shards:
            places = [place for place in range(shard.rows) if names and names[first + place] in wanted]
            first += shard.rows
            if places:
                samples = self._samples_of(shard, range(places[0], places[-1] + 1))
                found |= {sample.image_id: sample for sample in samples if sample.image_id in wanted}
        return [found[image_id] for image_id in image_ids]

    def _samples_of(self, shard: Shard, rows: range) -> Iterator[Sample]:
        with self.fetched(shard) as path, shard_errors(self.uri, shard), pq.ParquetFile(path) as file:
            yield from _rows_of(file, rows)

    @contextmanager
    def fetched(self, shard: Shard) -> Iterator[Path]:
        """Gives a local path of a shard, whose digest is checked first.

        Raises:
            DataError: The shard is not the one that was published.
        """
        with self._storage.fetch(shard.name) as path:
            hashing = self._hashing.pop(shard.name, None)
            digest = hashing.result() if hashing else path_digest(path)
            if digest != shard.sha256:
                raise DataError(
                    f"{self.uri}/{shard.name} is damaged: SHA-256 {digest} instead of {shard.sha256}",
                    hint="Copy the dataset again from where it was published.",
                )
            yield path

    @contextmanager
    def hashed_ahead(self) -> Iterator[None]:
        """Takes the digests of the shards in threads while the block does other work, and then asks for them.

        Only where they lie on this machine: elsewhere `fetched` takes each one as it comes.
        """
        with ThreadPoolExecutor(_HASHED_AT_ONCE) as pool:
            if isinstance(self._storage, LocalStorage):
                names = [shard.name for shard in self.manifest.shards_of(None)]
                self._hashing = {name: pool.submit(self._digest_of, name) for name in names}
            try:
                yield
            finally:
                self._hashing = {}
                pool.shutdown(cancel_futures=True)

    def _digest_of(self, name: str) -> str:
        with self._storage.fetch(name) as path:
            return path_digest(path)


def _within(rows: range | None, first: int, count: int) -> range:
    """Returns the wanted positions within a shard whose first row is at position ``first`` of the stream."""
    if rows is None:
        return range(count)
    return range(max(rows.start - first, 0), min(rows.stop - first, count))


def _rows_of(file: pq.ParquetFile, rows: range) -> Iterator[Sample]:
    """Reads the row groups that hold wanted rows, a few rows at a time."""
    first = 0
    for group in range(file.num_row_groups):
        count = file.metadata.row_group(group).num_rows
        wanted = _within(rows, first, count)
        first += count
        at = 0
        for batch in file.iter_batches(batch_size=_BATCH_ROWS, row_groups=[group]) if wanted else ():
            chosen = _within(wanted, at, batch.num_rows)
            at += batch.num_rows
            if chosen:
                yield from map(sample_from_row, batch.slice(chosen.start, len(chosen)).to_pylist())
