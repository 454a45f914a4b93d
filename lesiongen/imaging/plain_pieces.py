"""Which pieces of a JPEG or PNG file are image data, what of them stays, and what the rest is.

A list of what may stay, not of what must go: a segment or chunk that is not on it, or is longer than it has to be,
holds what somebody put there.
"""

import struct
import zlib
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import accumulate
from typing import NamedTuple

from lesiongen.imaging.colour_profile import is_colour_profile, png_profile
from lesiongen.imaging.file_pieces import jpeg_pieces, png_pieces

__all__ = ["OTHER", "Piece", "plain_jpeg", "plain_png"]

OTHER, THUMBNAIL, PROFILE = "other data", "thumbnail", "unusable colour profile"


class Piece(NamedTuple):
    """A piece of an image file.

    Attributes:
        marker: Marker of the JPEG segment or name of the PNG chunk.
        kept: What of it is image data; empty where nothing is.
        removed: Kind of what is not; None where all of it is, or where it says nothing of anybody.
        stop: Where it ends in the file.
    """

    marker: int | bytes
    kept: bytes
    removed: str | None
    stop: int


# Tables, restart interval, frames and scans. Decoders check the lengths of these, but not of the number of lines (DNL),
# which they skip.
_SCAN, _END, _SEQUENTIAL = 0xDA, 0xD9, {0xC0, 0xC1}
_JPEG_IMAGE = {*_SEQUENTIAL, 0xC2, 0xC4, 0xDB, 0xDD, _SCAN}
_OTHER_FRAMES = {0xC3, *range(0xC5, 0xD0)} - {0xC8}
_JFIF, _JFXX, _ICC, _ADOBE = b"JFIF\0", b"JFXX\0", b"ICC_PROFILE\0", b"Adobe"
_JFIF_BYTES, _ADOBE_BYTES = 14, 12
"""Lengths of a JFIF segment without a thumbnail, and of Adobe's, which holds the colour transform."""
_NAMED = {
    (0xE1, b"Exif\0"): "EXIF",
    (0xE1, b"http://ns.adobe.com/x"): "XMP",
    (0xED, b"Photoshop"): "IPTC",
    (0xE0, _JFXX): THUMBNAIL,
    (0xE2, _ICC): PROFILE,
    (0xFE, b""): "comment",
}


def plain_jpeg(data: bytes) -> Iterator[Piece]:
    """Yields the pieces of a JPEG file behind its first two bytes, up to the end of its image.

    Raises:
        ValueError: The image has no end.
    """
    pieces: list[tuple[int, slice]] = []
    with suppress(ValueError):
        pieces.extend(jpeg_pieces(data))
    keeps_profile, last, seen = _has_profile(data, pieces), _last_scan(data, pieces), set[int]()
    for number, (marker, place) in enumerate(pieces):
        piece = data[place]
        is_image = marker == _END or (marker in _JPEG_IMAGE and number <= last)
        if is_image or marker == 0xE2 and keeps_profile and piece[4:].startswith(_ICC):
            yield Piece(marker, piece, None, place.stop)
        else:
            kept = b"" if marker in seen else _short(marker, piece)
            if kept:
                seen.add(marker)
            yield Piece(marker, kept, None if kept == piece else _kind(marker, piece), place.stop)
    if not pieces or pieces[-1][0] != _END:
        raise ValueError("no end")


def _last_scan(data: bytes, pieces: Sequence[tuple[int, slice]]) -> int:
    """Returns which piece is the last scan that a decoder reads: a sequential image has one of each component."""
    scans = [number for number, (marker, _) in enumerate(pieces) if marker == _SCAN]
    frame = next((data[place] for marker, place in pieces if marker in _SEQUENTIAL), None)
    if frame is not None:
        counts = accumulate(int.from_bytes(data[pieces[number][1]][4:5], "big") for number in scans)
        needed = int.from_bytes(frame[9:10], "big")
        scans = scans[: 1 + sum(count < needed for count in counts)]
    return max(scans, default=-1)


def _short(marker: int, piece: bytes) -> bytes:
    """Returns the fixed part of a JFIF or an Adobe segment, nothing of others."""
    body = piece[4:]
    if marker == 0xE0 and body.startswith(_JFIF) and len(body) >= _JFIF_BYTES:
        return piece[:2] + struct.pack(">H", _JFIF_BYTES + 2) + body[:12] + b"\0\0"
    if marker == 0xEE and body.startswith(_ADOBE) and len(body) >= _ADOBE_BYTES:
        return piece[:2] + struct.pack(">H", _ADOBE_BYTES + 2) + body[:_ADOBE_BYTES]
    return b""


def _kind(marker: int, piece: bytes) -> str | None:
    body = piece[4:]
    for (named, start), kind in _NAMED.items():
        if marker == named and body.startswith(start):
            return kind
    if marker == 0xE0 and body.startswith(_JFIF) and len(body) == _JFIF_BYTES + 3 * body[12] * body[13]:
        return THUMBNAIL
    # A frame of another kind is image data, of a file that is decoded and written as PNG.
    return None if marker in _OTHER_FRAMES else OTHER


def _has_profile(data: bytes, pieces: Sequence[tuple[int, slice]]) -> bool:
    """Tells whether the segments of the colour profile, numbered from 1, make up a profile."""
    bodies = [data[place][4:] for marker, place in pieces if marker == 0xE2]
    parts = [body[len(_ICC) :] for body in bodies if body.startswith(_ICC)]
    count = len(parts)
    numbered = count < 256 and all(part[:2] == bytes([number, count]) for number, part in enumerate(parts, 1))
    return numbered and is_colour_profile(b"".join(part[2:] for part in parts))


_PNG_IMAGE = {b"IHDR", b"IDAT"}
_PNG_COLOURS = {b"sRGB": {1}, b"gAMA": {4}, b"cHRM": {32}, b"pHYs": {9}, b"sBIT": {1, 2, 3, 4}, b"bKGD": {1, 2, 6}}
"""Chunks of fixed length, by their lengths."""
_PNG_TEXTS = {b"eXIf": "EXIF", b"tEXt": "text", b"zTXt": "text", b"iTXt": "text", b"tIME": "date"}
_PNG_DECODED = {b"PLTE", b"tRNS"}
"""Palette and transparency, which are image data in a file that is decoded and written again."""


def plain_png(data: bytes) -> Iterator[Piece]:
    """Yields the pieces of a PNG file behind its signature, up to the end of its image.

    Raises:
        ValueError: The image has no end.
    """
    seen: set[bytes] = set()
    for name, place in png_pieces(data):
        if not name.isalpha():
            raise ValueError("no chunk")
        chunk = data[place]
        kept, removed = _kept_of_chunk(name, chunk, again=name in seen)
        seen.add(name)
        yield Piece(name, kept, removed, place.stop)


def _kept_of_chunk(name: bytes, chunk: bytes, *, again: bool) -> tuple[bytes, str | None]:
    body = chunk[8:-4]
    if name in _PNG_IMAGE:
        return chunk, None
    if name == b"IEND":
        return _chunk(name, b""), OTHER if body else None
    if name in _PNG_DECODED:
        return b"", None
    if name in _PNG_COLOURS and len(body) in _PNG_COLOURS[name] and not again:
        return chunk, None
    if name == b"iCCP":
        profile = None if again else png_profile(body)
        if profile is None:
            return b"", PROFILE
        return (chunk, None) if profile == body else (_chunk(name, profile), "text")
    return b"", _PNG_TEXTS.get(name, OTHER)


def _chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
