"""Image files without what is not picture: segments and chunks are dropped, the coded picture stays as it is."""

import struct

from lesiongen.imaging.file_pieces import JPEG_START, PNG_START, jpeg_pieces, png_pieces

__all__ = ["is_plain", "stripped"]

_PNG_CHUNKS = {b"IHDR", b"PLTE", b"IDAT", b"IEND", b"sRGB", b"gAMA", b"cHRM", b"pHYs", b"iCCP", b"sBIT", b"bKGD"}
_RGB_8_BIT = b"\x08\x02"
# JFIF, the colour profile and Adobe's colour transform; any other application segment may say who the patient is.
_JPEG_KEPT = {0xE0: b"JFIF\0", 0xE2: b"ICC_PROFILE\0", 0xEE: b"Adobe"}
_JFIF_BYTES = 14
"""Length of a JFIF segment without a thumbnail."""
_JPEG_FRAMES = {0xC0, 0xC1, 0xC2}


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
        return _stripped_jpeg(data) if data.startswith(JPEG_START) else None
    except (ValueError, IndexError):
        return None


def _stripped_png(data: bytes) -> bytes:
    kept = [PNG_START]
    for name, place in png_pieces(data):
        if name == b"IHDR" and data[place][16:18] != _RGB_8_BIT:
            raise ValueError("no 8-bit RGB")
        if name in _PNG_CHUNKS:
            kept.append(data[place])
    return b"".join(kept)


def _stripped_jpeg(data: bytes) -> bytes:
    kept, components = [JPEG_START], 0
    for marker, place in jpeg_pieces(data):
        piece = data[place]
        if marker in _JPEG_FRAMES:
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
