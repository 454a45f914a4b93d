"""What a place for files can do, be it a folder or a prefix on S3."""

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

from lesiongen.errors import StorageError
from lesiongen.progress import progress
from lesiongen.storage.files import as_json
from lesiongen.temporary import temporary_folder

__all__ = ["Claim", "Creation", "Storage", "StoredObject", "in_parallel"]

PARALLEL_TRANSFERS = 16
DELETING_ROUNDS = 5
_Item = TypeVar("_Item")


@dataclass(frozen=True, slots=True)
class StoredObject:
    """An object of a storage: its key, relative to the storage, its size in bytes, and S3's ETag.

    Attributes:
        modified: When it was written, by the clock of the S3 server, in seconds.
    """

    key: str
    size: int
    etag: str | None = None
    modified: float | None = None


class Claim:
    """The right to write to a place, which one writer holds at a time.

    Attributes:
        taken_over: Whether the writer before was killed while it held the claim: it may have published, and not have
            been able to report it.
    """

    taken_over = False

    def check(self, *, ask: bool = False) -> None:
        """Makes sure that the place is still this writer's.

        Args:
            ask: Ask the storage, as before the last step of publishing; else what the last renewal has shown counts.

        Raises:
            StorageError: This process did not write for so long that another writer took its place.
        """


class Creation(StrEnum):
    """Result of creating an object that must not be there yet."""

    CREATED = "created"
    """It holds these bytes, written by this call or by an earlier one whose answer was lost, and by nobody else."""
    TAKEN = "taken"
    """It holds other bytes, which were not touched."""
    UNGUARDED = "unguarded"
    """It holds these bytes, but this storage does not guard against a second writer, who may replace them."""


class Storage(ABC):
    """A folder or a prefix, addressed by keys relative to it (``train-00000-of-00001.parquet``)."""

    def __init__(self, uri: str) -> None:
        self.uri = uri.rstrip("/")

    @abstractmethod
    def read_bytes(self, key: str) -> bytes:
        """Returns the whole object.

        Raises:
            StorageError: The object is missing, or it cannot be read.
        """

    @abstractmethod
    def write_bytes(self, key: str, data: bytes) -> None:
        """Writes an object; readers see either the old or the new one, never a part."""

    @abstractmethod
    def create_bytes(self, key: str, data: bytes) -> Creation:
        """Writes an object that is not there yet; one that is there is never replaced.

        A call that is repeated after its answer was lost finds its own bytes and counts as created. Two writers of
        equal bytes are one writer to it: what has to distinguish them puts something of its own into the bytes.

        Correctness never rests on this alone: some S3 servers ignore the condition. `Creation.UNGUARDED` says so, and
        then only the absence of the object just before was checked.

        Raises:
            StorageError: It cannot be written.
        """

    @abstractmethod
    def exists(self, key: str) -> bool:
        """Tells whether the object is there."""

    @abstractmethod
    def list(self, prefix: str = "") -> Iterator[StoredObject]:
        """Lists the objects whose keys begin with ``prefix``, sorted by key."""

    def checked_list(self, prefix: str = "") -> Sequence[StoredObject]:
        """Returns what `list` yields, for use where a wrong or a missing name would go unnoticed.

        Raises:
            StorageError: What is listed differs from one time to the next.
        """
        return [*self.list(prefix)]

    @abstractmethod
    def delete(self, key: str) -> None:
        """Deletes an object; does nothing if it does not exist."""

    @abstractmethod
    def open(self, key: str) -> BinaryIO:
        """Opens an object for reading, seekable: only the parts that are read are transferred."""

    @abstractmethod
    def upload_file(self, path: Path, key: str) -> None:
        """Copies a local file into the storage."""

    def move_file(self, path: Path, key: str) -> None:
        """Moves a local file into the storage."""
        self.upload_file(path, key)
        path.unlink()

    @abstractmethod
    def download_file(self, key: str, path: Path) -> None:
        """Copies an object to a local file, which appears only when whole."""

    def is_copy(self, item: StoredObject, path: Path) -> bool:
        """Tells whether a listed object holds what a local file holds; False where that cannot be found out."""
        return False

    @contextmanager
    def claiming(self) -> Iterator[Claim]:
        """Holds this place for one writer while the block runs; `claimed` is what writers call.

        Raises:
            UsageError: Another writer holds it.
        """
        yield Claim()

    @contextmanager
    def publishing(self) -> "Iterator[Storage]":
        """Gives a place for files that belong together; at the end of the block they are all in this storage.

        Where a storage can, they appear at once. Elsewhere they appear one by one, and the last has to make them valid.
        """
        yield self

    def child(self, *parts: str) -> "Storage":
        """Returns the storage of a folder within this one."""
        return type(self)("/".join([self.uri, *parts]))

    def read_if_there(self, key: str) -> bytes | None:
        """Returns the whole object, None if it does not exist; another process may delete it at any moment."""
        if not self.exists(key):
            return None
        try:
            return self.read_bytes(key)
        except StorageError:
            if self.exists(key):
                raise
            return None

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
        except (ValueError, RecursionError) as error:
            raise StorageError(f"{self.uri}/{key} is not JSON: {error}") from error

    def write_json(self, key: str, value: object) -> None:
        """Writes a value as indented JSON."""
        self.write_text(key, as_json(value))

    def delete_all(self) -> None:
        """Deletes every object below this storage, until a list of them is empty: a name in it may be wrong.

        Raises:
            StorageError: There are always some left.
        """
        for _ in range(DELETING_ROUNDS):
            keys = [item.key for item in self.list()]
            if not keys:
                return
            in_parallel(self.delete, keys)
        raise StorageError(
            f"{self.uri} still holds objects after {DELETING_ROUNDS} rounds of deleting, {keys[0]} for example",
            hint="Stop whatever writes there, check the network, then start it again.",
        )

    def check_settings(self) -> None:  # noqa: B027  a folder has none
        """Refuses settings of the environment with which no request can be made; asks the server nothing.

        Raises:
            UsageError: A variable cannot be used.
            StorageError: The library of the storage refuses one.
        """

    def require_writable(self) -> None:  # noqa: B027  most storages show it only on a write
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

    def download_folder(
        self, folder: Path, *, description: str = "Downloading", suffixes: Collection[str] | None = None
    ) -> None:
        """Copies objects to a folder, several at a time, with progress.

        Files that an interrupted download has left whole are not fetched again.

        Args:
            folder: Where to.
            description: What is shown beside the progress.
            suffixes: Endings of the names that are copied, such as ``.json``; None copies every object.
        """
        items = [item for item in self.checked_list() if suffixes is None or Path(item.key).suffix in suffixes]
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
        with temporary_folder("object") as folder:
            path = folder / Path(key).name
            self.download_file(key, path)
            yield path


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
