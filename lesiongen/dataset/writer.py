"""Publishing a dataset: shards first, the manifest last."""

import re
from collections import Counter
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self

import pyarrow as pa
import pyarrow.parquet as pq

from lesiongen.dataset.manifest import MANIFEST_NAME, DatasetManifest, Shard, read_manifest
from lesiongen.dataset.schema import SCHEMA, SPLITS, Sample, samples_as_table
from lesiongen.dataset.shard_reading import footer_digest
from lesiongen.errors import DataError, UsageError
from lesiongen.records.origin import Origin, OtherOrigin
from lesiongen.storage import (
    Creation,
    Storage,
    StoredObject,
    already_holds,
    as_json,
    claimed,
    file_digest,
    open_storage,
    temporary_space,
)
from lesiongen.temporary import temporary_folder

__all__ = ["SHARD_NAME", "DatasetWriter", "is_published"]

ROW_GROUP_ROWS = 128
ROW_GROUP_BYTES = 64 << 20
SHARD_NAME = re.compile(rf"({'|'.join(SPLITS)})-\d{{5}}-of-\d{{5}}\.parquet")
"""What the files of the rows are called."""


def is_published(storage: Storage, origin: Origin) -> bool:
    """Tells whether a place holds a dataset that was made in exactly this way, perhaps by a call that was killed."""
    return storage.exists(MANIFEST_NAME) and read_manifest(storage).origin == origin


class _ShardFile:
    """An open Parquet file that takes rows in groups, so that memory stays flat.

    Args:
        path: Where it is written.
        writing: Its single thread writes the groups, one after the other, while the next one is collected.
        hashing: Its thread takes the digest of the file once all is written.
    """

    def __init__(self, path: Path, writing: Executor, hashing: Executor) -> None:
        self.path = path
        self.rows = 0
        self._pending: list[Sample] = []
        self._pending_bytes = 0
        self._executors = writing, hashing
        self._written: Future[None] | None = None
        # The images are compressed already: it would save a hundredth, and cost as much as hashing to undo.
        # Dictionaries keep the repeated texts small.
        text_columns = [field.name for field in SCHEMA if field.type == pa.string()]
        compressed = dict.fromkeys((name for name in SCHEMA.names if name != "image"), "zstd")
        self._writer = pq.ParquetWriter(
            path, SCHEMA, compression=compressed, use_dictionary=text_columns, write_page_checksum=True
        )

    def add(self, sample: Sample) -> None:
        self._pending.append(sample)
        self._pending_bytes += len(sample.image)
        self.rows += 1
        if len(self._pending) >= ROW_GROUP_ROWS or self._pending_bytes >= ROW_GROUP_BYTES:
            self._flush()

    def _flush(self) -> None:
        self._wait()
        if self._pending:
            group, self._pending, self._pending_bytes = self._pending, [], 0
            self._written = self._executors[0].submit(lambda: self._writer.write_table(samples_as_table(group)))

    def _wait(self) -> None:
        """Waits for the group that is being written, and raises what went wrong with it."""
        if self._written:
            written, self._written = self._written, None
            written.result()

    def close(self) -> "_ClosedShard":
        try:
            self._flush()
            self._wait()
        finally:
            # On the thread that writes: after an interrupt it may be in the middle of a group.
            self._executors[0].submit(self._writer.close).result()
        return _ClosedShard(self.path, self.rows, self._executors[1].submit(_digests, self.path))

    def abandon(self) -> None:
        """Closes the file as it is, behind the group that is being written; what waits is dropped."""
        if self._written:
            self._written.cancel()
        self._executors[0].submit(self._writer.close)


@dataclass
class _ClosedShard:
    """A Parquet file that is complete, whose digests are taken meanwhile."""

    path: Path
    rows: int
    digests: Future[tuple[str, str]]

    def described(self, split: str, name: str) -> Shard:
        """Returns what the manifest says of the file."""
        digest, footer = self.digests.result()
        size = self.path.stat().st_size
        return Shard(name=name, split=split, rows=self.rows, bytes=size, sha256=digest, footer_sha256=footer)


def _digests(path: Path) -> tuple[str, str]:
    """Returns the SHA-256 of a file and of its footer."""
    with path.open("rb") as stream:
        return file_digest(stream), footer_digest(stream)


class DatasetWriter:
    """Writes samples as a dataset; used as a context manager.

    The shards are built beside and published when the block ends well, then the documents; the manifest comes last, and
    after an error nothing is visible at ``output``. A new local folder appears whole, even where the process is killed.
    While it is open, the output is claimed: a second writer is refused. Where the output holds the very dataset that is
    written, of an attempt that was killed once it had published it, that one is kept.

    Args:
        output: Folder or ``s3://`` prefix, not yet holding another dataset: versions are never overwritten.
        name: Name of the dataset.
        licence: Licence of the whole.
        attribution: Whom to name.
        origin: How it was made (stage, configuration, versions read), kept in the manifest.
        shard_rows: Rows in a shard.

    Attributes:
        documents: Files to lie beside the shards, by name: their content, or where it lies (`place_of`); None for one
            that this dataset does not have, of which an attempt that died may have left its own.
    """

    def __init__(
        self,
        output: str,
        *,
        name: str,
        licence: str | None = None,
        attribution: str | None = None,
        origin: Origin | None = None,
        shard_rows: int = 2000,
    ) -> None:
        self.storage = open_storage(output)
        self.name, self.licence, self.attribution = name, licence, attribution
        self.origin: Origin = origin or OtherOrigin()
        self.shard_rows = shard_rows
        self.documents: dict[str, str | bytes | Path | None] = {}
        self.manifest: DatasetManifest | None = None
        self._open: dict[str, _ShardFile] = {}
        self._closed: dict[str, list[_ClosedShard]] = {split: [] for split in SPLITS}
        self._ids: set[str] = set()
        self._classes: Counter[str] = Counter()

    def __enter__(self) -> Self:
        self._refuse_another(unless_alike=True)
        self.storage.require_writable()
        with ExitStack() as held:
            self._claim = held.enter_context(claimed(self.storage))
            self._refuse_another(unless_alike=self._claim.taken_over)
            self._leftovers()
            with temporary_space():
                self._workspace = held.enter_context(temporary_folder("dataset"))
            # The threads end before their files are removed.
            self._writing = held.enter_context(ThreadPoolExecutor(1))
            self._hashing = held.enter_context(ThreadPoolExecutor(1))
            self._held = held.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self._close_all()
                self._publish()
        finally:
            self._abandon()
            self._held.close()

    def add(self, sample: Sample) -> None:
        """Adds a sample.

        Raises:
            DataError: Its split is unknown, or its image_id was added before.
            StorageError: The disk of temporary files is full.
        """
        if sample.split not in SPLITS:
            raise DataError(f"{sample.image_id}: split = {sample.split!r} is not one of {', '.join(SPLITS)}")
        if sample.image_id in self._ids:
            raise DataError(f"duplicate image_id {sample.image_id!r} in the dataset {self.name!r}")
        self._ids.add(sample.image_id)
        self._classes[sample.diagnosis] += 1
        with temporary_space():
            shard = self._open.get(sample.split) or self._new_shard(sample.split)
            shard.add(sample)
            if shard.rows >= self.shard_rows:
                self._close(sample.split)

    def place_of(self, name: str) -> Path:
        """Returns where to write a document that is too large for the memory; `documents` does not name it yet."""
        return self._workspace / name

    def finished(self) -> str:
        """Returns a local folder with the dataset as it will be published, for documents about it; no row follows.

        Raises:
            DataError: The dataset has no rows.
            StorageError: The disk of temporary files is full.
        """
        self._close_all()
        manifest = self._manifest()
        with temporary_space():
            for name, (_, file) in self._named_files().items():
                file.path = file.path.rename(self._workspace / name)
            (self._workspace / MANIFEST_NAME).write_text(manifest.model_dump_json(), encoding="utf-8")
        return str(self._workspace)

    def _new_shard(self, split: str) -> _ShardFile:
        path = self._workspace / f"{split}-{len(self._closed[split]):05d}"
        self._open[split] = shard = _ShardFile(path, self._writing, self._hashing)
        return shard

    def _close(self, split: str) -> None:
        self._closed[split].append(self._open.pop(split).close())

    def _close_all(self) -> None:
        with temporary_space():
            for split in list(self._open):
                self._close(split)

    def _abandon(self) -> None:
        """Drops what was not published: it is neither written out nor hashed."""
        for shard in self._open.values():
            shard.abandon()
        self._hashing.shutdown(wait=False, cancel_futures=True)

    def _refuse_another(self, *, unless_alike: bool) -> None:
        """Refuses an output that holds a dataset; one that was made in the same way may be this very one."""
        if self.storage.exists(MANIFEST_NAME):
            there = read_manifest(self.storage)
            alike = there.name == self.name and self.origin.content().items() <= there.origin.content().items()
            if not (alike and unless_alike):
                raise already_holds(self.storage.uri, "a dataset")

    def _publish(self) -> None:
        files, manifest = self._named_files(), self._manifest()
        self._claim.check(ask=True)
        if self.storage.exists(MANIFEST_NAME):
            self.manifest = self._found_again(manifest)
            return
        there = {item.key: item for item in self._leftovers()}
        for key in there.keys() - files.keys():
            self.storage.delete(key)
        with self.storage.publishing() as target:
            for name, (_, file) in files.items():
                self._claim.check()
                # What an attempt that died has sent whole is not sent again: equal rows make equal shards.
                if name not in there or not self.storage.is_copy(there[name], file.path):
                    target.move_file(file.path, name)
            self._publish_documents(target)
            self._claim.check(ask=True)
            if self.storage.exists(MANIFEST_NAME):
                raise already_holds(self.storage.uri, "a dataset")
            content = as_json(manifest.model_dump(mode="json")).encode()
            if target.create_bytes(MANIFEST_NAME, content) is Creation.TAKEN:
                raise already_holds(self.storage.uri, "a dataset")
        self.manifest = manifest

    def _found_again(self, manifest: DatasetManifest) -> DatasetManifest:
        """Returns what the output holds where it is what was to be published, whenever that was done."""
        there = read_manifest(self.storage)
        if there.model_copy(update={"created": manifest.created}) != manifest:
            raise already_holds(self.storage.uri, "a dataset")
        return there

    def _manifest(self) -> DatasetManifest:
        if not self._ids:
            raise DataError(f"The dataset {self.name!r} would be empty: no row was accepted")
        return DatasetManifest(
            name=self.name,
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            licence=self.licence,
            attribution=self.attribution,
            origin=self.origin,
            rows=len(self._ids),
            splits={split: sum(file.rows for file in self._closed[split]) for split in SPLITS},
            classes=dict(sorted(self._classes.items())),
            shards=tuple(file.described(split, name) for name, (split, file) in self._named_files().items()),
        )

    def _publish_documents(self, target: Storage) -> None:
        for name, content in self.documents.items():
            if content is None:
                target.delete(name)
            elif isinstance(content, Path):
                target.move_file(content, name)
            else:
                target.write_bytes(name, content.encode() if isinstance(content, str) else content)

    def _named_files(self) -> dict[str, tuple[str, _ClosedShard]]:
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
