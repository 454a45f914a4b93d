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
from lesiongen.ingest.archives import ArchiveStorage, TarStorage, ZipStorage, check_expansion
from lesiongen.progress import progress
from lesiongen.storage import CHUNK, Storage, open_storage, readable

__all__ = ["ARCHIVES", "name_of", "open_source"]

_COMPRESSED: dict[str, Callable[[Any], Any]] = {
    ".tar.gz": gzip.open,
    ".tgz": gzip.open,
    ".tar.bz2": bz2.open,
    ".tar.xz": lzma.open,
}
ARCHIVES = (".zip", ".tar", *_COMPRESSED)
"""Endings of the archives that can be read."""
_DAMAGE = (EOFError, zlib.error, lzma.LZMAError, gzip.BadGzipFile)
_READ_AHEAD = 8 << 20


def name_of(source: str) -> str:
    """Returns the name of a source: the last part of its address, without the ending of an archive."""
    address = source.rstrip("/") if "://" in source else Path(source).resolve().as_posix()
    name = address.rpartition("/")[2]
    ending = next((ending for ending in ARCHIVES if name.lower().endswith(ending)), "")
    return name[: len(name) - len(ending)] or "dataset"


@contextmanager
def open_source(source: str) -> Iterator[Storage]:
    """Opens the place of a collection for reading.

    Zip and plain tar archives are read where they lie, member by member, on S3 by ranged requests. A compressed tar
    has no index: it is inflated once into a temporary file.

    Args:
        source: Folder, ``s3://`` prefix, or an archive in one of them (`ARCHIVES`).

    Raises:
        UsageError: There is no such place, or it is a file of another kind.
        DataError: The archive is damaged, or holds what has no place in a collection.
    """
    suffix = next((ending for ending in ARCHIVES if source.lower().endswith(ending)), None)
    local = Path(source) if "://" not in source else None
    if suffix is None or (local is not None and local.is_dir()):
        yield _folder(source, local)
        return
    if local is not None and not local.is_file():
        raise UsageError(f"The source {source} does not exist", hint="Give the collection's folder, archive or prefix.")
    with ExitStack() as stack:
        file = stack.enter_context(readable(local) if local else _remote(source))
        yield _archive(source, suffix, file, stack)


def _folder(source: str, local: Path | None) -> Storage:
    if local is not None and not local.is_dir():
        what = f"is no archive of a known kind ({', '.join(ARCHIVES)})" if local.is_file() else "does not exist"
        raise UsageError(f"The source {source} {what}", hint="Give the collection's folder, archive or s3:// prefix.")
    return open_storage(source)


def _remote(source: str) -> BinaryIO:
    parent, _, name = source.rpartition("/")
    return open_storage(parent).open(name)


def _archive(source: str, suffix: str, file: BinaryIO, stack: ExitStack) -> ArchiveStorage:
    size = file.seek(0, io.SEEK_END)
    file.seek(0)
    if suffix == ".zip":
        return ZipStorage(source, file, size)
    if suffix == ".tar":
        return TarStorage(source, file, size)
    return TarStorage(source, stack.enter_context(_inflated(source, suffix, file, size)), size)


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
