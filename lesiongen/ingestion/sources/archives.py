"""Zip and tar archives as storages that can only be read: no member is unpacked, none can lead anywhere else."""

import re
import struct
import tarfile
import threading
import zipfile
import zlib
from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from pathlib import Path, PurePosixPath
from typing import BinaryIO, NoReturn, TypeVar

from lesiongen import limits
from lesiongen.errors import DataError, StorageError, UsageError
from lesiongen.ingestion.sources.archive_headers import BoundedTarFile, check_zip_directory, too_many_members
from lesiongen.ingestion.sources.file_names import is_system_file, readable_name, readable_path
from lesiongen.storage import CHUNK, LocalStorage, Storage, StoredObject

__all__ = ["ArchiveStorage", "ReadOnlyStorage", "TarStorage", "ZipStorage", "check_expansion"]

_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
# What the libraries raise on hostile bytes; an offset outside the file is an OSError.
_DAMAGE = (
    zipfile.BadZipFile,
    tarfile.TarError,
    zlib.error,
    struct.error,
    EOFError,
    OSError,
    ValueError,
    NotImplementedError,
)
_UNIX = 3
"""The system that made a zip member, as its directory has it."""
_SPLITS = {"train", "training", "val", "valid", "validation", "dev", "test", "testing"}
_Item = TypeVar("_Item")


@dataclass(frozen=True)
class Member:
    """A file in an archive: its own name there, its size unpacked, and how its bytes are had, in pieces."""

    name: str
    size: int
    pieces: Callable[[], Iterator[bytes]]


class ReadOnlyStorage(Storage):
    """A storage that is never written."""

    def write_bytes(self, key: str, data: bytes) -> NoReturn:
        """Refuses: it is only read."""
        raise UsageError(f"{self.uri} is only read; nothing can be written to it")

    def create_bytes(self, key: str, data: bytes) -> NoReturn:
        """Refuses: it is only read."""
        self.write_bytes(key, data)

    def delete(self, key: str) -> NoReturn:
        """Refuses: it is only read."""
        self.write_bytes(key, b"")

    def upload_file(self, path: Path, key: str) -> NoReturn:
        """Refuses: it is only read."""
        self.write_bytes(key, b"")


class ArchiveStorage(ReadOnlyStorage):
    """An archive, addressed by its members' names; a folder that holds all of them is left out of the keys.

    Members are read one at a time by random access, by several threads in turn. Names that would leave a folder,
    links, devices and encrypted members are refused when the archive is opened: an archive with one of those is not
    a collection of photographs.

    Args:
        uri: Address of the archive.
        file: The archive, open for reading and seekable.
        bytes_stored: Its size.
        top: Name of the folder that is left out; by default any, but for one that names a split.

    Raises:
        DataError: It is damaged, holds something that has no place in a collection, or unpacks to a multiple of its
            size that no collection does.
    """

    def __init__(self, uri: str, file: BinaryIO, bytes_stored: int, *, top: str | None = None) -> None:
        super().__init__(uri)
        self._lock = threading.Lock()
        try:
            members = _by_key(uri, self._members(file))
        except _DAMAGE as error:
            raise DataError(f"{uri} is damaged, or is not such an archive: {error}", hint="Fetch it again.") from error
        check_expansion(uri, sum(member.size for member in members.values()), bytes_stored)
        self._files = _without_top_folder(members, top)

    @abstractmethod
    def _members(self, file: BinaryIO) -> Iterator[Member]:
        """Yields the members that are files."""

    def read_bytes(self, key: str) -> bytes:
        """Returns a member's bytes.

        Raises:
            DataError: The member is damaged.
        """
        return b"".join(self.pieces(key))

    def pieces(self, key: str) -> Iterator[bytes]:
        """Yields a member's bytes in pieces; no other member can be read meanwhile.

        Raises:
            DataError: The member is damaged.
        """
        if key not in self._files:
            raise StorageError(f"{self.uri} contains no member {key!r}")
        member, done = self._files[key], 0
        try:
            with self._lock:
                for piece in member.pieces():
                    yield piece
                    done += len(piece)
        except _DAMAGE as error:
            raise DataError(f"{self.uri}: the member {member.name!r} cannot be read: {error}") from error
        if done < member.size:
            raise DataError(f"{self.uri}: the member {member.name!r} ends after {done:,} of {member.size:,} bytes")

    def size(self, key: str) -> int:
        """Returns the bytes of a member."""
        return self._files[key].size

    def exists(self, key: str) -> bool:
        """Tells whether there is such a member."""
        return key in self._files

    def list(self, prefix: str = "") -> Iterator[StoredObject]:
        """Lists the members, sorted by key."""
        for key in sorted(self._files):
            if key.startswith(prefix):
                yield StoredObject(key, self._files[key].size)

    def open(self, key: str) -> BinaryIO:
        """Opens a member, which is held in memory."""
        return BytesIO(self.read_bytes(key))

    def download_file(self, key: str, path: Path) -> None:
        """Writes a member to a local file."""
        with LocalStorage(str(path.parent)).replacing(path.name) as temporary, temporary.open("wb") as file:
            file.writelines(self.pieces(key))


class ZipStorage(ArchiveStorage):
    """A zip archive."""

    def _members(self, file: BinaryIO) -> Iterator[Member]:
        check_zip_directory(self.uri, file)
        archive = zipfile.ZipFile(file)
        for info in _bounded(self.uri, archive.infolist()):
            if info.is_dir():
                continue
            name = _zip_name(info)
            kind = info.external_attr >> 28
            # The upper half holds the Unix mode where the maker wrote one: 0 is none, 8 a file.
            if kind not in (0, 8):
                _refuse(self.uri, name, "is a link or a device")
            if info.flag_bits & 1:
                raise DataError(
                    f"{self.uri}: the member {name!r} is encrypted", hint="Unpack it with its password, into a folder."
                )
            yield Member(name, info.file_size, partial(_inflated, archive, info))


class TarStorage(ArchiveStorage):
    """A tar archive that is not compressed."""

    def _members(self, file: BinaryIO) -> Iterator[Member]:
        with BoundedTarFile.open(fileobj=file, mode="r:") as archive:
            for info in _bounded(self.uri, archive):
                if info.size < 0:  # the next header would be sought before this one, for ever
                    raise tarfile.ReadError(f"the member {info.name[:200]!r} has {info.size:,} bytes")
                if info.isdir():
                    continue
                if not info.isreg() or info.issparse():
                    _refuse(self.uri, readable_path(info.name), "is a link, a device or a sparse file")
                yield Member(readable_path(info.name), info.size, partial(_section, file, info.offset_data, info.size))
                archive.members = []  # type: ignore[attr-defined]  # else it keeps every header that it has passed
            # tarfile takes a cut or garbled header for the end; the true end is a block of zeros.
            if any(block := b"".join(_section(file, archive.offset, tarfile.BLOCKSIZE))) or not block:
                raise tarfile.ReadError(f"no member and no end at byte {archive.offset:,}")


def check_expansion(uri: str, unpacked: int, stored: int) -> None:
    """Refuses an archive that unpacks to many times its size.

    Raises:
        DataError: It unpacks to more than `limits.MAX_EXPANSION` times its size.
    """
    if unpacked > max(limits.UNQUESTIONED_BYTES, limits.MAX_EXPANSION * stored):
        times = f"more than {limits.MAX_EXPANSION} times its size (MAX_EXPANSION)"
        raise DataError(
            f"{uri} unpacks from {stored:,} to at least {unpacked:,} bytes, {times}",
            hint="Such an archive is made to fill a disk (a decompression bomb). Fetch the collection from its source.",
        )


def _bounded(uri: str, members: Iterable[_Item]) -> Iterator[_Item]:
    for number, member in enumerate(members):
        if number >= limits.MAX_MEMBERS:
            raise too_many_members(uri)
        yield member


def _inflated(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Iterator[bytes]:
    with archive.open(info) as stream:
        # In pieces and never read(): what the member claims to hold may be less than what it inflates to.
        while piece := stream.read(CHUNK):
            yield piece


def _section(file: BinaryIO, start: int, size: int) -> Iterator[bytes]:
    file.seek(start)
    while size > 0 and (piece := file.read(min(size, CHUNK))):
        size -= len(piece)
        yield piece


def _zip_name(info: zipfile.ZipInfo) -> str:
    """Returns a member's name, which is said to be UTF-8 or else read as code page 437, as Windows writes it.

    macOS writes UTF-8 without saying so, and archivers of Unix the bytes of the file's name as they are.
    """
    name = info.orig_filename
    if info.flag_bits & 0x800:
        return name
    raw = name.encode("cp437")
    if info.create_system == _UNIX:
        return readable_name(raw)
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return name


def _by_key(uri: str, members: Iterable[Member]) -> dict[str, Member]:
    found: dict[str, Member] = {}
    for member in members:
        key = _checked_key(uri, member.name)  # "./a.png" and "a.png" are one file
        if is_system_file(key):
            continue
        if _CONTROL.search(key):
            _refuse(uri, member.name, "has a name with control characters")
        if key in found:
            _refuse(uri, member.name, "is there twice")
        found[key] = member
    return found


def _checked_key(uri: str, name: str) -> str:
    if len(name) > limits.MAX_NAME_CHARACTERS:
        _refuse(uri, name, f"has a name of more than {limits.MAX_NAME_CHARACTERS:,} characters (MAX_NAME_CHARACTERS)")
    path = PurePosixPath(name)
    if len(path.parts) > limits.MAX_FOLDERS:
        _refuse(uri, name, f"lies in more than {limits.MAX_FOLDERS} folders within one another (MAX_FOLDERS)")
    if "\\" in name and ".." not in name and name[1:2] != ":" and name[0] != "\\":
        _refuse(uri, name, "has backslashes between its folders, as some archivers of Windows write them")
    if path.is_absolute() or ".." in path.parts or "\\" in name or name[1:2] == ":":
        _refuse(uri, name, "would leave the folder that it is unpacked into")
    if not path.parts:
        _refuse(uri, name, "has a name that no file can have")
    return path.as_posix()


def _refuse(uri: str, name: str, reason: str) -> NoReturn:
    raise DataError(
        f"{uri}: the member {name[:200]!r} {reason}; the archive is not read",
        hint="Look into who made it. To use the rest, unpack it in a place of its own and give that folder.",
    )


def _without_top_folder(files: dict[str, Member], wanted: str | None) -> dict[str, Member]:
    """Takes off the one folder in which an archive keeps everything."""
    tops = {PurePosixPath(key).parts[0] for key in files}
    top = next(iter(tops), "")
    meant = top.lower() not in _SPLITS if wanted is None else top == wanted
    if len(tops) != 1 or top in files or not meant:
        return files
    return {key.removeprefix(f"{top}/"): member for key, member in files.items()}
