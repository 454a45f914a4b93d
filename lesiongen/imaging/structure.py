"""What an image file is made of, counted before a decoder takes it apart.

Decoders spend time on every segment, scan, chunk, block and tag, however empty, and some of them more on each further
one. Here the bytes are passed over once.
"""

import re
import struct
from bisect import bisect_left
from collections.abc import Callable, Iterator
from itertools import islice

from lesiongen import limits
from lesiongen.imaging.file_pieces import JPEG_START, PNG_START, png_pieces

__all__ = ["excess"]

# Neither a stuffed byte, a fill byte, a restart nor the start of a file: none of them is followed by a length.
_MARKER = re.compile(rb"\xff[^\x00\x01\xd0-\xd8\xff]")
_END, _SCAN, _EXIF = 0xD9, 0xDA, b"Exif\0\0"
_NUMBERS = {3, 4, 5, 6, 8, 9, 10, 11, 12, 13, 16, 17, 18}
"""TIFF's types of which each value becomes a Python number; the others are bytes and text."""


def excess(data: bytes) -> str | None:
    """Says what an image file holds more of than the limits allow; None where nothing is.

    A file that is damaged is looked at as far as it can be followed: decoders do not get further.
    """
    looks: tuple[tuple[bytes | tuple[bytes, ...], Callable[[bytes], str | None]], ...] = (
        (JPEG_START, _of_jpeg),
        (PNG_START, _of_png),
        ((b"GIF87a", b"GIF89a"), _of_gif),
        ((b"II", b"MM"), _of_tiff),
    )
    look = next((look for start, look in looks if data.startswith(start)), None)
    return look(data) if look else None


def _more_than(limit: int, what: str, name: str) -> str:
    return f"holds more than {limit:,} {what} ({name})"


def _exceeds(found: Iterator[object], limit: int) -> bool:
    return next(islice(found, limit, None), None) is not None


def _of_jpeg(data: bytes) -> str | None:
    # All of them, wherever they are: decoders differ in what they skip.
    found = islice(_MARKER.finditer(data), limits.MAX_JPEG_MARKERS + 1)
    places = [match.start() for match in found]
    if len(places) > limits.MAX_JPEG_MARKERS:
        return _more_than(limits.MAX_JPEG_MARKERS, "markers", "MAX_JPEG_MARKERS")
    if sum(data.startswith(_EXIF, at + 4) for at in places) > limits.MAX_EXIF_SEGMENTS:
        return _more_than(limits.MAX_EXIF_SEGMENTS, "EXIF segments", "MAX_EXIF_SEGMENTS")
    if _exceeds(_scans(data, places), limits.MAX_SCANS):
        return _more_than(limits.MAX_SCANS, "scans", "MAX_SCANS")
    return None


def _scans(data: bytes, places: list[int]) -> Iterator[int]:
    """Yields the places of a JPEG's scans, as libjpeg finds them: what lies between segments is skipped.

    Args:
        data: The file.
        places: Where its markers may be.
    """
    number = 0
    while number < len(places) and data[(at := places[number]) + 1] != _END:
        if data[at + 1] == _SCAN:
            yield at
        behind = at + 2 + max(2, int.from_bytes(data[at + 2 : at + 4], "big"))
        number = bisect_left(places, behind, number + 1)


def _of_png(data: bytes) -> str | None:
    try:
        many = _exceeds(png_pieces(data), limits.MAX_PNG_CHUNKS)
    except ValueError:  # it has no end
        return None
    return _more_than(limits.MAX_PNG_CHUNKS, "chunks", "MAX_PNG_CHUNKS") if many else None


def _of_gif(data: bytes) -> str | None:
    many = _exceeds(_gif_blocks(data), limits.MAX_GIF_BLOCKS)
    return _more_than(limits.MAX_GIF_BLOCKS, "blocks", "MAX_GIF_BLOCKS") if many else None


def _gif_blocks(data: bytes) -> Iterator[int]:
    """Yields the place of every block of a GIF, and of every byte between blocks."""
    at = 13 + _palette_bytes(data, 10)
    while at < len(data) and data[at] != ord(";"):
        yield at
        if data[at] not in b"!,":
            at += 1
            continue
        at += 2 if data[at] == ord("!") else 11 + _palette_bytes(data, at + 9)
        while at < len(data) and data[at]:
            yield at
            at += 1 + data[at]
        at += 1


def _palette_bytes(data: bytes, at: int) -> int:
    """Returns the length in bytes of the palette of a GIF whose flags are at a place; 0 without one."""
    flags = data[at] if at < len(data) else 0
    return 3 << (flags & 7) + 1 if flags & 128 else 0


def _of_tiff(data: bytes) -> str | None:
    try:
        most = max(_value_counts(data), default=0)
    except struct.error:  # it is cut
        return None
    if most > limits.MAX_TIFF_VALUES:
        return f"has a tag of {most:,} numbers, more than the {limits.MAX_TIFF_VALUES:,} allowed (MAX_TIFF_VALUES)"
    return None


def _value_counts(data: bytes) -> Iterator[int]:
    """Yields how many numbers each tag of a TIFF's first directory has, in its classic and its big form."""
    order = "<" if data.startswith(b"II") else ">"
    big = struct.unpack_from(f"{order}H", data, 2)[0] == 43
    offset, number = ("Q", "Q") if big else ("L", "H")
    (at,) = struct.unpack_from(f"{order}{offset}", data, 8 if big else 4)
    (entries,) = struct.unpack_from(f"{order}{number}", data, at)
    entry = struct.Struct(f"{order}HH{offset}{offset}")
    at += struct.calcsize(f"{order}{number}")
    for index in range(entries):
        _, kind, count, _ = entry.unpack_from(data, at + index * entry.size)
        if kind in _NUMBERS:
            yield count
