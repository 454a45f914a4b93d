"""What zip and tar archives say of their members, bounded before the standard library makes an object of each."""

import re
import struct
import tarfile
import zipfile
from typing import BinaryIO, Self

from lesiongen import limits
from lesiongen.errors import DataError

__all__ = ["BoundedTarFile", "check_zip_directory", "too_many_members"]

_ENTRY = struct.Struct("<4s24xHHH12x")
_END_OF_ZIP64 = 76
"""Bytes of the records that a zip64 archive has between its directory and its end."""
_RECORD = re.compile(rb"(\d{1,9}) [^=\n]{1,1000}=")
# The standard library searches for numbers, from every digit of a run to the run's end.
_DIGITS = re.compile(rb"\d{250}")
_EXTENDED = {tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE}
_GLOBAL_RECORDS = 100
"""Records of global headers, which each member gets a copy of; archivers write one or two."""
_LONG_NAMES = {tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK}


def check_zip_directory(uri: str, file: BinaryIO) -> None:
    """Counts a zip archive's members in its directory, whatever number its end states.

    Raises:
        DataError: There are more than allowed.
        OSError, struct.error, zipfile.BadZipFile: It is damaged; `zipfile` says what.
    """
    # The standard library's own reading of the end, so that what is counted is what it would read.
    end = zipfile._EndRecData(file)  # type: ignore[attr-defined]
    if not end:
        raise zipfile.BadZipFile("File is not a zip file")
    signature, size, place = end[0], end[5], end[9]
    if size > limits.MAX_ZIP_DIRECTORY_BYTES:
        raise _too_many(
            uri, f"a directory of {size:,} bytes", limits.MAX_ZIP_DIRECTORY_BYTES, "MAX_ZIP_DIRECTORY_BYTES"
        )
    file.seek(max(0, place - size - (_END_OF_ZIP64 if signature.startswith(b"PK\x06\x06") else 0)))
    directory, at, count = file.read(size), 0, 0
    while at + _ENTRY.size <= len(directory):
        start, *lengths = _ENTRY.unpack_from(directory, at)
        if start != b"PK\x01\x02":
            break
        at += _ENTRY.size + sum(lengths)
        count += 1
        if count > limits.MAX_MEMBERS:
            raise too_many_members(uri)
    file.seek(0)


def too_many_members(uri: str) -> DataError:
    """Returns the error of an archive that holds more members than allowed."""
    return DataError(
        f"{uri} holds more than {limits.MAX_MEMBERS:,} members (MAX_MEMBERS)", hint="Unpack it, and give a part of it."
    )


def _too_many(uri: str, what: str, limit: int, name: str) -> DataError:
    return DataError(
        f"{uri} has {what}, more than the {limit:,} allowed ({name})", hint="Unpack it, and give that folder."
    )


class BoundedTarFile(tarfile.TarFile):
    """A tar archive whose extended headers are looked at before they are parsed.

    They may be of any size and in any number, and `tarfile` takes quadratic time for some, and a level of recursion for
    each of those in a row. What it cannot be given is a `tarfile.ReadError`.
    """

    in_a_row = 0
    """Headers that belong to the member which is being read."""


class _TarInfo(tarfile.TarInfo):
    @classmethod
    def fromtarfile(cls, archive: BoundedTarFile) -> Self:  # type: ignore[override]  # it is read by no other
        archive.in_a_row += 1
        try:
            if archive.in_a_row > limits.MAX_TAR_HEADERS + 1:
                raise tarfile.ReadError(
                    f"more than {limits.MAX_TAR_HEADERS} extended headers in a row (MAX_TAR_HEADERS)"
                )
            _check_header(archive)
            return super().fromtarfile(archive)
        finally:
            archive.in_a_row -= 1


BoundedTarFile.tarinfo = _TarInfo


def _check_header(archive: tarfile.TarFile) -> None:
    """Looks at the header at the archive's position, and at what follows it where it is an extended one."""
    file = archive.fileobj
    start = file.tell()
    block = file.read(tarfile.BLOCKSIZE)
    kind = block[156:157]
    if kind in _EXTENDED | _LONG_NAMES:
        size = tarfile.TarInfo.frombuf(block, archive.encoding or "utf-8", archive.errors or "surrogateescape").size
        if not 0 <= size <= limits.MAX_TAR_HEADER_BYTES:
            limit = f"more than the {limits.MAX_TAR_HEADER_BYTES:,} allowed (MAX_TAR_HEADER_BYTES)"
            raise tarfile.ReadError(f"an extended header of {size:,} bytes, {limit}")
        if kind in _EXTENDED and not _is_in_order(file.read(size)):
            raise tarfile.ReadError(f"the extended header at byte {start:,} is damaged")
    if len(archive.pax_headers) > _GLOBAL_RECORDS:
        raise tarfile.ReadError("the global headers have too many records")
    file.seek(start)


def _is_in_order(records: bytes) -> bool:
    """Tells whether each record has the length that it states: ``23 path=images/1.jpg`` and a line feed."""
    at = 0
    while at < len(records) and records[at]:
        found = _RECORD.match(records, at)
        end = at + int(found[1]) if found else 0
        if not found or end <= found.end() or records[end - 1 : end] != b"\n":
            return False
        at = end
    return not _DIGITS.search(records)
