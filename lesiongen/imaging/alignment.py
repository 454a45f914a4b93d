"""Laying one small picture exactly over another: a crop shifts and stretches it a little."""

import numpy as np
from numpy.typing import NDArray

__all__ = ["align", "blurred", "warp"]

Pictures = NDArray[np.float32]
LIMIT = 0.14
"""Largest shift and stretch, in parts of the side; cutting 5% off each side stretches by 0.11."""
_DAMPING = 1e-3
_NOTHING = 1e-12


def align(fixed: Pictures, moving: Pictures, *, steps: int, start: Pictures | None = None) -> Pictures:
    """Finds the shift and stretch along each axis that lay ``moving`` over ``fixed``, up to brightness and contrast.

    Gauss-Newton steps on the squared difference: B. D. Lucas and T. Kanade, "An Iterative Image Registration
    Technique" (1981), section 4.3, for many pairs at once.

    Args:
        fixed: Square pictures [n, side, side].
        moving: Square pictures [n, side, side].
        steps: Number of steps.
        start: Where to begin, of another call; by default no shift and no stretch.

    Returns:
        Shift and stretch along x, shift and stretch along y, in parts of the side, float32 [n, 4]; at most `LIMIT`.
    """
    found = np.zeros((len(fixed), 4), dtype=np.float32) if start is None else start
    target = _standardised(_inner(fixed))[0]
    for _ in range(steps):
        found = np.clip(found + _step(target, warp(moving, found)), -LIMIT, LIMIT)
    return found


def warp(pictures: Pictures, shifts: Pictures) -> Pictures:
    """Returns the pictures [n, side, side] shifted and stretched by [n, 4] (see `align`), bilinearly."""
    side = pictures.shape[-1]
    along_x = _weights(shifts[:, 0:1], shifts[:, 1:2], side)
    along_y = _weights(shifts[:, 2:3], shifts[:, 3:4], side)
    return np.asarray(along_y @ pictures @ np.swapaxes(along_x, 1, 2), dtype=np.float32)


def blurred(pictures: Pictures, sigma: float) -> Pictures:
    """Returns the pictures [..., side, side] under a Gaussian of ``sigma`` pixels."""
    side = pictures.shape[-1]
    offsets = np.arange(side)[:, None] - np.arange(side)
    kernel = np.exp(-0.5 * (offsets / sigma) ** 2)
    # Far from the middle float32 would hold subnormal numbers, with which processors compute twenty times as slowly.
    kernel[kernel < _NOTHING] = 0
    kernel = (kernel / kernel.sum(axis=1, keepdims=True)).astype(np.float32)
    return np.asarray(kernel @ pictures @ kernel.T, dtype=np.float32)


def _inner(pictures: Pictures) -> Pictures:
    """Returns the pixels [n, pixels] without the rim, where the other picture may have nothing."""
    rim = pictures.shape[-1] // 16
    inner = pictures[:, rim:-rim, rim:-rim]
    return inner.reshape(len(pictures), inner.shape[1] * inner.shape[2])


def _positions(side: int) -> Pictures:
    return ((np.arange(side) - (side - 1) / 2) / side).astype(np.float32)


def _weights(shift: Pictures, stretch: Pictures, side: int) -> Pictures:
    """Returns how much of each column [n, new, old] a shifted and stretched column holds."""
    columns = np.arange(side, dtype=np.float32)
    taken = np.clip(columns + side * (shift + stretch * _positions(side)), 0, side - 1)
    return np.asarray(np.maximum(0, 1 - np.abs(taken[:, :, None] - columns)), dtype=np.float32)


def _standardised(rows: Pictures) -> tuple[Pictures, Pictures]:
    centred = rows - rows.mean(axis=1, keepdims=True)
    spread = np.sqrt(np.einsum("np,np->n", centred, centred) / rows.shape[1])[:, None] + np.float32(_DAMPING)
    return centred / spread, spread


def _step(target: Pictures, warped: Pictures) -> Pictures:
    values, spread = _standardised(_inner(warped))
    jacobian = _slopes(warped) * (warped.shape[-1] / spread)[:, None]
    jacobian -= jacobian.mean(axis=2, keepdims=True)
    normal = jacobian @ np.swapaxes(jacobian, 1, 2)
    # A picture without structure says nothing of where it lies: the damping keeps it where it is.
    trace = np.trace(normal, axis1=1, axis2=2)[:, None, None]
    normal += np.eye(4, dtype=np.float32) * (trace + 1) * np.float32(_DAMPING)
    right = jacobian @ (target - values)[..., None]
    return np.asarray(np.linalg.solve(normal, right)[..., 0], dtype=np.float32)


def _slopes(pictures: Pictures) -> Pictures:
    """Returns how the inner pixels change per pixel with each of the four parameters, [n, 4, pixels]."""
    side, rim = pictures.shape[-1], pictures.shape[-1] // 16
    rows = slice(rim, side - rim)
    after, before = slice(rim + 1, side - rim + 1), slice(rim - 1, side - rim - 1)
    across = _positions(side)[rows]
    slopes = np.empty((len(pictures), 4, len(across), len(across)), dtype=np.float32)
    slopes[:, 0] = (pictures[:, rows, after] - pictures[:, rows, before]) / 2
    slopes[:, 1] = slopes[:, 0] * across
    slopes[:, 2] = (pictures[:, after, rows] - pictures[:, before, rows]) / 2
    slopes[:, 3] = slopes[:, 2] * across[:, None]
    return slopes.reshape(len(pictures), 4, len(across) ** 2)
