"""Image files without what is not picture: segments and chunks are dropped, the coded picture stays as it is."""

import re
import struct
from collections.abc import Iterator

from lesiongen.imaging.private_metadata import JPEG_FRAMES, JPEG_SCAN, PNG_START, png_chunks

__all__ = ["is_plain", "stripped"]

_PNG_CHUNKS = {b"IHDR", b"PLTE", b"IDAT", b"IEND", b"sRGB", b"gAMA", b"cHRM", b"pHYs", b"iCCP", b"sBIT", b"bKGD"}
_RGB_8_BIT = b"\x08\x02"
# JFIF, the colour profile and Adobe's colour transform; any other application segment may say who the patient is.
_JPEG_KEPT = {0xE0: b"JFIF\0", 0xE2: b"ICC_PROFILE\0", 0xEE: b"Adobe"}
_JFIF_BYTES = 14
"""Length of a JFIF segment without a thumbnail."""
_JPEG_START, _JPEG_END = b"\xff\xd8", 0xD9
_AFTER_SCAN = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
"""A marker within coded pixels: neither a stuffed byte nor a restart."""


def is_plain(data: bytes) -> bool:
    """Tells whether a file is an 8-bit RGB JPEG or PNG that holds a picture and nothing else."""
    return stripped(data) == data


def stripped(data: bytes) -> bytes | None:
    """Returns an 8-bit RGB JPEG or PNG file without what is not picture, its coded pixels byte for byte.

    EXIF, XMP, comments, thumbnails and whatever follows the picture go; what says how colours are meant stays. The
    orientation goes too: the result is upright only where the file was stored so.

    Returns:
        None where the file is of another kind or damaged.
    """
    try:
        if data.startswith(PNG_START):
            return _stripped_png(data)
        return _stripped_jpeg(data) if data.startswith(_JPEG_START) else None
    except (ValueError, IndexError):
        return None


def _stripped_png(data: bytes) -> bytes:
    at, kept = len(PNG_START), [PNG_START]
    for name, body in png_chunks(data):
        length = int.from_bytes(data[at : at + 4], "big") + 12
        if name == b"IHDR" and body[8:10] != _RGB_8_BIT:
            raise ValueError("no 8-bit RGB")
        if name in _PNG_CHUNKS:
            kept.append(data[at : at + length])
        at += length
        if name == b"IEND":
            return b"".join(kept)
    raise ValueError("no end")


def _stripped_jpeg(data: bytes) -> bytes:
    kept, components = [_JPEG_START], 0
    for marker, piece in _jpeg_pieces(data):
        if marker in JPEG_FRAMES:
            components = piece[9]
        if marker == 0xE0 and piece[4:].startswith(_JPEG_KEPT[0xE0]) and len(piece) > _JFIF_BYTES + 4:
            piece = piece[:2] + struct.pack(">H", _JFIF_BYTES + 2) + piece[4:16] + b"\0\0"
        if not _is_application_or_comment(marker) or piece[4:].startswith(_JPEG_KEPT.get(marker, b"\0 nothing")):
            kept.append(piece)
    if components != 3:
        raise ValueError("no RGB")
    return b"".join(kept)


def _is_application_or_comment(marker: int) -> bool:
    return 0xE0 <= marker <= 0xEF or marker == 0xFE


def _jpeg_pieces(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yields every marker with its segment, that of a scan with its coded pixels, up to the end of the picture.

    Raises:
        ValueError: The picture has no end.
    """
    at = len(_JPEG_START)
    while True:
        while data[at : at + 2] == b"\xff\xff":  # fill bytes
            at += 1
        if data[at : at + 1] != b"\xff" or at + 2 > len(data):
            raise ValueError("no marker")
        marker = data[at + 1]
        if marker == _JPEG_END:
            yield marker, data[at : at + 2]
            return
        end = at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        if marker == JPEG_SCAN:
            following = _AFTER_SCAN.search(data, end)
            if following is None:
                raise ValueError("no end")
            end = following.start()
        yield marker, data[at:end]
        at = end
