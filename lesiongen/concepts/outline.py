"""Measures of a lesion's form: asymmetry about two axes, elongation, contact with the picture's edge."""

import numpy as np
from numpy.typing import NDArray

__all__ = ["elongation", "fold_asymmetry", "frame_contact"]

Mask = NDArray[np.bool_]

FOLD_ANGLES = 18


def _centred(lesion: Mask) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    rows, columns = np.nonzero(lesion)
    points = np.stack([columns, rows], axis=1).astype(np.float64)
    middle = points.mean(axis=0)
    return points - middle, middle


def fold_asymmetry(lesion: Mask) -> tuple[float, float]:
    """Returns the area that does not match when folded about two perpendicular axes, larger first, in [0, 1].

    The axes are those of least asymmetry, as the ABCD rule places them (Stolz et al. 1994); the mismatch is the share
    of the lesion's pixels whose mirror image lies outside it (Stoecker et al. 1992).
    """
    points, middle = _centred(lesion)
    turns = np.arange(FOLD_ANGLES) * np.pi / FOLD_ANGLES
    folds = np.array([_mismatch(lesion, points, middle, turn) for turn in turns])
    pairs = folds + np.roll(folds, -FOLD_ANGLES // 2)
    best = int(np.argmin(pairs))
    pair = sorted((float(folds[best]), float(folds[(best + FOLD_ANGLES // 2) % FOLD_ANGLES])), reverse=True)
    return pair[0], pair[1]


def _mismatch(lesion: Mask, points: NDArray[np.float64], middle: NDArray[np.float64], turn: float) -> float:
    cosine, sine = np.cos(2 * turn), np.sin(2 * turn)
    mirrored = points @ np.array([[cosine, sine], [sine, -cosine]]) + middle
    columns, rows = np.rint(mirrored).astype(np.int32).T
    height, width = lesion.shape
    inside = (columns >= 0) & (columns < width) & (rows >= 0) & (rows < height)
    matched = lesion[rows[inside], columns[inside]].sum()
    return 1.0 - float(matched) / len(points)


def elongation(lesion: Mask) -> float:
    """Returns the ratio of the axes of the ellipse with the lesion's second moments, at least 1."""
    points, _ = _centred(lesion)
    spread = np.linalg.eigvalsh(np.cov(points.T) + np.eye(2) / 12)
    return float(np.sqrt(spread[1] / spread[0]))


def frame_contact(lesion: Mask) -> float:
    """Returns the share of the picture's edge that the lesion touches, in [0, 1]."""
    edge = np.concatenate([lesion[0], lesion[-1], lesion[:, 0], lesion[:, -1]])
    return float(edge.mean())
