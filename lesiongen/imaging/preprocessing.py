"""The one way in which images are brought to a model's size."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

__all__ = ["SMALL_SIDE", "reduced", "small_image", "square", "to_array"]

SMALL_SIDE = 128
"""Pixels that the shorter side of an image keeps at least, of which no more is wanted than what it shows."""


def square(image: Image.Image, size: int) -> Image.Image:
    """Cuts the centre square out of an image and resizes it (Lanczos) to ``size`` x ``size`` pixels.

    Training, measurement and evaluation all use it, so that real and synthetic images are treated alike.
    """
    if size < 1:
        raise ValueError(f"size = {size}: must be at least 1")
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    # Cut first: resize(box=...) would let what lies outside the box bleed in.
    centre = image.convert("RGB").crop((left, top, left + side, top + side))
    return centre.resize((size, size), Image.Resampling.LANCZOS)


def to_array(image: Image.Image) -> NDArray[np.float32]:
    """Returns the pixels as float32, height x width x 3 (RGB), in [0, 1]."""
    return np.asarray(image.convert("RGB"), dtype=np.float32) / np.float32(255.0)


def reduced(image: Image.Image, side: int) -> Image.Image:
    """Returns an image made smaller by a whole number, so that its shorter side keeps at least ``side`` pixels.

    Several times faster than resizing to any size, which may follow. A small image comes back as it is.
    """
    most = min(image.size) // side
    # A number that leaves a rest would stretch the last pixels; one that leaves none is mostly near.
    even = (each for each in range(most, most // 2, -1) if image.width % each == 0 == image.height % each)
    factor = next(even, most)
    return image.reduce(factor) if factor > 1 else image


def small_image(image: Image.Image) -> Image.Image:
    """Returns an image as it is examined and recognised by: in YCbCr, reduced to `SMALL_SIDE` pixels at least."""
    small = reduced(image if image.mode in ("RGB", "YCbCr") else image.convert("RGB"), SMALL_SIDE)
    return small if small.mode == "YCbCr" else small.convert("YCbCr")
