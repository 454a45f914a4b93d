"""What is done with files wherever they are stored."""

import errno
import hashlib
import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from lesiongen.errors import StorageError, UsageError

__all__ = ["CHUNK", "already_holds", "as_json", "file_digest", "json_digest", "path_digest", "temporary_space"]

CHUNK = 1 << 20
"""Bytes that are read at a time."""
_NOT_OF_THE_DISK = {errno.ENOMEM, errno.EAGAIN, errno.EMFILE, errno.ENFILE}
"""Numbers of errors of memory, of processes and of open files."""


def already_holds(uri: str, what: str) -> UsageError:
    """Returns the error of an output that holds something published already: ``a dataset``, ``a model``."""
    return UsageError(
        f"{uri} already holds {what}",
        hint="An output is never overwritten: choose another one, or delete this one first.",
    )


def as_json(value: object) -> str:
    """Returns a value as indented JSON, the way in which it is stored."""
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


def file_digest(source: BinaryIO) -> str:
    """Returns the SHA-256 of a stream, in hexadecimal, reading it in pieces."""
    digest = hashlib.sha256()
    while chunk := source.read(CHUNK):
        digest.update(chunk)
    return digest.hexdigest()


def path_digest(path: Path) -> str:
    """Returns the SHA-256 of a file, in hexadecimal, reading it in pieces."""
    with path.open("rb") as stream:
        return file_digest(stream)


def json_digest(value: object) -> str:
    """Returns the SHA-256 of a value that JSON can hold, whatever the order of its keys and the layout of its text."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


@contextmanager
def temporary_space() -> Iterator[None]:
    """Turns a failure to write temporary files into an error that says what to do; one of memory is raised as it is.

    Raises:
        StorageError: The disk of temporary files is full, or may not be written.
    """
    try:
        yield
    except OSError as error:
        if error.errno in _NOT_OF_THE_DISK:
            raise
        # Where no folder takes a file, Python finds none: it names those that it has tried.
        place = "" if isinstance(error, FileNotFoundError) else f" to {tempfile.gettempdir()}"
        raise StorageError(
            f"Temporary files cannot be written{place}: {error.strerror or error}",
            hint="Free some space there, or set TMPDIR to a larger disk.",
        ) from error
