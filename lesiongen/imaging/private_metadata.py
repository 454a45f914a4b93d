"""What an image file carries beside the image data, and which of it could say who the patient is."""

from collections.abc import Iterator, Mapping
from io import BytesIO

from PIL import ExifTags, Image

from lesiongen.imaging.file_pieces import JPEG_START, PNG_START
from lesiongen.imaging.plain_pieces import plain_jpeg, plain_png

__all__ = ["private_metadata"]

_BASE, _DETAIL = ExifTags.Base, "EXIF "
_TAGS: Mapping[int, str] = {
    _BASE.Artist: "name",
    _BASE.Copyright: "name",
    _BASE.XPAuthor: "name",
    _BASE.CameraOwnerName: "name",
    _BASE.HostComputer: "name",
    _BASE.ImageDescription: "comment",
    _BASE.DocumentName: "comment",
    _BASE.PageName: "comment",
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


_IPTC_TAGS = {0x83BB, 0x8649}
"""IPTC and Photoshop's resources in a TIFF file."""
_AFTER = "data after the picture"


def private_metadata(data: bytes) -> tuple[str, ...]:
    """Names what an image file carries that could identify a person, each kind once.

    The kinds are ``EXIF GPS``, ``EXIF name``, ``EXIF date``, ``EXIF comment``, ``EXIF camera serial``,
    ``EXIF image serial``, ``EXIF maker note``, ``EXIF unreadable``, ``XMP``, ``IPTC``, ``comment``, ``text`` (of PNG),
    ``date``, ``thumbnail``, ``other data`` (a segment or chunk of no known kind, or more than belongs into a known
    one), ``unusable colour profile``, ``further pages`` (of a TIFF) and ``data after the picture`` (a phone's further
    views, among others). Colour profiles, the resolution and the orientation identify nobody. The pixels are not
    decoded.
    """
    look = _kinds_of_pieces if data.startswith((PNG_START, JPEG_START)) else _kinds_by_pillow
    kinds = list(look(data))
    details = list(_exif_kinds(data)) if "EXIF" in kinds else []
    return tuple(dict.fromkeys([*details, *(kind for kind in kinds if kind != "EXIF")]))


def _kinds_of_pieces(data: bytes) -> Iterator[str]:
    end = 0
    try:
        for piece in plain_png(data) if data.startswith(PNG_START) else plain_jpeg(data):
            if piece.removed is not None:
                yield piece.removed
            end = piece.stop
    except ValueError:
        end = 0  # An image without an end: what follows it cannot be distinguished from it.
    # Some programs fill their files up with zeros.
    if data[end:].strip(b"\0"):
        yield _AFTER


def _kinds_by_pillow(data: bytes) -> Iterator[str]:
    """Asks Pillow, for the formats that are not walked through here (TIFF, WebP, GIF, BMP)."""
    with Image.open(BytesIO(data)) as image:
        tags = image.getexif()
        if tags:
            yield "EXIF"
        if image.format == "TIFF" and getattr(image, "is_animated", False):
            yield "further pages"
        if not _IPTC_TAGS.isdisjoint(tags):
            yield "IPTC"
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
