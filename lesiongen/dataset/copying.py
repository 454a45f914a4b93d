"""Copying a dataset as it is, byte by byte: between folders and S3, and resuming where it was interrupted."""

from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from lesiongen.dataset.manifest import MANIFEST_NAME, Shard
from lesiongen.dataset.reader import Dataset
from lesiongen.errors import DataError, UsageError
from lesiongen.progress import progress
from lesiongen.storage import Creation, LocalStorage, Storage, already_holds, claimed, open_storage, path_digest

__all__ = ["copy_dataset"]

_DOCUMENTS = {".arrow", ".csv", ".html", ".json"}


def copy_dataset(uri: str, output: str) -> Dataset:
    """Copies the shards, each checked against its digest, then the documents beside them, then the manifest.

    Shards that an interrupted copy has left whole are not copied again, and of a large one only the missing parts.

    Args:
        uri: The dataset.
        output: Folder or prefix: a new one, or that of an interrupted copy of the same dataset.

    Raises:
        UsageError: The output holds another dataset, or Parquet files of something else.
        DataError: A shard is not the one that was published.
    """
    dataset = Dataset.open(uri)
    source, target = open_storage(uri), open_storage(output)
    if target.exists(MANIFEST_NAME):
        there = Dataset.open(output)
        if there.manifest.version != dataset.manifest.version:
            raise already_holds(target.uri, "another dataset")
        return there
    with claimed(target) as claim:
        _refuse_others(target, dataset.manifest.shards)
        with progress("Copying", total=len(dataset.manifest.shards), unit="shards") as bar:
            for shard in dataset.manifest.shards:
                claim.check()
                _copy_shard(source, target, shard)
                bar.advance()
        for name in _documents(source):
            with source.fetch(name) as path:
                target.upload_file(path, name)
        claim.check(ask=True)
        if target.create_bytes(MANIFEST_NAME, source.read_bytes(MANIFEST_NAME)) is Creation.TAKEN:
            raise already_holds(target.uri, "another dataset")
    return Dataset.open(output)


def _documents(source: Storage) -> list[str]:
    """Returns what else a stage has put beside the shards: tables of what was left out, the report of a merge."""
    names = [item.key for item in source.checked_list() if "/" not in item.key and item.key != MANIFEST_NAME]
    return [name for name in names if PurePosixPath(name).suffix in _DOCUMENTS]


def _refuse_others(target: Storage, shards: Sequence[Shard]) -> None:
    names = {shard.name for shard in shards}
    others = [item.key for item in target.list() if item.key.endswith(".parquet") and item.key not in names]
    if others:
        raise UsageError(
            f"{target.uri} holds Parquet files of something else ({others[0]})",
            hint="Choose another output: readers would take them for a part of the dataset.",
        )


def _copy_shard(source: Storage, target: Storage, shard: Shard) -> None:
    if isinstance(target, LocalStorage):
        path = target.root / shard.name
        if not path.is_file() or path_digest(path) != shard.sha256:
            source.download_file(shard.name, path)
            try:
                _check(path, shard, source)
            except DataError:
                path.unlink()  # else it would lie there for anybody to read
                raise
        return
    with source.fetch(shard.name) as path:
        _check(path, shard, source)
        there = next((item for item in target.list(shard.name) if item.key == shard.name), None)
        if there is None or not target.is_copy(there, path):
            target.upload_file(path, shard.name)


def _check(path: Path, shard: Shard, source: Storage) -> None:
    if (digest := path_digest(path)) != shard.sha256:
        raise DataError(
            f"{source.uri}/{shard.name} is damaged: SHA-256 {digest} instead of {shard.sha256}",
            hint="Copy the dataset again from where it was published.",
        )
