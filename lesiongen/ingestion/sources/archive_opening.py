"""Opening an archive of a collection: a zip or a tar where it lies, what is compressed through a temporary file."""

import bz2
import gzip
import io
import lzma
import tempfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

from lesiongen.errors import DataError, StorageError, Unreachable
from lesiongen.ingestion.sources.archives import ArchiveStorage, TarStorage, ZipStorage, check_expansion
from lesiongen.progress import progress
from lesiongen.storage import CHUNK, Storage, temporary_space

__all__ = ["ARCHIVES", "ArchiveSpace", "archive_within", "ending_of", "opened_archive"]

_COMPRESSED: dict[str, Callable[[Any], Any]] = {
    ".tar.gz": gzip.open,
    ".tgz": gzip.open,
    ".tar.bz2": bz2.open,
    ".tar.xz": lzma.open,
}
ARCHIVES = (".zip", ".tar", *_COMPRESSED)
"""Endings of the archives that can be read."""
# bz2 says OSError.
_DAMAGE = (EOFError, zlib.error, lzma.LZMAError, OSError)
_READ_AHEAD = 8 << 20


def ending_of(name: str) -> str:
    """Returns the ending of an archive's name, an empty text where it is not one that can be read."""
    return next((ending for ending in ARCHIVES if name.lower().endswith(ending)), "")


class ArchiveSpace:
    """What the archives of a source may take of the disk for temporary files, all together.

    Args:
        uri: The source.
        stored: Bytes of its archives as they lie there.
    """

    def __init__(self, uri: str, stored: int) -> None:
        self._uri = uri
        self._stored = stored
        self.taken = 0
        """Bytes that they take now."""

    def write(self, pieces: Iterable[bytes], target: BinaryIO, name: str, *, total: int | None = None) -> None:
        """Writes to a temporary file, with progress towards a total of bytes where it is known.

        Raises:
            DataError: It would be more than `check_expansion` allows.
            StorageError: The disk of temporary files is full.
        """
        uri = self._uri if self._uri.endswith(name) else f"{self._uri} (lastly {name})"
        with progress(f"Unpacking {name}", total=total, unit="bytes") as bar:
            for piece in pieces:
                self.taken += len(piece)
                check_expansion(uri, self.taken, self._stored)
                with temporary_space():
                    target.write(piece)
                bar.advance(len(piece))
        with temporary_space():
            target.seek(0)


def archive_within(
    place: Storage, key: str, held: ExitStack, *, space: ArchiveSpace, top: str | None = None
) -> ArchiveStorage:
    """Returns an archive that lies in a place, another archive or not.

    Args:
        place: A folder, a prefix or an archive.
        key: The archive's file in it.
        held: Closes what was opened.
        space: What temporary files it may take.
        top: Name of the folder that is left out; by default any, but for one that names a split.

    Raises:
        DataError: It cannot be read, is damaged, or holds what has no place in a collection.
    """
    if isinstance(place, ArchiveStorage):
        file = held.enter_context(_unpacked(place, key, space))
    else:
        file = held.enter_context(_readable(place, key))
    return opened_archive(f"{place.uri}/{key}", ending_of(key), file, held, space=space, top=top)


def _readable(place: Storage, key: str) -> BinaryIO:
    try:
        return place.open(key)
    except Unreachable:
        raise
    except StorageError as error:
        raise DataError(str(error.args[0])) from error


def opened_archive(
    source: str, suffix: str, file: BinaryIO, held: ExitStack, *, space: ArchiveSpace, top: str | None = None
) -> ArchiveStorage:
    """Returns an archive of an open file; a compressed tar is inflated first.

    Args:
        source: Its address, for messages.
        suffix: Its ending, one of `ARCHIVES`.
        file: The file.
        held: Closes what was opened.
        space: What temporary files it may take.
        top: Name of the folder that is left out; by default any, but for one that names a split.

    Raises:
        DataError: It is damaged, or holds what has no place in a collection.
    """
    size = file.seek(0, io.SEEK_END)
    file.seek(0)
    if suffix == ".zip":
        return ZipStorage(source, file, size, top=top)
    if suffix != ".tar":
        file = held.enter_context(_inflated(source, suffix, file, space))
    return TarStorage(source, file, size, top=top)


def _temporary_file() -> BinaryIO:
    with temporary_space():
        return tempfile.TemporaryFile(prefix="lesiongen-")


@contextmanager
def _unpacked(archive: ArchiveStorage, key: str, space: ArchiveSpace) -> Iterator[BinaryIO]:
    """Copies a member to a temporary file: what lies compressed can only be read from its start."""
    with _temporary_file() as target:
        space.write(archive.pieces(key), target, PurePosixPath(key).name, total=archive.size(key))
        yield target


@contextmanager
def _inflated(source: str, suffix: str, file: BinaryIO, space: ArchiveSpace) -> Iterator[BinaryIO]:
    ahead = io.BufferedReader(file, _READ_AHEAD)  # type: ignore[type-var]
    with _temporary_file() as target:
        try:
            space.write(_pieces(source, _COMPRESSED[suffix](ahead)), target, Path(source).name)
        finally:
            ahead.detach()
        yield target


def _pieces(source: str, stream: BinaryIO) -> Iterator[bytes]:
    read = 0
    while True:
        try:
            piece = stream.read(CHUNK)
        except _DAMAGE as error:
            raise DataError(f"{source} is damaged after {read:,} bytes: {error}", hint="Fetch it again.") from error
        if not piece:
            return
        read += len(piece)
        yield piece
