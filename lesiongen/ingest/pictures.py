"""Images on their way into a dataset: checked, cleaned of what else a file may carry, and kept once on disk."""

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from lesiongen.imaging import content_digest, decode, encode_png

__all__ = ["Picture", "Spool", "clean", "is_plain"]

_PNG_START = b"\x89PNG\r\n\x1a\n"
_PNG_CHUNKS = {b"IHDR", b"PLTE", b"IDAT", b"IEND", b"sRGB", b"gAMA", b"cHRM", b"pHYs", b"iCCP", b"sBIT", b"bKGD"}
# JFIF, the colour profile and Adobe's colour transform; anything else may say who the patient is.
_JPEG_SEGMENTS = {0xE0: b"JFIF\0", 0xE2: b"ICC_PROFILE\0", 0xEE: b"Adobe"}
_JPEG_FRAMES = {0xC0, 0xC1, 0xC2}
_JPEG_SCAN = 0xDA


@dataclass(frozen=True)
class Picture:
    """An image that decodes: the bytes to keep and the digest of its pixels."""

    data: bytes
    digest: str


def clean(data: bytes) -> Picture:
    """Checks an image file and removes what is not picture.

    A plain 8-bit RGB JPEG or PNG is kept byte for byte. Anything else, and any file that carries EXIF, XMP, comments
    or further images, is decoded upright and written anew as PNG.

    Raises:
        ImageError: The image cannot be used.
    """
    image = decode(data)
    return Picture(data if is_plain(data) else encode_png(image), content_digest(image))


def is_plain(data: bytes) -> bool:
    """Tells whether a file is an 8-bit RGB JPEG or PNG that holds a picture and nothing else."""
    if data.startswith(_PNG_START):
        chunks = dict(_png_chunks(data))
        header = chunks.get(b"IHDR", b"")
        return chunks.keys() <= _PNG_CHUNKS and header[8:10] == b"\x08\x02" and data.endswith(b"IEND\xaeB`\x82")
    return data.startswith(b"\xff\xd8") and _is_plain_jpeg(data)


def _png_chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = len(_PNG_START)
    while at + 8 <= len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        yield data[at + 4 : at + 8], data[at + 8 : at + 8 + min(length, 32)]
        at += length + 12


def _is_plain_jpeg(data: bytes) -> bool:
    components = 0
    for marker, body in _jpeg_segments(data):
        if marker in _JPEG_FRAMES:
            components = body[5] if len(body) > 5 else 0
        elif 0xE0 <= marker <= 0xEF or marker == 0xFE:
            start = _JPEG_SEGMENTS.get(marker)
            if start is None or not body.startswith(start):
                return False
        elif marker == _JPEG_SCAN:
            return components == 3 and data.rstrip(b"\0").endswith(b"\xff\xd9")
    return False


def _jpeg_segments(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yields the segments up to the first scan."""
    at = 2
    while at + 4 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        length = int.from_bytes(data[at + 2 : at + 4], "big")
        yield marker, data[at + 4 : at + 2 + length]
        if marker == _JPEG_SCAN:
            return
        at += 2 + length


class Spool:
    """Bytes put aside in one temporary file, so that images are read and decoded once and memory stays flat."""

    def __enter__(self) -> Self:
        self._file = tempfile.TemporaryFile(prefix="lesiongen-")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._file.close()

    def put(self, data: bytes) -> slice:
        """Puts bytes aside and returns where they are."""
        start = self._file.seek(0, 2)
        self._file.write(data)
        return slice(start, start + len(data))

    def get(self, place: slice) -> bytes:
        """Returns the bytes of a place."""
        self._file.seek(place.start)
        return self._file.read(place.stop - place.start)
