"""What an image file carries beside the picture, and which of it could say who the patient is."""

from collections.abc import Iterator, Mapping
from io import BytesIO

from PIL import ExifTags, Image

__all__ = ["JPEG_FRAMES", "JPEG_SCAN", "PNG_START", "jpeg_segments", "png_chunks", "private_metadata"]

PNG_START = b"\x89PNG\r\n\x1a\n"
JPEG_FRAMES = {0xC0, 0xC1, 0xC2}
JPEG_SCAN = 0xDA
_JPEG_END = b"\xff\xd9"
_PNG_END = b"IEND\xaeB`\x82"
_EXIF = b"Exif\0\0"
_SEGMENTS = {
    (0xE1, _EXIF): "EXIF",
    (0xE1, b"http://ns.adobe.com/x"): "XMP",
    (0xED, b"Photoshop"): "IPTC",
    (0xFE, b""): "comment",
}
_CHUNKS = {b"eXIf": "EXIF", b"tEXt": "text", b"zTXt": "text", b"iTXt": "text", b"tIME": "date"}
_BASE, _DETAIL = ExifTags.Base, "EXIF "
_TAGS: Mapping[int, str] = {
    _BASE.Artist: "name",
    _BASE.Copyright: "name",
    _BASE.XPAuthor: "name",
    _BASE.CameraOwnerName: "name",
    _BASE.ImageDescription: "comment",
    _BASE.UserComment: "comment",
    _BASE.XPComment: "comment",
    _BASE.XPTitle: "comment",
    _BASE.XPSubject: "comment",
    _BASE.XPKeywords: "comment",
    _BASE.DateTime: "date",
    _BASE.DateTimeOriginal: "date",
    _BASE.DateTimeDigitized: "date",
    _BASE.BodySerialNumber: "camera serial",
    _BASE.LensSerialNumber: "camera serial",
    _BASE.ImageUniqueID: "image serial",
    _BASE.MakerNote: "maker note",
}


def private_metadata(data: bytes) -> tuple[str, ...]:
    """Names what an image file carries that could identify a person, each kind once.

    The kinds are ``EXIF GPS``, ``EXIF name``, ``EXIF date``, ``EXIF comment``, ``EXIF camera serial``,
    ``EXIF image serial``, ``EXIF maker note``, ``EXIF unreadable``, ``XMP``, ``IPTC``, ``comment``, ``text`` (of PNG),
    ``date`` and ``data after the picture`` (a phone's further views, among others). Colour profiles, the resolution
    and the orientation identify nobody. The pixels are not decoded.
    """
    if data.startswith(PNG_START):
        kinds = [_CHUNKS.get(name) for name, _ in png_chunks(data)]
        whole = _ends_with_picture(data, _PNG_END, 0)
    elif data.startswith(b"\xff\xd8"):
        segments = list(jpeg_segments(data))
        kinds = [_kind_of_segment(*segment) for segment in segments]
        # A thumbnail within a segment has an end of its own: what counts is the first one after the segments.
        whole = _ends_with_picture(data.rstrip(b"\0"), _JPEG_END, 2 + sum(4 + len(body) for _, body in segments))
    else:
        kinds, whole = list(_kinds_by_pillow(data)), True
    details = list(_exif_kinds(data)) if "EXIF" in kinds else []
    named = [*details, *(kind for kind in kinds if kind and kind != "EXIF"), *(() if whole else [_AFTER])]
    return tuple(dict.fromkeys(named))


_AFTER = "data after the picture"


def _ends_with_picture(data: bytes, end: bytes, start: int) -> bool:
    """Tells whether the first end of a picture is the file's: a second picture behind it ends alike."""
    found = data.find(end, start)
    return found >= 0 and found + len(end) == len(data)


def png_chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yields the chunks of a PNG file: the name and the first 32 bytes of each."""
    at = len(PNG_START)
    while at + 8 <= len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        yield data[at + 4 : at + 8], data[at + 8 : at + 8 + min(length, 32)]
        at += length + 12


def jpeg_segments(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yields the segments of a JPEG file up to the first scan: the marker and the body of each."""
    at = 2
    while at + 4 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        length = int.from_bytes(data[at + 2 : at + 4], "big")
        yield marker, data[at + 4 : at + 2 + length]
        if marker == JPEG_SCAN:
            return
        at += 2 + length


def _kind_of_segment(marker: int, body: bytes) -> str | None:
    for (known, start), kind in _SEGMENTS.items():
        if marker == known and body.startswith(start):
            return kind
    return None


def _kinds_by_pillow(data: bytes) -> Iterator[str]:
    """Asks Pillow, for the formats that are not walked through here (TIFF, WebP, GIF, BMP)."""
    with Image.open(BytesIO(data)) as image:
        if image.getexif():
            yield "EXIF"
        yield from (name for key, name in (("xmp", "XMP"), ("comment", "comment")) if image.info.get(key))


def _exif_kinds(data: bytes) -> Iterator[str]:
    try:
        with Image.open(BytesIO(data)) as image:
            exif = image.getexif()
            tags = {*exif, *exif.get_ifd(ExifTags.IFD.Exif)}
            if exif.get_ifd(ExifTags.IFD.GPSInfo):
                yield _DETAIL + "GPS"
    except Exception:  # hostile bytes make Pillow raise nearly anything
        tags = set()
    if not tags:
        yield _DETAIL + "unreadable"
    yield from (_DETAIL + kind for tag, kind in _TAGS.items() if tag in tags)
