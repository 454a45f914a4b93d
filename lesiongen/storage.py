"""Local folders and ``s3://`` prefixes behind one interface.

The endpoint comes from ``AWS_ENDPOINT_URL``, the keys from the usual AWS variables; with an endpoint given, buckets
are addressed by path, as MinIO, SeaweedFS and Ceph expect. Nothing relies on rename or on conditional writes: a prefix
is new for every version (`unique_prefix`), and what makes it valid, its manifest, is written last.
"""

import errno
import hashlib
import json
import logging
import os
import re
import secrets
import shutil
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

from lesiongen.errors import StorageError, UsageError
from lesiongen.progress import progress
from lesiongen.storage_partial import remove_abandoned, writing_beside

__all__ = [
    "LocalStorage",
    "Storage",
    "StoredObject",
    "as_json",
    "file_digest",
    "in_parallel",
    "open_storage",
    "readable",
    "temporary_space",
    "unique_prefix",
]

logger = logging.getLogger(__name__)
PARALLEL_TRANSFERS = 16
CHUNK = 1 << 20
_Item = TypeVar("_Item")
_PERMISSIONS = "Check the permissions of the folder."


@dataclass(frozen=True)
class StoredObject:
    """An object of a storage: its key, relative to the storage, its size in bytes, and S3's ETag."""

    key: str
    size: int
    etag: str | None = None


class Storage(ABC):
    """A folder or a prefix, addressed by keys relative to it (``train-00000-of-00001.parquet``)."""

    def __init__(self, uri: str) -> None:
        self.uri = uri.rstrip("/")

    @abstractmethod
    def read_bytes(self, key: str) -> bytes:
        """Returns the whole object.

        Raises:
            StorageError: There is no such object, or it cannot be read.
        """

    @abstractmethod
    def write_bytes(self, key: str, data: bytes) -> None:
        """Writes an object; readers see either the old or the new one, never a part."""

    @abstractmethod
    def exists(self, key: str) -> bool:
        """Tells whether the object is there."""

    @abstractmethod
    def list(self, prefix: str = "") -> Iterator[StoredObject]:
        """Lists the objects whose keys begin with ``prefix``, sorted by key."""

    @abstractmethod
    def delete(self, key: str) -> None:
        """Deletes an object; one that is not there is no error."""

    @abstractmethod
    def open(self, key: str) -> BinaryIO:
        """Opens an object for reading, seekable: only the parts that are read are transferred."""

    @abstractmethod
    def upload_file(self, path: Path, key: str) -> None:
        """Copies a local file into the storage."""

    @abstractmethod
    def download_file(self, key: str, path: Path) -> None:
        """Copies an object to a local file, which appears only when whole."""

    def is_copy(self, item: StoredObject, path: Path) -> bool:
        """Tells whether a listed object holds what a local file holds; False where that cannot be told."""
        return False

    def closed_folders(self) -> tuple[str, ...]:
        """Returns the keys of folders that `list` does not look into."""
        return ()

    @contextmanager
    def publishing(self) -> "Iterator[Storage]":
        """Gives a place for files that belong together; at the end of the block they are all in this storage.

        Where a storage can, they appear at once. Elsewhere they appear one by one, and the last has to make them valid.
        """
        yield self

    def child(self, *parts: str) -> "Storage":
        """Returns the storage of a folder within this one."""
        return open_storage("/".join([self.uri, *parts]))

    def read_text(self, key: str) -> str:
        """Returns an object as UTF-8 text."""
        return self.read_bytes(key).decode("utf-8")

    def write_text(self, key: str, text: str) -> None:
        """Writes UTF-8 text."""
        self.write_bytes(key, text.encode("utf-8"))

    def read_json(self, key: str) -> Any:
        """Returns an object parsed as JSON.

        Raises:
            StorageError: The object is absent or is not JSON.
        """
        try:
            return json.loads(self.read_bytes(key))
        except ValueError as error:
            raise StorageError(f"{self.uri}/{key} is not JSON: {error}") from error

    def write_json(self, key: str, value: object) -> None:
        """Writes a value as indented JSON."""
        self.write_text(key, as_json(value))

    def delete_all(self) -> None:
        """Deletes every object below this storage."""
        in_parallel(self.delete, [item.key for item in self.list()])

    def require_writable(self) -> None:  # noqa: B027  of most storages only a write tells
        """Refuses a place that can never be written, before work is done that is to go there.

        Raises:
            StorageError: It cannot be written.
        """

    def remove_abandoned(self) -> None:  # noqa: B027  most storages hold nothing of the kind
        """Removes what killed writers have left anywhere below this storage, and no live writer's files."""

    def upload_folder(self, folder: Path, *, description: str = "Uploading") -> None:
        """Copies every file below a folder, several at a time, with progress.

        Files that an interrupted upload has left whole are not sent again.
        """
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        there = {item.key: item for item in self.list()}

        def send(path: Path) -> None:
            key = path.relative_to(folder).as_posix()
            if key not in there or not self.is_copy(there[key], path):
                self.upload_file(path, key)

        in_parallel(send, files, description)

    def download_folder(self, folder: Path, *, description: str = "Downloading") -> None:
        """Copies every object to a folder, several at a time, with progress.

        Files that an interrupted download has left whole are not fetched again.
        """
        items = list(self.list())
        if not items:
            raise StorageError(f"{self.uri} holds nothing", hint="Check the path, and that it has been written.")
        for item in items:
            if not (folder / item.key).resolve().is_relative_to(folder.resolve()):
                raise StorageError(f"The key {item.key!r} of {self.uri} would leave the folder {folder}")

        def fetch(item: StoredObject) -> None:
            path = folder / item.key
            if not path.is_file() or not self.is_copy(item, path):
                self.download_file(item.key, path)

        in_parallel(fetch, items, description)

    @contextmanager
    def fetch(self, key: str) -> Iterator[Path]:
        """Gives a local path of an object, for libraries that read files only."""
        with tempfile.TemporaryDirectory(prefix="lesiongen-") as folder:
            path = Path(folder) / Path(key).name
            self.download_file(key, path)
            yield path


class LocalStorage(Storage):
    """A folder of the local file system."""

    def __init__(self, folder: str) -> None:
        # What is written down of a folder must lead there from any other.
        self.root = Path(folder).absolute()
        super().__init__(str(self.root))

    def _path(self, key: str) -> Path:
        path = self.root / key
        if not path.resolve().is_relative_to(self.root.resolve()):
            raise UsageError(f"The key {key!r} would leave the folder {self.root}")
        return path

    @contextmanager
    def replacing(self, key: str) -> Iterator[Path]:
        """Gives a temporary path beside the file; it takes the file's place when the block ends well."""
        path = self._path(key)
        try:
            with writing_beside(path) as temporary:
                yield temporary
        except OSError as error:
            raise _write_error(path, error) from error

    @contextmanager
    def publishing(self) -> "Iterator[Storage]":
        """Gives a hidden folder beside this one, which takes its name at the end of the block.

        A folder that holds something, or that cannot be renamed to, is written to as it stands.
        """
        if not self._can_be_replaced():
            yield self
            return
        hidden = self.root.with_name(f".{self.root.name}.partial")
        shutil.rmtree(hidden, ignore_errors=True)  # of an attempt that was killed
        try:
            yield LocalStorage(str(hidden))
            hidden.replace(self.root)
        except OSError as error:
            raise _write_error(self.root, error) from error
        finally:
            shutil.rmtree(hidden, ignore_errors=True)

    def _can_be_replaced(self) -> bool:
        if not self.root.exists():
            return not self.root.is_symlink()
        fixed = self.root.is_symlink() or self.root.is_mount() or not os.access(self.root.parent, os.W_OK)
        return not fixed and self.root.is_dir() and not any(self.root.iterdir())

    def read_bytes(self, key: str) -> bytes:
        """Returns the whole file."""
        try:
            return self._path(key).read_bytes()
        except OSError as error:
            raise _local_error(self._path(key), error) from error

    def write_bytes(self, key: str, data: bytes) -> None:
        """Writes a file beside its place and renames it into it."""
        with self.replacing(key) as temporary:
            temporary.write_bytes(data)

    def exists(self, key: str) -> bool:
        """Tells whether the file is there."""
        return self._path(key).is_file()

    def list(self, prefix: str = "") -> Iterator[StoredObject]:
        """Lists the files, sorted by key; hidden temporary files are left out."""
        paths = (path for path in self.root.rglob("*") if path.is_file() and not path.name.startswith("."))
        keys = sorted((path.relative_to(self.root).as_posix(), path) for path in paths)
        for key, path in keys:
            if key.startswith(prefix):
                yield StoredObject(key, path.stat().st_size)

    def closed_folders(self) -> tuple[str, ...]:
        """Returns the links to folders: they may lead out of this one, or round in circles."""
        links = (path for path in self.root.rglob("*") if path.is_symlink() and path.is_dir())
        return tuple(sorted(path.relative_to(self.root).as_posix() for path in links))

    def delete(self, key: str) -> None:
        """Deletes the file."""
        self._path(key).unlink(missing_ok=True)

    def require_writable(self) -> None:
        """Refuses a folder that is a file, lies below one, or may not be written; makes none."""
        nearest = next(path for path in (self.root, *self.root.parents) if os.path.lexists(path))
        if not nearest.is_dir():
            raise StorageError(f"{self.root} cannot be written: {nearest} is no folder", hint="Choose another place.")
        if not os.access(nearest, os.W_OK | os.X_OK):
            raise StorageError(f"{self.root} cannot be written: {nearest} may not be changed", hint=_PERMISSIONS)

    def remove_abandoned(self) -> None:
        """Removes the hidden files of killed writers."""
        for folder in (self.root, *(path for path in self.root.rglob("*") if path.is_dir())):
            remove_abandoned(folder)

    def open(self, key: str) -> BinaryIO:
        """Opens the file."""
        return readable(self._path(key))

    def upload_file(self, path: Path, key: str) -> None:
        """Copies a file in."""
        with readable(path) as source, self.replacing(key) as temporary, temporary.open("wb") as target:
            shutil.copyfileobj(source, target, CHUNK)

    def download_file(self, key: str, path: Path) -> None:
        """Copies a file out."""
        LocalStorage(str(path.parent)).upload_file(self._path(key), path.name)

    @contextmanager
    def fetch(self, key: str) -> Iterator[Path]:
        """Gives the file itself; nothing is copied."""
        path = self._path(key)
        if not path.is_file():
            raise StorageError(f"{path} does not exist", hint="Check the path, and that it has been written.")
        yield path


def open_storage(uri: str | Path) -> Storage:
    """Opens a folder or an ``s3://bucket/prefix``; nothing is created or contacted yet.

    Raises:
        UsageError: The address is of another kind, or names no bucket.
    """
    text = str(uri)
    match = re.match(r"^([a-z][a-z0-9+.-]*)://", text)
    if match is None:
        return LocalStorage(text)
    if match.group(1) != "s3":
        raise UsageError(f"{text}: only folders and s3:// addresses are understood")
    from lesiongen.storage_s3 import S3Storage

    return S3Storage(text)


def unique_prefix(root: str, *parts: str) -> str:
    """Returns ``root/part/…/<UTC time>-<8 hex digits>``, a prefix that was never used before."""
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S")
    return "/".join([root.rstrip("/"), *parts, f"{stamp}-{secrets.token_hex(4)}"])


def as_json(value: object) -> str:
    """Returns a value as indented JSON, the way in which it is stored."""
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


def file_digest(source: BinaryIO) -> str:
    """Returns the SHA-256 of a stream, in hexadecimal, reading it in pieces."""
    digest = hashlib.sha256()
    while chunk := source.read(CHUNK):
        digest.update(chunk)
    return digest.hexdigest()


def in_parallel(work: Callable[[_Item], object], items: Iterable[_Item], description: str = "") -> None:
    """Transfers several files at a time, with progress where there is a description."""
    pending = list(items)
    with ThreadPoolExecutor(PARALLEL_TRANSFERS) as pool, _counted(description, len(pending)) as advance:
        futures = [pool.submit(work, item) for item in pending]
        try:
            for future in as_completed(futures):
                future.result()
                advance()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


@contextmanager
def _counted(description: str, total: int) -> Iterator[Callable[[], None]]:
    if not description:
        yield lambda: None
        return
    with progress(description, total=total, unit="files") as bar:
        yield bar.advance


def readable(path: Path) -> BinaryIO:
    """Opens a local file for reading.

    Raises:
        StorageError: It is absent or cannot be read; the message names it.
    """
    try:
        return path.open("rb")
    except OSError as error:
        raise _local_error(path, error) from error


@contextmanager
def temporary_space() -> Iterator[None]:
    """Turns a failure to write temporary files into an error that says what to do.

    Raises:
        StorageError: The disk of temporary files is full, or may not be written.
    """
    try:
        yield
    except OSError as error:
        raise StorageError(
            f"Temporary files cannot be written to {tempfile.gettempdir()}: {error.strerror or error}",
            hint="Free some space there, or set TMPDIR to a larger disk.",
        ) from error


def _write_error(path: Path, error: OSError) -> StorageError:
    if isinstance(error, FileNotFoundError | NotADirectoryError | FileExistsError):
        return StorageError(f"The folder {path.parent} cannot be made: {error.strerror}", hint="Choose another output.")
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return StorageError(f"{path} cannot be written: {error.strerror}", hint="Free some space, then start it again.")
    return _local_error(path, error)


def _local_error(path: Path, error: OSError) -> StorageError:
    if isinstance(error, FileNotFoundError):
        return StorageError(f"{path} does not exist", hint="Check the path, and that it has been written.")
    if isinstance(error, PermissionError):
        return StorageError(f"{path} may not be read or written", hint=_PERMISSIONS)
    return StorageError(f"{path}: {error.strerror or error}")
