"""Numbers that say whether a photograph is of use: contrast, sharpness, how much of it a vignette hides."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lesiongen.imaging.pixels import pixels
from lesiongen.imaging.preprocessing import SMALL_SIDE, reduced

__all__ = ["contrast", "sharpness", "vignette_share"]

_DARK = 48
_SIDE = 32
_ENDS = np.uint32(1 << 31 | 1)
"""The first and the last pixel of a row of 32 that is a word."""


def contrast(light: NDArray[np.float32]) -> NDArray[np.float32]:
    """Returns the standard deviation of the grey values (0 to 255) of small images [n, side, side], float32 [n]."""
    return np.asarray(light.std(axis=(1, 2)))


def sharpness(image: Image.Image) -> float:
    """Returns the variance of the Laplacian of an image's middle, at a shorter side of 128 pixels.

    The measure is that of J. L. Pech-Pacheco et al., "Diatom autofocusing in brightfield microscopy: a comparative
    study" (ICPR 2000), section 2. The image is brought to one size first, so that a threshold asks the same of every
    image: how much there is to be seen at 1/128 of the image's side. Grey values are taken as they are: divided by
    the contrast, the measure separates blurred photographs of skin less well from sharp ones.

    Returns:
        0 for a flat image. Photographs of ISIC 2017, HAM10000 and PAD-UFES-20 come to 8.9 and more (their medians to
        135, 88 and 354), the same ones blurred by a Gaussian of 2% of the side to 1 to 8. The same photograph at other
        sizes stays within a quarter.
    """
    small = reduced(image, SMALL_SIDE).convert("L")
    if (scale := SMALL_SIDE / min(small.size)) != 1:
        # Enlarged, the pixels of a small image must not become edges.
        way = Image.Resampling.BOX if scale < 1 else Image.Resampling.BILINEAR
        small = small.resize((round(small.width * scale), round(small.height * scale)), way)
    # The rim may be a vignette's edge, which is sharp in any photograph.
    top, left = small.height // 8, small.width // 8
    values = pixels(small)[top : small.height - top, left : small.width - left].astype(np.int16)
    # Pixel by pixel in one line, in which a neighbour is one or a width away: faster than in rows.
    width, line = values.shape[1], values.ravel()
    edges = line[width:-width] * -4
    for away in (1, -1, width, -width):
        edges += line[width + away : len(line) - width + away]
    # Whole numbers, whose sums are exact in any order. Not a product of vectors: BLAS parts one among threads, which
    # wait for one another longer than it takes.
    inner = edges.reshape(-1, width)[:, 1:-1].astype(np.int64).ravel()
    return float(np.square(inner).sum() / inner.size - (inner.sum() / inner.size) ** 2)


def vignette_share(light: NDArray[np.float32]) -> NDArray[np.float64]:
    """Returns how much of an image is dark and joined to a corner, as the rim of a dermatoscope is.

    Args:
        light: Grey values of small images [n, 64, 64], 0 to 255, as fingerprints keep them. They are looked at in
            32 x 32 pixels, where a thin bright edge does not cut the rim off from the corner; dark is below 48.

    Returns:
        Share of each image, float64 [n].
    """
    if light.shape[1:] != (2 * _SIDE, 2 * _SIDE):
        raise ValueError(f"light has the shape {light.shape}: images must be of {2 * _SIDE} x {2 * _SIDE} pixels")
    rows = light[:, ::2] + light[:, 1::2]
    # A row of 32 pixels, each the sum of four, is a word of 32 bits: what is reached spreads over all of them at once.
    dark = np.packbits(rows[..., ::2] + rows[..., 1::2] < 4 * _DARK, axis=2, bitorder="little").view(np.uint32)[..., 0]
    cornered = np.flatnonzero((dark[:, [0, -1]] & _ENDS).any(axis=1))
    dark = dark[cornered]
    reached = np.zeros_like(dark)
    reached[:, [0, -1]] = dark[:, [0, -1]] & _ENDS
    while True:
        wider = reached | np.left_shift(reached, 1) | np.right_shift(reached, 1)
        wider[:, 1:] |= reached[:, :-1]
        wider[:, :-1] |= reached[:, 1:]
        wider &= dark
        if np.array_equal(wider, reached):
            break
        reached = wider
    result = np.zeros(len(light))
    result[cornered] = np.bitwise_count(reached).mean(axis=1) / _SIDE
    return result
