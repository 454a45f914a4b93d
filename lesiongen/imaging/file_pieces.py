"""JPEG and PNG files piece by piece, without decoding a pixel."""

import re
from collections.abc import Iterator

__all__ = ["JPEG_START", "PNG_START", "jpeg_pieces", "jpeg_pixels", "png_pieces"]

PNG_START = b"\x89PNG\r\n\x1a\n"
JPEG_START = b"\xff\xd8"
_JPEG_END, _JPEG_SCAN = 0xD9, 0xDA
_JPEG_FRAMES = {0xC0, 0xC1, 0xC2}
_USUAL_HEADERS = {*_JPEG_FRAMES, 0xC4, 0xDB, 0xDD, *range(0xE0, 0xF0), 0xFE}
"""Frames, tables, the restart interval, applications' segments and comments."""
_MOST_HEADERS = 100
"""Segments before the pixels, of more than which a file is not looked at for its size."""
# Neither a byte of the pixels (0), a restart nor a fill byte.
_AFTER_SCAN = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")


def jpeg_pieces(data: bytes) -> Iterator[tuple[int, slice]]:
    """Yields the marker and the place of every segment of a JPEG file, up to the end of its image.

    A place begins with the two bytes of its marker; that of a scan takes in the coded pixels. Fill bytes before a
    marker belong to no piece.

    Raises:
        ValueError: The image has no end.
    """
    at = len(JPEG_START)
    while True:
        at = _marker_at(data, at)
        marker = data[at + 1]
        if marker == _JPEG_END:
            yield marker, slice(at, at + 2)
            return
        end = _header_end(data, at)
        if marker == _JPEG_SCAN:
            end = _scan_end(data, end)
        yield marker, slice(at, end)
        at = end


def jpeg_pixels(data: bytes) -> int:
    """Returns the width times the height of a JPEG file, 0 where the usual segments before its pixels do not say it."""
    found, at = 0, len(JPEG_START)
    for _ in range(_MOST_HEADERS if data.startswith(JPEG_START) else 0):
        try:
            at = _marker_at(data, at)
        except ValueError:
            break
        marker, end = data[at + 1], _header_end(data, at)
        if marker == _JPEG_SCAN:
            return found
        # Decoders differ in how they pass over others, and would find another frame.
        if marker not in _USUAL_HEADERS or end < at + 4:
            break
        if marker in _JPEG_FRAMES:
            height, width = (int.from_bytes(data[place : place + 2], "big") for place in (at + 5, at + 7))
            found = max(found, height * width)
        at = end
    return 0


def _marker_at(data: bytes, at: int) -> int:
    """Returns where the marker at a place begins, perhaps behind fill bytes."""
    while data.startswith(b"\xff\xff", at):
        at += 1
    if at + 2 > len(data) or data[at] != 0xFF:
        raise ValueError("no marker")
    return at


def _header_end(data: bytes, at: int) -> int:
    """Returns where the segment ends whose marker begins at a place, without the coded pixels of a scan."""
    return at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")


def _scan_end(data: bytes, start: int) -> int:
    """Returns where the first marker is behind coded pixels that does not belong to them."""
    found = _AFTER_SCAN.search(data, start)
    if not found:
        raise ValueError("no end")
    return found.start()


def png_pieces(data: bytes) -> Iterator[tuple[bytes, slice]]:
    """Yields the name and the place of every chunk of a PNG file, up to the end of its image.

    A place begins with the four bytes of the length and ends with the checksum.

    Raises:
        ValueError: The image has no end.
    """
    at = len(PNG_START)
    while at + 8 <= len(data):
        name, length = data[at + 4 : at + 8], int.from_bytes(data[at : at + 4], "big")
        yield name, slice(at, at + length + 12)
        if name == b"IEND":
            return
        at += length + 12
    raise ValueError("no end")
