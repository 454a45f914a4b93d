"""Images on their way into a dataset: cleaned of what else a file may carry, and examined as they will be stored."""

from collections.abc import Sequence
from dataclasses import dataclass

from lesiongen.imaging.decoding import ImageError, decode, stored_pixels
from lesiongen.imaging.decoding_room import DecodingRoom
from lesiongen.imaging.encoding import encode_png, pixel_hash
from lesiongen.imaging.examination import Examinations, examine_all
from lesiongen.imaging.private_metadata import private_metadata
from lesiongen.imaging.stripping import stripped

__all__ = ["Cleaned", "Picture", "clean", "clean_all"]


@dataclass(frozen=True, slots=True)
class Picture:
    """An image file without what is not picture.

    Attributes:
        data: The bytes to keep.
        removed: What the file carried that could identify a person, and no longer does.
    """

    data: bytes
    removed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Cleaned:
    """Image files that were cleaned and examined.

    Attributes:
        pictures: For each file what is to be stored in its place, None where it is stored as it came, or why it cannot
            be used.
        examinations: Of what is to be stored, in order.
    """

    pictures: list[Picture | str | None]
    examinations: Examinations


def clean_all(room: DecodingRoom, files: Sequence[bytes]) -> Cleaned:
    """Cleans image files and examines what is kept of them; one that cannot be used is a result, not an exception."""
    with room.taken(max(map(stored_pixels, files), default=0)):
        pictures = [_cleaned(data) for data in files]
        usable = [
            (picture.data if picture else data, picture is None)
            for data, picture in zip(files, pictures, strict=True)
            if not isinstance(picture, str)
        ]
        found = examine_all((data for data, _ in usable), (plain for _, plain in usable))
    problems = iter(found.columns["decode_problem"])
    return Cleaned(
        [picture if isinstance(picture, str) else next(problems) or picture for picture in pictures], found.of_decoded()
    )


def _cleaned(data: bytes) -> Picture | str | None:
    try:
        picture = clean(data)
    except ImageError as error:
        return str(error)
    return None if picture.data is data else picture


def clean(data: bytes) -> Picture:
    """Removes what is not picture from an image file.

    A plain 8-bit RGB JPEG or PNG is kept byte for byte, and is not decoded for that. One that also carries EXIF, XMP,
    comments or further images loses them and keeps its coded pixels, where it is stored upright. Anything else is
    decoded upright and stored as a new PNG.

    Raises:
        ImageError: An image that is not plain cannot be used.
    """
    kept = stripped(data)
    if kept == data:
        return Picture(data)
    # Hashed one after the other: there is room for one decoded picture.
    if kept is None or pixel_hash(decode(data)) != pixel_hash(decode(kept)):
        kept = encode_png(decode(data))
    return Picture(kept, private_metadata(data))
