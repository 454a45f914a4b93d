"""Image files without what is not image data: segments and chunks are dropped, the coded image stays as it is."""

from lesiongen.imaging.file_pieces import JPEG_START, PNG_START
from lesiongen.imaging.plain_pieces import plain_jpeg, plain_png

__all__ = ["stripped"]

_RGB_8_BIT = b"\x08\x02"
_JPEG_FRAMES = {0xC0, 0xC1, 0xC2}


def stripped(data: bytes) -> bytes | None:
    """Returns an 8-bit RGB JPEG or PNG file without what is not image data, its coded pixels byte for byte.

    EXIF, XMP, comments, thumbnails and whatever follows the image go, and so does any other segment or chunk; what
    says how colours are meant stays, a colour profile where it is one. The orientation goes too: the result is upright
    only where the file was stored so.

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
    for piece in plain_png(data):
        if piece.marker == b"IHDR" and piece.kept[16:18] != _RGB_8_BIT:
            raise ValueError("no 8-bit RGB")
        kept.append(piece.kept)
    return b"".join(kept)


def _stripped_jpeg(data: bytes) -> bytes:
    kept, components = [JPEG_START], 0
    for piece in plain_jpeg(data):
        if piece.marker in _JPEG_FRAMES:
            components = piece.kept[9]
        kept.append(piece.kept)
    if components != 3:
        raise ValueError("no RGB")
    return b"".join(kept)
