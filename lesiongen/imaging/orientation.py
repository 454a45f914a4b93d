"""The eight ways in which an image can lie: flips and rotations by 90 degrees."""

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

__all__ = ["INVERSE", "ORIENTATIONS", "turn_frequencies", "turn_images"]

ORIENTATIONS = range(8)
INVERSE = np.array([0, 1, 2, 3, 4, 6, 5, 7], dtype=np.int32)
"""The orientation that turns an image back, for each of the eight."""
_Scalar = TypeVar("_Scalar", bound=np.generic)


def turn_images(images: NDArray[_Scalar], orientation: int) -> NDArray[_Scalar]:
    """Returns square images [..., rows, columns] in one of the eight orientations.

    Bit 0 mirrors left and right, bit 1 top and bottom, and then bit 2 swaps rows and columns.
    """
    if orientation & 1:
        images = images[..., ::-1]
    if orientation & 2:
        images = images[..., ::-1, :]
    return np.swapaxes(images, -1, -2) if orientation & 4 else images


def turn_frequencies(coefficients: NDArray[np.float32], orientation: int) -> NDArray[np.float32]:
    """Returns the cosine transform of turned images from that of the images [..., rows, columns].

    A mirrored axis changes the sign of its odd frequencies, a swap of the axes swaps those of the transform.
    """
    signs = np.where(np.arange(coefficients.shape[-1]) % 2, np.float32(-1), np.float32(1))
    if orientation & 1:
        coefficients = coefficients * signs
    if orientation & 2:
        coefficients = coefficients * signs[:, None]
    return np.swapaxes(coefficients, -1, -2) if orientation & 4 else coefficients
