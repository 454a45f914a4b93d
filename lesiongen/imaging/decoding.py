"""Decoding of image files that nobody vouches for."""

import re
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from io import BytesIO

import numpy as np
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from lesiongen import limits
from lesiongen.errors import DataError
from lesiongen.imaging.file_pieces import jpeg_pixels
from lesiongen.imaging.preprocessing import SMALL_SIDE, small_image
from lesiongen.imaging.srgb import in_srgb, is_srgb
from lesiongen.imaging.structure import excess

__all__ = ["Decoded", "ImageError", "decode", "decode_file", "decode_small", "stored_pixels"]

# A closed list: Pillow's other readers include formats that start programs (EPS).
FORMATS = ("JPEG", "PNG", "TIFF", "BMP", "WEBP", "GIF")
# A phone's MPO is a JPEG with further views behind the photograph, and a TIFF may have further pages.
_FIRST_IS_THE_IMAGE = ("MPO", "TIFF")
_STARTS = {b"\xff\xd8\xff": "JPEG", b"\x89PNG": "PNG", b"II*\0": "TIFF", b"MM\0*": "TIFF"}
_POINTERS = {
    b"version https://git-lfs.github.com/": "a pointer of Git LFS (fetch the file: git lfs pull)",
    b"/annex/objects/": "a pointer of git-annex (fetch the file: git annex get)",
}
_WEB_PAGE = re.compile(rb"(\xef\xbb\xbf)?\s*(<!--.{0,500}?-->\s*)?<(!doctype\s+html|html|head|body)\b", re.I | re.S)
_BAND_PIXELS = 4_000_000
_BOMB = re.compile(r"\((\d+) pixels\)")
# catch_warnings swaps process-wide state, so two threads must not be inside it at once.
_WARNINGS_LOCK = threading.RLock()


class ImageError(DataError):
    """An image cannot be used.

    Args:
        reason: ``empty``, ``not an image``, ``truncated``, ``damaged``, ``too large``, ``too narrow``,
            ``too many parts``, ``animated`` or ``unsupported``.
        detail: What exactly was found.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


@dataclass(frozen=True, slots=True)
class Decoded:
    """A decoded image, and what its file is.

    Attributes:
        image: The image, upright, fully in memory.
        file_format: ``JPEG``, ``PNG``, ...
        mode: Colour mode as stored.
        orientation: EXIF orientation as stored, 1 if none is.
        width: Pixels of the whole image, upright.
        height: Pixels of the whole image, upright.
    """

    image: Image.Image
    file_format: str
    mode: str
    orientation: int
    width: int
    height: int


def decode(data: bytes, *, max_pixels: int = limits.MAX_PIXELS) -> Image.Image:
    """Decodes an image file to RGB, upright, fully in memory.

    The size, and what else `lesiongen.limits` bounds, is read from the file before any pixel is decoded. The EXIF
    orientation is applied, colours are brought from the file's profile to sRGB (`in_srgb`), transparency is laid on
    white, and 16 bits a colour are scaled to 8.

    Args:
        data: The bytes of a JPEG, PNG, TIFF, BMP, WebP or GIF file with one frame; of a TIFF the first page counts.
        max_pixels: Largest width times height that is decoded.

    Raises:
        ImageError: The bytes are empty, no image, truncated, damaged, beyond a limit, animated, or in a colour
            mode that has no plain meaning as RGB.
    """
    return decode_file(data, max_pixels=max_pixels).image


def decode_file(data: bytes, *, max_pixels: int = limits.MAX_PIXELS) -> Decoded:
    """Decodes an image file as `decode` does, and says what the file is."""
    image = _open(data, max_pixels)
    return _loaded(image, image.size, image.mode, _to_rgb)


def decode_small(data: bytes, *, max_pixels: int = limits.MAX_PIXELS) -> Decoded:
    """Decodes an image file as `decode_file` does, to the image that `small_image` would make of it.

    A JPEG is decoded at a half, a quarter or an eighth of its size, which takes half the time and, of a large one, a
    fraction of the memory. All of the file is read and every coefficient counts, so that damage is found as by
    `decode`: libjpeg computes from them the averages of adjacent pixels in place of the pixels (its ``jidctred.c``).

    Args:
        data: See `decode`.
        max_pixels: See `decode`.

    Raises:
        ImageError: See `decode`.
    """
    image = _open(data, max_pixels)
    size, mode = image.size, image.mode
    if image.draft("YCbCr", (SMALL_SIDE, SMALL_SIDE)):
        # What fails is damaged, or its colours are none that libjpeg turns into YCbCr.
        with suppress(ImageError):
            return _loaded(image, size, mode, _to_small)
        image = _open(data, max_pixels)
    return _loaded(image, size, mode, _to_small)


def stored_pixels(data: bytes) -> int:
    """Returns the pixels of an image file by its header; 0 where it cannot be used.

    Nothing is decoded: it says beforehand what decoding will take. Of a JPEG only the segments before the coded pixels
    are looked at; one that is damaged further on has its pixels nevertheless.
    """
    if pixels := jpeg_pixels(data):
        return pixels
    try:
        image = _open(data, limits.MAX_PIXELS)
    except ImageError:
        return 0
    return image.width * image.height


def _loaded(
    image: Image.Image, size: tuple[int, int], mode: str, finish: Callable[[Image.Image], Image.Image]
) -> Decoded:
    """Decodes an opened file, of which ``size`` and ``mode`` were read, and turns it upright."""
    file_format = image.format or ""
    try:
        image.load()
        with _quiet():
            orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
            if orientation not in range(2, 9):
                return Decoded(finish(image), file_format, mode, 1, *size)
            ImageOps.exif_transpose(image, in_place=True)
            return Decoded(finish(image), file_format, mode, orientation, *(size if orientation < 5 else size[::-1]))
    except ImageError:
        raise
    except Exception as error:  # hostile bytes make Pillow raise nearly anything; all of it means "unusable"
        raise _broken(error) from error


def _open(data: bytes, max_pixels: int) -> Image.Image:
    if not data:
        raise ImageError("empty", "the file has 0 bytes")
    if more := excess(data):
        raise ImageError("too many parts", more)
    with _quiet(), _pillow_bounded(max_pixels):
        try:
            image = Image.open(BytesIO(data), formats=FORMATS)
            _check_header(image, max_pixels)
        except ImageError:
            raise
        except Image.DecompressionBombError as error:
            stated = _BOMB.search(str(error))
            found = f"{int(stated[1]):,} pixels are " if stated else ""
            raise ImageError("too large", f"{found}more than the {max_pixels:,} allowed (MAX_PIXELS)") from error
        except UnidentifiedImageError as error:
            raise _unknown(data) from error
        except Exception as error:  # see decode
            raise _broken(error) from error
    return image


def _unknown(data: bytes) -> ImageError:
    kind = next((kind for start, kind in _STARTS.items() if data.startswith(start)), None)
    if kind:
        return ImageError("unsupported", f"a {kind} file whose header cannot be read: damaged, or not 8 bits a colour")
    if pointer := next((what for start, what in _POINTERS.items() if data.startswith(start)), None):
        return ImageError("not an image", f"{pointer} in place of the image")
    if _WEB_PAGE.match(data):
        return ImageError("not an image", "a web page (HTML) under an image's name; download the image again")
    return ImageError("not an image", f"starts with {data[:12]!r}")


def _broken(error: Exception) -> ImageError:
    text = str(error) or type(error).__name__
    return ImageError("truncated" if "truncated" in text.lower() else "damaged", text)


def _check_header(image: Image.Image, max_pixels: int) -> None:
    size, (shorter, longer) = f"{image.width}x{image.height}", sorted(image.size)
    if image.width * image.height > max_pixels:
        raise ImageError("too large", f"{size} is more than the {max_pixels:,} pixels allowed (MAX_PIXELS)")
    if longer > limits.MAX_SIDE:
        raise ImageError("too large", f"{size} has a side of more than {limits.MAX_SIDE:,} pixels (MAX_SIDE)")
    if longer > limits.MAX_ASPECT * shorter:
        times = f"more than {limits.MAX_ASPECT} times as long as the other (MAX_ASPECT)"
        raise ImageError("too narrow", f"{size} has a side that is {times}")
    if getattr(image, "is_animated", False) and image.format not in _FIRST_IS_THE_IMAGE:
        raise ImageError("animated", "holds more than one frame")
    if any(tile[0] == "bmp_rle" for tile in getattr(image, "tile", ())):  # decoded byte by byte in Python
        raise ImageError("unsupported", "a BMP file with run-length coding")


def _to_rgb(image: Image.Image) -> Image.Image:
    profile = image.info.get("icc_profile")
    if image.mode in ("F", "LAB"):
        raise ImageError("unsupported", f"colour mode {image.mode}")
    if image.mode.startswith("I"):
        scaled = _from_wide_grey(image)
        plain = _in_bands(image, lambda band: in_srgb(scaled(band), profile))
    elif image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        plain = _in_bands(image, lambda band: _on_white(band, profile))
    else:
        plain = in_srgb(image, profile)
    plain.info = {}
    return plain


def _in_bands(image: Image.Image, convert: Callable[[Image.Image], Image.Image]) -> Image.Image:
    """Converts an image some rows at a time: what is made on the way is never as large as the image."""
    if image.width * image.height <= _BAND_PIXELS:
        return convert(image)
    whole = Image.new("RGB", image.size)
    rows = max(1, _BAND_PIXELS // image.width)
    for top in range(0, image.height, rows):
        band = image.crop((0, top, image.width, min(top + rows, image.height)))
        whole.paste(convert(band), (0, top))
    return whole


def _on_white(image: Image.Image, profile: bytes | None) -> Image.Image:
    layer = in_srgb(image.convert("LA" if image.mode in ("L", "LA", "La") else "RGBA"), profile)
    return Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer).convert("RGB")


def _to_small(image: Image.Image) -> Image.Image:
    if image.mode == "YCbCr" and is_srgb(image.info.get("icc_profile")):
        return small_image(image)
    return small_image(_to_rgb(image))


def _from_wide_grey(image: Image.Image) -> Callable[[Image.Image], Image.Image]:
    """Returns what scales 16-bit grey of this image to 8 bits."""
    values = np.asarray(image)
    lowest, highest = int(values.min()), int(values.max())
    if lowest < 0 or highest > 65535:
        raise ImageError("unsupported", f"grey values {lowest} to {highest} exceed 16 bits")

    def scaled(band: Image.Image) -> Image.Image:
        values = np.asarray(band).astype(np.int32)
        return Image.fromarray(((values + 128) // 257).astype(np.uint8))

    return scaled


@contextmanager
def _quiet() -> Iterator[None]:
    """Silences Pillow's warnings (large header, odd EXIF): each becomes an ImageError or does not matter."""
    with _WARNINGS_LOCK, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@contextmanager
def _pillow_bounded(max_pixels: int) -> Iterator[None]:
    """Has Pillow's readers refuse a larger image themselves: some take memory for it as they open the file.

    Used within `_quiet`, since it changes what holds for the whole process.
    """
    before = Image.MAX_IMAGE_PIXELS
    Image.MAX_IMAGE_PIXELS = max(1, -(-max_pixels // 2))  # it warns of more than this and refuses twice as much
    try:
        yield
    finally:
        Image.MAX_IMAGE_PIXELS = before
