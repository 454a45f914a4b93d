"""Images on their way into a dataset: cleaned of what else a file may carry, and examined as they will be stored."""

from collections.abc import Sequence
from dataclasses import dataclass

from lesiongen.imaging.decoding import ImageError, decode, stored_pixels
from lesiongen.imaging.decoding_room import DecodingRoom
from lesiongen.imaging.encoding import encode_png, pixel_hash
from lesiongen.imaging.examination import Examinations, examine_all
from lesiongen.imaging.private_metadata import private_metadata
from lesiongen.imaging.stripping import stripped

__all__ = ["Cleaned", "CleanedImage", "clean", "clean_all"]


@dataclass(frozen=True, slots=True)
class CleanedImage:
    """An image file without what is not image data.

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
        images: For each file what is to be stored in its place, None where it is stored as it came, or why it cannot
            be used.
        examinations: Of what is to be stored, in order.
    """

    images: list[CleanedImage | str | None]
    examinations: Examinations


def clean_all(room: DecodingRoom, files: Sequence[bytes]) -> Cleaned:
    """Cleans image files and examines what is kept of them; one that cannot be used is a result, not an exception."""
    with room.taken(max(map(stored_pixels, files), default=0)):
        images = [_cleaned(data) for data in files]
        usable = [
            (image.data if image else data, image is None)
            for data, image in zip(files, images, strict=True)
            if not isinstance(image, str)
        ]
        found = examine_all((data for data, _ in usable), (plain for _, plain in usable))
    problems = iter(found.columns["decode_problem"])
    return Cleaned(
        [image if isinstance(image, str) else next(problems) or image for image in images], found.of_decoded()
    )


def _cleaned(data: bytes) -> CleanedImage | str | None:
    try:
        image = clean(data)
    except ImageError as error:
        return str(error)
    return None if image.data is data else image


def clean(data: bytes) -> CleanedImage:
    """Removes what is not image data from an image file.

    A plain 8-bit RGB JPEG or PNG is kept byte for byte, and is not decoded for that. One that also carries EXIF, XMP,
    comments or further images loses them and keeps its coded pixels, where it is stored upright. Anything else is
    decoded upright and stored as a new PNG.

    Raises:
        ImageError: An image that is not plain cannot be used.
    """
    kept = stripped(data)
    if kept == data:
        return CleanedImage(data)
    # Hashed one after the other: there is room for one decoded image.
    if kept is None or pixel_hash(decode(data)) != pixel_hash(decode(kept)):
        kept = encode_png(decode(data))
    return CleanedImage(kept, private_metadata(data))
