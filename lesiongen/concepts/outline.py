"""Measures of a lesion's form: asymmetry about two axes, elongation, contact with the image's edge."""

import numpy as np
from numpy.typing import NDArray

__all__ = ["elongation", "fold_asymmetry", "frame_contact"]

Mask = NDArray[np.bool_]

FOLD_ANGLES = 18

FOLDED = 2000
"""Pixels of a lesion, evenly spread over it, whose mirror images are looked at."""


def _centred(lesion: Mask) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Returns the pixels [n, 2] of a lesion as (x, y) from their mean, and the mean [2]."""
    rows, columns = np.nonzero(lesion)
    points = np.stack([columns, rows], axis=1).astype(np.float32)
    middle = points.mean(axis=0)
    return points - middle, middle


def fold_asymmetry(lesion: Mask) -> tuple[float, float]:
    """Returns the area that does not match when folded about two perpendicular axes, larger first, in [0, 1].

    The axes are those of least asymmetry, as the ABCD rule places them (Stolz et al. 1994); the mismatch is the share
    of the lesion's pixels whose mirror image lies outside it (Stoecker et al. 1992).
    """
    points, middle = _centred(lesion)
    folds = _mismatches(lesion, points[:: max(len(points) // FOLDED, 1)], middle)
    pairs = folds + np.roll(folds, -FOLD_ANGLES // 2)
    best = int(np.argmin(pairs))
    pair = sorted((float(folds[best]), float(folds[(best + FOLD_ANGLES // 2) % FOLD_ANGLES])), reverse=True)
    return pair[0], pair[1]


def _mismatches(lesion: Mask, points: NDArray[np.float32], middle: NDArray[np.float32]) -> NDArray[np.float64]:
    """The share of the points whose mirror image lies outside the lesion, for every axis."""
    turns = (2 * np.pi / FOLD_ANGLES * np.arange(FOLD_ANGLES)).astype(np.float32)
    across = points @ np.stack([np.cos(turns), np.sin(turns)]) + middle[0]
    down = points @ np.stack([np.sin(turns), -np.cos(turns)]) + middle[1]
    height, width = lesion.shape
    framed = np.pad(lesion, 1)  # what is mirrored out of the image lands in its frame
    rows, columns = (
        np.rint(np.clip(places + 1, 0, length + 1)).astype(np.intp)
        for places, length in ((down, height), (across, width))
    )
    missed: NDArray[np.float64] = 1.0 - framed[rows, columns].mean(axis=0)
    return missed


def elongation(lesion: Mask) -> float:
    """Returns the ratio of the axes of the ellipse with the lesion's second moments, at least 1."""
    points, _ = _centred(lesion)
    spread = np.linalg.eigvalsh(np.cov(points.T) + np.eye(2) / 12)
    return float(np.sqrt(spread[1] / spread[0]))


def frame_contact(lesion: Mask) -> float:
    """Returns the share of the image's edge that the lesion touches, in [0, 1]."""
    edge = np.concatenate([lesion[0], lesion[-1], lesion[:, 0], lesion[:, -1]])
    return float(edge.mean())
