"""Images on their way into a dataset: checked, cleaned of what else a file may carry, and kept once on disk."""

import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from lesiongen import limits
from lesiongen.imaging import Fingerprint, decode, encode_png, fingerprint
from lesiongen.imaging.decoding import decode_small, stored_pixels
from lesiongen.imaging.encoding import pixel_hash
from lesiongen.imaging.file_pieces import PNG_START
from lesiongen.imaging.private_metadata import private_metadata
from lesiongen.ingest.stripping import stripped
from lesiongen.storage import temporary_space

__all__ = ["Picture", "Spool", "clean"]


@dataclass(frozen=True)
class Picture:
    """An image that decodes.

    Attributes:
        data: The bytes to keep.
        fingerprint: By which near-duplicates are found.
        removed: What its file carried that could identify a person, and no longer does.
    """

    data: bytes
    fingerprint: Fingerprint
    removed: tuple[str, ...] = ()


def clean(data: bytes) -> Picture:
    """Checks an image file and removes what is not picture.

    A plain 8-bit RGB JPEG or PNG is kept byte for byte. One that also carries EXIF, XMP, comments or further images
    loses them and keeps its coded pixels, where it is stored upright. Anything else is decoded upright and written
    anew as PNG.

    Raises:
        ImageError: The image cannot be used.
    """
    with _ROOM.taken(stored_pixels(data)):
        return _cleaned(data)


def _cleaned(data: bytes) -> Picture:
    kept = stripped(data)
    if kept == data:
        # Small, a JPEG takes half the time, and is read to its end all the same.
        return Picture(data, fingerprint(decode_small(data).image))
    image = decode(data)
    if kept is None or pixel_hash(decode(kept)) != pixel_hash(image):
        kept = encode_png(image)
    # Taken as from the stored file, as a merge and validation take it.
    small = image if kept.startswith(PNG_START) else decode_small(kept).image
    return Picture(kept, fingerprint(small), private_metadata(data))


class _Room:
    """Pixels that threads may hold decoded at a time, all together; one picture always has room.

    Args:
        pixels: How many.
    """

    def __init__(self, pixels: int) -> None:
        self._free, self._pixels = pixels, pixels
        self._changed = threading.Condition()

    @contextmanager
    def taken(self, pixels: int) -> Iterator[None]:
        """Waits until there is room for so many, and takes it for the block."""
        pixels = min(pixels, self._pixels)
        with self._changed:
            self._changed.wait_for(lambda: self._free >= pixels)
            self._free -= pixels
        try:
            yield
        finally:
            with self._changed:
                self._free += pixels
                self._changed.notify_all()


_ROOM = _Room(limits.MAX_PIXELS)


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
            self._file.flush()  # a full disk is told here, and not when the bytes are wanted
        return slice(start, start + len(data))

    def get(self, place: slice) -> bytes:
        """Returns the bytes of a place."""
        self._file.seek(place.start)
        return self._file.read(place.stop - place.start)
