"""Decoding of image files that nobody vouches for."""

import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from io import BytesIO

import numpy as np
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from lesiongen.errors import DataError
from lesiongen.imaging.preprocessing import SMALL_SIDE, small_picture

__all__ = ["MAX_PIXELS", "Decoded", "ImageError", "decode", "decode_file", "decode_small"]

MAX_PIXELS = 50_000_000
# A closed list: Pillow's other readers include formats that start programs (EPS).
FORMATS = ("JPEG", "PNG", "TIFF", "BMP", "WEBP", "GIF")
_STARTS = {b"\xff\xd8\xff": "JPEG", b"\x89PNG": "PNG", b"II*\0": "TIFF", b"MM\0*": "TIFF"}
# catch_warnings swaps process-wide state, so two threads must not be inside it at once.
_WARNINGS_LOCK = threading.RLock()


class ImageError(DataError):
    """An image cannot be used.

    Args:
        reason: ``empty``, ``not an image``, ``truncated``, ``damaged``, ``too large``, ``animated`` or
            ``unsupported``.
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
        image: The picture, upright, fully in memory.
        file_format: ``JPEG``, ``PNG``, ...
        mode: Colour mode as stored.
        orientation: EXIF orientation as stored, 1 where there is none.
        width: Pixels of the whole picture, upright.
        height: Pixels of the whole picture, upright.
    """

    image: Image.Image
    file_format: str
    mode: str
    orientation: int
    width: int
    height: int


def decode(data: bytes, *, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """Decodes an image file to RGB, upright, fully in memory.

    The size is read from the header and bounded before any pixel is decoded. The EXIF orientation is applied,
    transparency is laid on white, 16-bit grey is scaled to 8 bits.

    Args:
        data: The bytes of a JPEG, PNG, TIFF, BMP, WebP or GIF file with one frame.
        max_pixels: Largest width times height that is decoded.

    Raises:
        ImageError: The bytes are empty, no image, truncated, damaged, too large, animated, or in a colour
            mode that has no plain meaning as RGB.
    """
    return decode_file(data, max_pixels=max_pixels).image


def decode_file(data: bytes, *, max_pixels: int = MAX_PIXELS) -> Decoded:
    """Decodes an image file as `decode` does, and says what the file is."""
    image = _open(data, max_pixels)
    return _loaded(image, image.size, image.mode, _to_rgb)


def decode_small(data: bytes, *, max_pixels: int = MAX_PIXELS) -> Decoded:
    """Decodes an image file as `decode_file` does, to the picture that `small_picture` would make of it.

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
    with _quiet():
        try:
            image = Image.open(BytesIO(data), formats=FORMATS)
            _check_header(image, max_pixels)
        except ImageError:
            raise
        except Image.DecompressionBombError as error:
            raise ImageError("too large", f"more than the {max_pixels} pixels allowed") from error
        except UnidentifiedImageError as error:
            raise _unknown(data) from error
        except Exception as error:  # see decode
            raise _broken(error) from error
    return image


def _unknown(data: bytes) -> ImageError:
    kind = next((kind for start, kind in _STARTS.items() if data.startswith(start)), None)
    if kind:
        return ImageError("unsupported", f"a {kind} file whose header cannot be read: damaged, or not 8 bits a colour")
    return ImageError("not an image", f"starts with {data[:12]!r}")


def _broken(error: Exception) -> ImageError:
    text = str(error) or type(error).__name__
    return ImageError("truncated" if "truncated" in text.lower() else "damaged", text)


def _check_header(image: Image.Image, max_pixels: int) -> None:
    if image.width * image.height > max_pixels:
        raise ImageError("too large", f"{image.width}x{image.height} is more than the {max_pixels} pixels allowed")
    frames = getattr(image, "n_frames", 1)
    # A phone's MPO is a JPEG with further views behind the photograph; its first frame is the photograph.
    if frames > 1 and image.format != "MPO":
        raise ImageError("animated", f"holds {frames} frames, one is expected")


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):
        return _from_wide_grey(image)
    if image.mode in ("F", "LAB"):
        raise ImageError("unsupported", f"colour mode {image.mode}")
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        layer = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer)
    # A copy of an RGB image would cost a quarter of its decoding.
    plain = image if image.mode == "RGB" else image.convert("RGB")
    plain.info = {}
    return plain


def _to_small(image: Image.Image) -> Image.Image:
    return small_picture(image if image.mode == "YCbCr" else _to_rgb(image))


def _from_wide_grey(image: Image.Image) -> Image.Image:
    values = np.asarray(image, dtype=np.int64)
    if values.min() < 0 or values.max() > 65535:
        raise ImageError("unsupported", f"grey values {values.min()} to {values.max()} exceed 16 bits")
    return Image.fromarray(((values + 128) // 257).astype(np.uint8)).convert("RGB")


@contextmanager
def _quiet() -> Iterator[None]:
    """Silences Pillow's warnings (large header, odd EXIF): each becomes an ImageError or does not matter."""
    with _WARNINGS_LOCK, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
