"""What is kept once on disk on its way into a dataset."""

import tempfile
from contextlib import suppress
from types import TracebackType
from typing import Self

from lesiongen.storage import temporary_space

__all__ = ["Spool"]


class Spool:
    """Bytes put aside in one temporary file, so that images are read and decoded once and memory stays flat."""

    def __enter__(self) -> Self:
        with temporary_space():
            self._file = tempfile.TemporaryFile(prefix="lesiongen-")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with suppress(OSError):  # what a full disk has not taken is not wanted any more
            self._file.close()

    def put(self, data: bytes) -> slice:
        """Puts bytes aside and returns where they are.

        Raises:
            StorageError: The disk of temporary files is full.
        """
        with temporary_space():
            start = self._file.seek(0, 2)
            self._file.write(data)
            self._file.flush()  # a full disk is reported here, and not when the bytes are needed
        return slice(start, start + len(data))

    def get(self, place: slice) -> bytes:
        """Returns the bytes of a place."""
        self._file.seek(place.start)
        return self._file.read(place.stop - place.start)
