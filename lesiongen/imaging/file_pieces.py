"""JPEG and PNG files piece by piece, without decoding a pixel."""

from collections.abc import Iterator

import numpy as np

__all__ = ["JPEG_START", "PNG_START", "jpeg_pieces", "png_pieces"]

PNG_START = b"\x89PNG\r\n\x1a\n"
JPEG_START = b"\xff\xd8"
_JPEG_END, _JPEG_SCAN = 0xD9, 0xDA


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
    coded = np.frombuffer(data, dtype=np.uint8, offset=min(start, len(data)))
    places = np.flatnonzero((coded[:-1] == 0xFF) & (coded[1:] != 0))  # 0 makes it a byte of the pixels
    codes = coded[1:][places]
    places = places[((codes < 0xD0) | (codes > 0xD7)) & (codes != 0xFF)]  # nor restarts and fill bytes
    if not len(places):
        raise ValueError("no end")
    return start + int(places[0])


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
