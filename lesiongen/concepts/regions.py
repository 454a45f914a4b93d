"""Regions of an image as masks, and their colours, in the short time that a measurement of thousands of them has."""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

__all__ = ["bounding_box", "median_colour", "notches_closed", "without_holes"]

Mask = NDArray[np.bool_]
Box = tuple[slice, slice]


def bounding_box(mask: Mask, margin: int = 0) -> Box:
    """Returns the rows and columns that a mask takes; none where it is empty.

    Args:
        mask: The region [h, w].
        margin: Pixels around it, as far as the image goes.
    """
    rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    if not len(rows):
        return slice(0), slice(0)
    top, left = (max(int(places[0]) - margin, 0) for places in (rows, columns))
    return slice(top, int(rows[-1]) + 1 + margin), slice(left, int(columns[-1]) + 1 + margin)


def without_holes(mask: Mask) -> Mask:
    """Fills what a region encloses: `scipy.ndimage.binary_fill_holes` in a quarter of its time."""
    labels, _ = ndimage.label(~np.pad(mask, 1))
    filled: Mask = (labels != labels[0, 0])[1:-1, 1:-1]
    return filled


def notches_closed(region: Mask, share: float) -> Mask:
    """Fills what cuts into a region: a morphological closing by a disc.

    Args:
        region: Where it lies [h, w].
        share: Radius of the disc as a share of the region's, that of a circle of its area.
    """
    radius = share * float(np.sqrt(region.sum() / np.pi))
    if radius < 1:
        return region
    box = bounding_box(region)
    reach = int(radius) + 2
    wide = ndimage.distance_transform_edt(~np.pad(region[box], reach)) <= radius
    closed = region.copy()
    closed[box] |= (ndimage.distance_transform_edt(wide) > radius)[reach:-reach, reach:-reach]
    return closed


def median_colour(pixels: NDArray[np.float32]) -> NDArray[np.float32]:
    """Returns the median of each channel of pixels [n, 3], of an even number the upper one: `np.median` is slower."""
    middle = len(pixels) // 2
    median: NDArray[np.float32] = np.partition(np.ascontiguousarray(pixels.T), middle, axis=1)[:, middle]
    return median
