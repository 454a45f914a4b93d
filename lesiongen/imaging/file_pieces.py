"""JPEG and PNG files piece by piece, without decoding a pixel."""

import re
from collections.abc import Iterator

__all__ = ["JPEG_START", "PNG_START", "jpeg_pieces", "png_pieces"]

PNG_START = b"\x89PNG\r\n\x1a\n"
JPEG_START = b"\xff\xd8"
_JPEG_END, _JPEG_SCAN = 0xD9, 0xDA
# Neither a byte of the pixels (0), a restart nor a fill byte.
_AFTER_SCAN = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")


def jpeg_pieces(data: bytes) -> Iterator[tuple[int, slice]]:
    """Yields the marker and the place of every segment of a JPEG file, up to the end of its picture.

    A place begins with the two bytes of its marker; that of a scan takes in the coded pixels. Fill bytes before a
    marker belong to no piece.

    Raises:
        ValueError: The picture has no end.
    """
    at = len(JPEG_START)
    while True:
        while data.startswith(b"\xff\xff", at):
            at += 1
        if at + 2 > len(data) or data[at] != 0xFF:
            raise ValueError("no marker")
        marker = data[at + 1]
        if marker == _JPEG_END:
            yield marker, slice(at, at + 2)
            return
        end = at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        if marker == _JPEG_SCAN:
            end = _scan_end(data, end)
        yield marker, slice(at, end)
        at = end


def _scan_end(data: bytes, start: int) -> int:
    """Returns where the first marker stands behind coded pixels that is none of theirs."""
    found = _AFTER_SCAN.search(data, start)
    if not found:
        raise ValueError("no end")
    return found.start()


def png_pieces(data: bytes) -> Iterator[tuple[bytes, slice]]:
    """Yields the name and the place of every chunk of a PNG file, up to the end of its picture.

    A place begins with the four bytes of the length and ends with the checksum.

    Raises:
        ValueError: The picture has no end.
    """
    at = len(PNG_START)
    while at + 8 <= len(data):
        name, length = data[at + 4 : at + 8], int.from_bytes(data[at : at + 4], "big")
        yield name, slice(at, at + length + 12)
        if name == b"IEND":
            return
        at += length + 12
    raise ValueError("no end")
