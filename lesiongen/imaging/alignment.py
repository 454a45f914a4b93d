"""Laying one small image exactly over another: what a crop, or a second photograph, shifts, stretches and turns."""

import functools

import numpy as np
from numpy.typing import NDArray

__all__ = ["align", "blurred", "warp"]

Images = NDArray[np.float32]
LIMIT = 0.14
"""Largest shift, stretch and shear, in parts of the side; cutting 5% off each side stretches by 0.11."""
_DAMPING = np.float32(1e-3)
_NOTHING = 1e-12


def align(fixed: Images, moving: Images, *, steps: int, start: Images | None = None) -> Images:
    """Finds the affine maps that lay ``moving`` over ``fixed``, up to brightness and contrast.

    Gauss-Newton steps on the squared difference: B. D. Lucas and T. Kanade, "An Iterative Image Registration
    Technique" (1981), section 4.3, for many pairs at once.

    Args:
        fixed: Square images [n, side, side].
        moving: Square images [n, side, side].
        steps: Number of steps.
        start: Where to begin, of another call; by default the map that changes nothing.

    Returns:
        float32 [n, 6]: shift along y, and its change with y and with x; the same along x with x and with y. In parts
        of the side, at most `LIMIT`.
    """
    found = np.zeros((len(fixed), 6), dtype=np.float32) if start is None else start
    target = _standardised(_inner(fixed))[0]
    for _ in range(steps):
        found = np.clip(found + _step(target, warp(moving, found)), -LIMIT, LIMIT)
    return found


def warp(images: Images, maps: Images) -> Images:
    """Returns the images [n, side, side] under affine maps [n, 6] (see `align`), bilinearly."""
    count, side = len(images), images.shape[-1]
    along_y, along_x = _pixel_bases(side)
    top, down = _pixel_and_rest(maps[:, :3] @ along_y + along_y[1], side)
    left, right = _pixel_and_rest(maps[:, 3:] @ along_x + along_x[1], side)
    corner = (top * side + left).astype(np.intp) + np.arange(count)[:, None] * (side * side)
    values = images.reshape(-1)
    # Pixels beside and below are taken from the values moved along: adding to the places would copy them three times.
    above, below = (
        _between(values[offset:].take(corner), values[offset + 1 :].take(corner), right) for offset in (0, side)
    )
    return _between(above, below, down).reshape(images.shape)


def _pixel_and_rest(offsets: Images, side: int) -> tuple[Images, Images]:
    """Returns the pixel before each place, and how far behind it the place is, by its offset from the middle."""
    places = np.clip(offsets + np.float32((side - 1) / 2), 0, np.float32(side - 1.001))
    pixels = np.floor(places)
    return pixels, places - pixels


def _between(first: Images, second: Images, share: Images) -> Images:
    """Returns first + share * (second - first), in the memory of ``second``."""
    second -= first
    second *= share
    second += first
    return second


def blurred(images: Images, sigma: float) -> Images:
    """Returns the images [..., side, side] under a Gaussian of ``sigma`` pixels."""
    kernel = _kernel(images.shape[-1], sigma)
    return np.asarray(kernel @ images @ kernel.T, dtype=np.float32)


@functools.cache
def _kernel(side: int, sigma: float) -> Images:
    offsets = np.arange(side)[:, None] - np.arange(side)
    kernel = np.exp(-0.5 * (offsets / sigma) ** 2)
    # Far from the middle float32 would hold subnormal numbers, with which processors compute twenty times as slowly.
    kernel[kernel < _NOTHING] = 0
    return np.asarray(kernel / kernel.sum(axis=1, keepdims=True), dtype=np.float32)


@functools.cache
def _basis(side: int) -> Images:
    """Returns 1, y and x of every pixel, [3, pixels], in parts of the side from the middle."""
    along = (np.arange(side) - (side - 1) / 2) / side
    y, x = np.meshgrid(along, along, indexing="ij")
    return np.stack([np.ones(side * side), y.ravel(), x.ravel()]).astype(np.float32)


@functools.cache
def _pixel_bases(side: int) -> Images:
    """Returns 1, y and x of every pixel, and 1, x and y, [2, 3, pixels], in pixels from the middle."""
    basis = _basis(side) * np.float32(side)
    return np.stack([basis, basis[[0, 2, 1]]])


@functools.cache
def _inner_places(side: int) -> Images:
    """Returns y and x of the inner pixels, [2, pixels]."""
    return _inner(_basis(side).reshape(3, side, side))[1:]


def _inner(images: Images) -> Images:
    """Returns the pixels [n, pixels] without the rim, where the other image may have nothing."""
    rim = images.shape[-1] // 16
    inner = images[:, rim:-rim, rim:-rim]
    return inner.reshape(len(images), inner.shape[1] * inner.shape[2])


def _standardised(rows: Images) -> tuple[Images, Images]:
    """Returns rows [n, pixels] with mean 0 and deviation 1, and the deviations [n, 1]."""
    centred = rows - rows.mean(axis=1, keepdims=True)
    spread = np.sqrt(np.einsum("np,np->n", centred, centred) / rows.shape[1])[:, None] + _DAMPING
    centred /= spread
    return centred, spread


def _step(target: Images, warped: Images) -> Images:
    values, spread = _standardised(_inner(warped))
    jacobian = _slopes(warped)
    jacobian *= (warped.shape[-1] / 2 / spread)[:, None]
    jacobian -= jacobian.mean(axis=2, keepdims=True)
    normal = jacobian @ np.swapaxes(jacobian, 1, 2)
    # An image without structure says nothing of where it lies: the damping keeps it where it is.
    trace = np.trace(normal, axis1=1, axis2=2)[:, None, None]
    normal += np.eye(6, dtype=np.float32) * (trace + 1) * _DAMPING
    right = jacobian @ (target - values)[..., None]
    return np.asarray(np.linalg.solve(normal, right)[..., 0], dtype=np.float32)


def _slopes(images: Images) -> Images:
    """Returns how the inner pixels change over two pixels with each of the six parameters, [n, 6, pixels]."""
    side, rim = images.shape[-1], images.shape[-1] // 16
    rows, after, before = slice(rim, side - rim), slice(rim + 1, side - rim + 1), slice(rim - 1, side - rim - 1)
    places = _inner_places(side)
    slopes = np.empty((len(images), 6, side - 2 * rim, side - 2 * rim), dtype=np.float32)
    np.subtract(images[:, after, rows], images[:, before, rows], out=slopes[:, 0])
    np.subtract(images[:, rows, after], images[:, rows, before], out=slopes[:, 3])
    slopes = slopes.reshape(len(images), 6, places.shape[1])
    np.multiply(slopes[:, :1], places, out=slopes[:, 1:3])
    np.multiply(slopes[:, 3:4], places[::-1], out=slopes[:, 4:])
    return slopes
