"""The structure of a lesion's lightness: how rough, and how many kinds of local pattern."""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

__all__ = ["TextureMeasure", "texture"]

Mask = NDArray[np.bool_]
Plane = NDArray[np.float32]

TextureMeasure = dict[str, float]

LEAST_PIXELS = 200
FLAT = 1.0
"""Difference in lightness below which a neighbour counts as equal: noise and compression make no pattern."""

STEPS = ((-1, -1), (-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1), (0, -1))
CLASSES = 10


def texture(lightness: Plane, lesion: Mask, hidden: Mask, width: int) -> TextureMeasure | None:
    """Returns the pattern entropy in bits and the local contrast in CIELAB lightness; None for too few pixels.

    ``pattern_entropy`` is that of the rotation-invariant uniform local binary patterns with eight neighbours at one
    pixel (LBP riu2, Ojala et al. 2002, eq. 9); ``local_contrast`` is the root mean square of the lightness after its
    mean over ``width`` pixels was taken away. Both separate structured from structureless; neither shows what the
    surface feels like, and no word is drawn from them.
    """
    inner = ndimage.binary_erosion(lesion, iterations=2) & ~hidden
    if inner.sum() < LEAST_PIXELS:
        return None
    shares = np.bincount(_patterns(lightness)[inner], minlength=CLASSES) / inner.sum()
    entropy = -float((shares[shares > 0] * np.log2(shares[shares > 0])).sum())
    detail = lightness - ndimage.uniform_filter(lightness, width)
    return {"pattern_entropy": entropy, "local_contrast": float(np.sqrt((detail[inner] ** 2).mean()))}


def _patterns(lightness: Plane) -> NDArray[np.int64]:
    """The riu2 class of every pixel: how many neighbours are lighter, or 9 where they alternate more than twice."""
    signs = np.stack([np.roll(lightness, (-down, -across), (0, 1)) - lightness > FLAT for down, across in STEPS])
    changes = (signs != np.roll(signs, 1, axis=0)).sum(axis=0)
    return np.where(changes <= 2, signs.sum(axis=0), CLASSES - 1)
