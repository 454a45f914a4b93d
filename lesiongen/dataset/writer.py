"""Publishing a dataset: shards first, the manifest last."""

import re
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import nullcontext, suppress
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pyarrow as pa
import pyarrow.parquet as pq

from lesiongen.dataset.manifest import MANIFEST_NAME, DatasetManifest, Shard
from lesiongen.dataset.schema import SCHEMA, SPLITS, Sample, sample_to_row
from lesiongen.dataset.shard_reading import footer_digest
from lesiongen.errors import DataError, StorageError, UsageError
from lesiongen.storage import Storage, StoredObject, file_digest, open_storage, temporary_space

__all__ = ["SHARD_NAME", "DatasetWriter", "taken"]

ROW_GROUP_ROWS = 128
ROW_GROUP_BYTES = 64 << 20
SHARD_NAME = re.compile(rf"({'|'.join(SPLITS)})-\d{{5}}-of-\d{{5}}\.parquet")
"""What the files of the rows are called."""


def taken(storage: Storage) -> UsageError:
    """Returns the error of an output that holds a dataset already."""
    return UsageError(
        f"{storage.uri} already holds a dataset", hint="Choose another output: versions are never reused."
    )


class _ShardFile:
    """An open Parquet file that takes rows in groups, so that memory stays flat."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rows = 0
        self._pending: list[dict[str, Any]] = []
        self._pending_bytes = 0
        # The images are compressed already: it would save a hundredth, and cost as much as hashing to undo.
        # Dictionaries keep the repeated texts small.
        text_columns = [field.name for field in SCHEMA if field.type == pa.string()]
        compressed = dict.fromkeys((name for name in SCHEMA.names if name != "image"), "zstd")
        self._writer = pq.ParquetWriter(
            path, SCHEMA, compression=compressed, use_dictionary=text_columns, write_page_checksum=True
        )

    def add(self, sample: Sample) -> None:
        self._pending.append(sample_to_row(sample))
        self._pending_bytes += len(sample.image)
        self.rows += 1
        if len(self._pending) >= ROW_GROUP_ROWS or self._pending_bytes >= ROW_GROUP_BYTES:
            self._flush()

    def _flush(self) -> None:
        if self._pending:
            self._writer.write_table(pa.Table.from_pylist(self._pending, schema=SCHEMA))
            self._pending, self._pending_bytes = [], 0

    def close(self) -> None:
        self._flush()
        self._writer.close()


class DatasetWriter:
    """Writes samples as a dataset; used as a context manager.

    The shards are built beside and published when the block ends well, then the documents; the manifest comes last, and
    after an error nothing is visible at ``output``. A new local folder appears whole, even where the process is killed.

    Args:
        output: Folder or ``s3://`` prefix, not yet holding a dataset: versions are never overwritten.
        name: Name of the dataset.
        licence: Licence of the whole.
        attribution: Whom to name.
        origin: How it was made (stage, configuration, versions read), kept in the manifest.
        shard_rows: Rows in a shard.

    Attributes:
        documents: Texts to lie beside the shards, by name; None for one that this dataset does not have, of which an
            attempt that died may have left its own.
    """

    def __init__(
        self,
        output: str,
        *,
        name: str,
        licence: str | None = None,
        attribution: str | None = None,
        origin: Mapping[str, Any] | None = None,
        shard_rows: int = 2000,
    ) -> None:
        self.storage = open_storage(output)
        self.name, self.licence, self.attribution = name, licence, attribution
        self.origin = dict(origin or {})
        self.shard_rows = shard_rows
        self.documents: dict[str, str | None] = {}
        self.manifest: DatasetManifest | None = None
        self._open: dict[str, _ShardFile] = {}
        self._closed: dict[str, list[_ShardFile]] = {split: [] for split in SPLITS}
        self._ids: set[str] = set()
        self._classes: Counter[str] = Counter()

    def __enter__(self) -> Self:
        if self.storage.exists(MANIFEST_NAME):
            raise taken(self.storage)
        self.storage.require_writable()
        self._leftovers()
        self._workspace = tempfile.TemporaryDirectory(prefix="lesiongen-dataset-")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            with suppress(StorageError) if kind else nullcontext(), temporary_space():
                for split in list(self._open):
                    self._close(split)
            if kind is None:
                self._publish()
        finally:
            self._workspace.cleanup()

    def add(self, sample: Sample) -> None:
        """Adds a sample.

        Raises:
            DataError: Its split is unknown, or its image_id was added before.
            StorageError: The disk of temporary files is full.
        """
        if sample.split not in SPLITS:
            raise DataError(f"{sample.image_id}: split = {sample.split!r} is none of {', '.join(SPLITS)}")
        if sample.image_id in self._ids:
            raise DataError(f"image_id = {sample.image_id!r} stands twice in the dataset {self.name!r}")
        self._ids.add(sample.image_id)
        self._classes[sample.diagnosis] += 1
        with temporary_space():
            shard = self._open.get(sample.split) or self._new_shard(sample.split)
            shard.add(sample)
            if shard.rows >= self.shard_rows:
                self._close(sample.split)

    def _new_shard(self, split: str) -> _ShardFile:
        path = Path(self._workspace.name) / f"{split}-{len(self._closed[split]):05d}"
        self._open[split] = shard = _ShardFile(path)
        return shard

    def _close(self, split: str) -> None:
        shard = self._open.pop(split)
        shard.close()
        self._closed[split].append(shard)

    def _publish(self) -> None:
        if not self._ids:
            raise DataError(f"The dataset {self.name!r} would be empty: no row was accepted")
        files = self._named_files()
        there = {item.key: item for item in self._leftovers()}
        for key in there.keys() - files.keys():
            self.storage.delete(key)
        with self.storage.publishing() as target:
            shards = []
            for name, (split, file) in files.items():
                # What an attempt that died has sent whole is not sent again: equal rows make equal shards.
                if name not in there or not self.storage.is_copy(there[name], file.path):
                    target.upload_file(file.path, name)
                shards.append(_describe(file, split, name))
            self._publish_documents(target)
            manifest = self._manifest(shards)
            target.write_json(MANIFEST_NAME, manifest.model_dump(mode="json"))
        self.manifest = manifest

    def _manifest(self, shards: Sequence[Shard]) -> DatasetManifest:
        return DatasetManifest(
            name=self.name,
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            licence=self.licence,
            attribution=self.attribution,
            origin=self.origin,
            rows=len(self._ids),
            splits={split: sum(file.rows for file in self._closed[split]) for split in SPLITS},
            classes=dict(sorted(self._classes.items())),
            shards=tuple(shards),
        )

    def _publish_documents(self, target: Storage) -> None:
        for name, text in self.documents.items():
            if text is None:
                target.delete(name)
            else:
                target.write_text(name, text)

    def _named_files(self) -> dict[str, tuple[str, _ShardFile]]:
        return {
            f"{split}-{number:05d}-of-{len(files):05d}.parquet": (split, file)
            for split, files in self._closed.items()
            for number, file in enumerate(files)
        }

    def _leftovers(self) -> list[StoredObject]:
        """Finds shards of an attempt that died before its manifest; other readers than ours would take them in.

        Raises:
            UsageError: There are Parquet files that are not ours: they would be read as a part of the dataset.
        """
        items = [item for item in self.storage.list() if item.key.endswith(".parquet")]
        if foreign := [item.key for item in items if not SHARD_NAME.fullmatch(item.key)]:
            raise UsageError(
                f"{self.storage.uri} holds Parquet files of something else ({foreign[0]})",
                hint="Choose another output: readers would take them for a part of the dataset.",
            )
        return items


def _describe(file: _ShardFile, split: str, name: str) -> Shard:
    with file.path.open("rb") as stream:
        digest, footer = file_digest(stream), footer_digest(stream)
    size = file.path.stat().st_size
    return Shard(name=name, split=split, rows=file.rows, bytes=size, sha256=digest, footer_sha256=footer)
