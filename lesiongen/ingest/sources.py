"""Where a collection lies: a folder, an ``s3://`` prefix, or a zip or tar archive in either."""

import bz2
import gzip
import io
import lzma
import tempfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from lesiongen.errors import DataError, StorageError, UsageError
from lesiongen.ingest.archives import ArchiveStorage, ReadOnlyStorage, TarStorage, ZipStorage, check_expansion
from lesiongen.progress import progress
from lesiongen.storage import CHUNK, Storage, StoredObject, open_storage, readable, temporary_space

__all__ = ["ARCHIVES", "Source", "name_of", "open_source"]

_COMPRESSED: dict[str, Callable[[Any], Any]] = {
    ".tar.gz": gzip.open,
    ".tgz": gzip.open,
    ".tar.bz2": bz2.open,
    ".tar.xz": lzma.open,
}
ARCHIVES = (".zip", ".tar", *_COMPRESSED)
"""Endings of the archives that can be read."""
_OTHER_ARCHIVES = (".7z", ".rar")
_DAMAGE = (EOFError, zlib.error, lzma.LZMAError, gzip.BadGzipFile)
_READ_AHEAD = 8 << 20


def name_of(source: str) -> str:
    """Returns the name of a source: the last part of its address, without the ending of an archive."""
    address = source.rstrip("/") if "://" in source else Path(source).resolve().as_posix()
    name = address.rpartition("/")[2]
    return name[: len(name) - len(_ending(name))] or "dataset"


class Source(ReadOnlyStorage):
    """The place of a collection, and on demand the archives that lie in it, as folders of their names.

    Several collections are handed out as archives beside a table, or within an archive. Those are opened only when
    something is missing without them: beside what they were unpacked into they would give every image twice.

    Args:
        place: A folder, a prefix or an archive.
        held: Closes what was opened.
    """

    def __init__(self, place: Storage, held: ExitStack) -> None:
        super().__init__(place.uri)
        self._place = place
        self._listing = list(place.list())
        self._held = held
        self._members: dict[str, tuple[ArchiveStorage, str]] = {}
        self.closed = dict.fromkeys(place.closed_folders(), "a link to a folder is not followed")
        """Keys of what is not looked into, and why."""
        for item in self._listing:
            if item.key.lower().endswith((*ARCHIVES, *_OTHER_ARCHIVES)):
                self.closed[item.key] = "unpack it there"

    def open_archives(self) -> dict[str, list[StoredObject]]:
        """Opens the archives beside which there is no folder of their name yet; what is in them lies there from now on.

        One that cannot be opened stays closed, with the reason. Archives within these are not opened.

        Returns:
            What is new, by the folder in which it lies.
        """
        found = {}
        for key in [key for key in self.closed if key.lower().endswith(ARCHIVES)]:
            folder = key[: -len(_ending(key))]
            if any(self.list(f"{folder}/")):
                self.closed[key] = "a folder of its name lies beside it"
                continue
            try:
                archive = self._opened(key, top=Path(folder).name)
            except DataError as error:
                self.closed[key] = str(error.args[0])
                continue
            del self.closed[key]
            found[folder] = [StoredObject(f"{folder}/{item.key}", item.size) for item in archive.list()]
            self._listing += found[folder]
            self._members |= {f"{folder}/{item.key}": (archive, item.key) for item in archive.list()}
        return found

    def _opened(self, key: str, top: str) -> ArchiveStorage:
        if isinstance(self._place, ArchiveStorage):
            file = self._held.enter_context(_unpacked(self._place, key))
        else:
            file = self._held.enter_context(self._place.open(key))
        return _archive(f"{self.uri}/{key}", _ending(key), file, self._held, top=top)

    def _of(self, key: str) -> tuple[Storage, str]:
        return self._members.get(key, (self._place, key))

    def read_bytes(self, key: str) -> bytes:
        """Returns the whole file."""
        storage, own = self._of(key)
        return storage.read_bytes(own)

    def exists(self, key: str) -> bool:
        """Tells whether the file is there."""
        storage, own = self._of(key)
        return storage.exists(own)

    def list(self, prefix: str = "") -> Iterator[StoredObject]:
        """Lists the files, those of the place first."""
        yield from (item for item in self._listing if item.key.startswith(prefix))

    def open(self, key: str) -> BinaryIO:
        """Opens the file."""
        storage, own = self._of(key)
        return storage.open(own)

    def download_file(self, key: str, path: Path) -> None:
        """Copies a file out."""
        storage, own = self._of(key)
        storage.download_file(own, path)

    @contextmanager
    def fetch(self, key: str) -> Iterator[Path]:
        """Gives a local path of the file."""
        storage, own = self._of(key)
        with storage.fetch(own) as path:
            yield path


@contextmanager
def open_source(source: str) -> Iterator[Source]:
    """Opens the place of a collection for reading.

    Zip and plain tar archives are read where they lie, member by member, on S3 by ranged requests. A compressed tar
    has no index: it is inflated once into a temporary file.

    Args:
        source: Folder, ``s3://`` prefix, or an archive in one of them (`ARCHIVES`).

    Raises:
        UsageError: There is no such place, or it is a file of another kind.
        DataError: The archive is damaged, or holds what has no place in a collection.
    """
    suffix = _ending(source)
    local = Path(source) if "://" not in source else None
    with ExitStack() as held:
        if not suffix or (local is not None and local.is_dir()):
            yield Source(_folder(source, local), held)
            return
        if local is not None and not local.is_file():
            raise UsageError(
                f"The source {source} does not exist", hint="Give the collection's folder, archive or prefix."
            )
        file = held.enter_context(readable(local) if local else _remote(source))
        yield Source(_archive(source, suffix, file, held), held)


def _ending(name: str) -> str:
    return next((ending for ending in ARCHIVES if name.lower().endswith(ending)), "")


def _folder(source: str, local: Path | None) -> Storage:
    if local is not None and not local.is_dir():
        what = f"is no archive of a known kind ({', '.join(ARCHIVES)})" if local.is_file() else "does not exist"
        raise UsageError(f"The source {source} {what}", hint="Give the collection's folder, archive or s3:// prefix.")
    return open_storage(source)


def _remote(source: str) -> BinaryIO:
    parent, _, name = source.rpartition("/")
    return open_storage(parent).open(name)


def _archive(source: str, suffix: str, file: BinaryIO, held: ExitStack, *, top: str | None = None) -> ArchiveStorage:
    size = file.seek(0, io.SEEK_END)
    file.seek(0)
    if suffix == ".zip":
        return ZipStorage(source, file, size, top=top)
    if suffix == ".tar":
        return TarStorage(source, file, size, top=top)
    return TarStorage(source, held.enter_context(_inflated(source, suffix, file, size)), size, top=top)


@contextmanager
def _unpacked(archive: ArchiveStorage, key: str) -> Iterator[BinaryIO]:
    """Copies a member to a temporary file: what lies compressed can only be read from its start."""
    with tempfile.TemporaryFile(prefix="lesiongen-") as target:
        with progress(f"Unpacking {Path(key).name}", total=archive.size(key), unit="bytes") as bar, temporary_space():
            for piece in archive.pieces(key):
                target.write(piece)
                bar.advance(len(piece))
        yield target


@contextmanager
def _inflated(source: str, suffix: str, file: BinaryIO, stored: int) -> Iterator[BinaryIO]:
    ahead = io.BufferedReader(file, _READ_AHEAD)  # type: ignore[type-var]
    with tempfile.TemporaryFile(prefix="lesiongen-") as target:
        try:
            _inflate(source, _COMPRESSED[suffix](ahead), target, stored)
        finally:
            ahead.detach()
        target.seek(0)
        yield target


def _inflate(source: str, stream: BinaryIO, target: BinaryIO, stored: int) -> None:
    written = 0
    try:
        with progress(f"Unpacking {Path(source).name}", unit="bytes") as bar:
            while chunk := stream.read(CHUNK):
                written += len(chunk)
                check_expansion(source, written, stored)
                target.write(chunk)
                bar.advance(len(chunk))
    except _DAMAGE as error:
        raise DataError(f"{source} is damaged after {written:,} bytes: {error}", hint="Fetch it again.") from error
    except OSError as error:
        raise StorageError(
            f"{source} cannot be unpacked to {tempfile.gettempdir()}: {error}",
            hint="Free some space there, or set TMPDIR to a larger disk.",
        ) from error
