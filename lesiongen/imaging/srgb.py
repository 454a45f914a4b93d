"""Images in the colours of sRGB, whatever colour profile their file carries."""

from functools import cache, lru_cache
from io import BytesIO

import numpy as np
from PIL import Image, ImageCms

__all__ = ["in_srgb", "is_srgb"]

_MOST_BYTES = 4 << 20
_MODES = {"RGB ": "RGB", "GRAY": "L", "CMYK": "CMYK"}
"""The colour mode of the images that a profile of each colour space is for."""
_SAME_WITHIN = 2
"""Levels of 255 by which profiles of sRGB by different makers differ from one another, by rounding."""
_LATTICE = np.linspace(0, 255, 18).round().astype(np.uint8)


def in_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """Returns an image as RGB in sRGB, or RGBA where it has transparency.

    Colours are mapped by the relative colorimetric intent with black point compensation. An image whose profile is
    sRGB's keeps its pixels bit by bit, and so does one without a profile, with a damaged one, or with one that is for
    images of another kind (a grey profile in a colour image).

    Args:
        image: Of any mode that Pillow converts to RGB; an RGB or RGBA image is changed in place.
        profile: The ICC profile of its file.
    """
    transparent = image.mode in ("LA", "RGBA")
    if not profile or len(profile) > _MOST_BYTES:
        return image.convert("RGBA") if transparent else _rgb(image)
    if image.mode == "LA":
        colours = in_srgb(image.getchannel("L"), profile)
        colours.putalpha(image.getchannel("A"))
        return colours
    if image.mode not in ("RGB", "RGBA", "L", "CMYK") or (image.mode == "L" and _mode_of(profile) == "RGB"):
        image = _rgb(image)
    transform = _transform(profile, image.mode)
    if transform is None:
        return image if transparent else _rgb(image)
    if image.mode in ("RGB", "RGBA"):
        transform.apply_in_place(image)  # a copy of a large image would double what it takes
        return image
    return transform.apply(image)


def is_srgb(profile: bytes | None) -> bool:
    """Tells whether a colour image with this profile is taken as sRGB: `in_srgb` leaves its colours as they are."""
    return not profile or len(profile) > _MOST_BYTES or _transform(profile, "RGB") is None


def _rgb(image: Image.Image) -> Image.Image:
    # A copy of an RGB image would cost a quarter of its decoding.
    return image if image.mode == "RGB" else image.convert("RGB")


@lru_cache(maxsize=8)
def _mode_of(profile: bytes) -> str | None:
    """Returns the colour mode that a profile is for; None where it is damaged or for no image."""
    try:
        return _MODES.get(ImageCms.ImageCmsProfile(BytesIO(profile)).profile.xcolor_space)
    except (OSError, ValueError, TypeError, ImageCms.PyCMSError):
        return None


@lru_cache(maxsize=8)
def _transform(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """Returns what takes images of a mode from a profile to sRGB; None where they are to be left as they are."""
    own = _mode_of(profile)
    if own is None or own != ("RGB" if mode == "RGBA" else mode):
        return None
    try:
        transform = ImageCms.buildTransform(
            ImageCms.ImageCmsProfile(BytesIO(profile)),
            _srgb(),
            mode,
            mode if mode == "RGBA" else "RGB",
            ImageCms.Intent.RELATIVE_COLORIMETRIC,
            ImageCms.Flags.BLACKPOINTCOMPENSATION,
        )
    except (OSError, ValueError, TypeError, ImageCms.PyCMSError):
        return None
    return None if _changes_nothing(transform, mode) else transform


@cache
def _srgb() -> ImageCms.ImageCmsProfile:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))


def _changes_nothing(transform: ImageCms.ImageCmsTransform, mode: str) -> bool:
    """Tells whether a transform leaves colours as they are, by what it does and not by the profile's name."""
    if mode == "CMYK":
        return False
    lattice = np.stack(np.meshgrid(_LATTICE, _LATTICE, _LATTICE), axis=-1).reshape(len(_LATTICE), -1, 3)
    before = Image.fromarray(lattice).convert(mode)
    change = np.asarray(transform.apply(before).convert("RGB"), np.int16) - np.asarray(before.convert("RGB"), np.int16)
    return int(np.abs(change).max()) <= _SAME_WITHIN
