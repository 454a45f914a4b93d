"""Correlations and differences of shares, on the whole and within diagnoses, for many weightings of the images at once.

Weights are how many times each image is drawn: ones first, then those of each resample of a bootstrap. All functions
return one number for each weighting; NaN where it is undefined.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "difference",
    "difference_within",
    "spearman",
    "spearman_within",
]

Floats = NDArray[np.float64]
Weights = NDArray[np.floating]
BLOCK = 100
"""Weightings whose ranks are held at once: memory grows with them and with the images."""
LEAST = 5
"""Images of a diagnosis below which it has no correlation of its own."""


def spearman(asked: Floats, measured: Floats, weights: Weights) -> Floats:
    """Returns Spearman's rank correlation, ties at their mean rank.

    Where what was asked does not vary it is NaN: nothing can follow it. Where that varies and what is measured does
    not, it is 0: the images have followed nothing, and leaving them out would flatter them.

    Args:
        asked: [n].
        measured: [n].
        weights: [weightings, n].

    >>> spearman(np.array([0.0, 1.0, 2.0]), np.array([5.0, 7.0, 6.0]), np.ones((1, 3))).round(6).tolist()
    [0.5]
    """
    blocks = (weights[start : start + BLOCK] for start in range(0, len(weights), BLOCK))
    return np.concatenate([_correlations(asked, measured, block.astype(np.float64)) for block in blocks])


def _correlations(asked: Floats, measured: Floats, drawn: Floats) -> Floats:
    """Returns the correlation of the ranks for each weighting of a block: [weightings]."""
    total = drawn.sum(axis=1, keepdims=True)
    ranks = [_ranks(values, drawn) for values in (asked, measured)]
    with np.errstate(invalid="ignore", divide="ignore"):
        one, other = (each - (drawn * each).sum(axis=1, keepdims=True) / total for each in ranks)
        varies = (drawn * one**2).sum(axis=1)
        spread = np.sqrt(varies * (drawn * other**2).sum(axis=1))
        followed = np.where(spread > 0, (drawn * one * other).sum(axis=1) / spread, 0.0)
        return np.asarray(np.where(varies > 0, followed, np.nan))


def _ranks(values: Floats, weights: Floats) -> Floats:
    """Returns the mean rank of each value, less one half, where each is there as many times as its weight."""
    _, level, counts = np.unique(values, return_inverse=True, return_counts=True)
    order = np.argsort(level, kind="stable")
    groups = np.add.reduceat(weights[:, order], np.cumsum(counts) - counts, axis=1)
    return np.asarray((np.cumsum(groups, axis=1) - groups / 2)[:, level])


def spearman_within(asked: Floats, measured: Floats, diagnoses: NDArray[np.int64], weights: Weights) -> Floats:
    """Returns the mean of the diagnoses' own rank correlations, weighted by their images.

    Diagnoses differ in size, colour and border: an image that is merely of the right diagnosis makes the correlation
    over all images positive, but not this one. Left out is a diagnosis with fewer than `LEAST` images, or of which one
    grade alone was asked.

    Args:
        asked: [n].
        measured: [n].
        diagnoses: [n], their numbers.
        weights: [weightings, n].
    """

    def own(rows: NDArray[np.bool_]) -> tuple[Floats, Floats]:
        return spearman(asked[rows], measured[rows], weights[:, rows]), weights[:, rows].sum(axis=1)

    return _mean_within(own, diagnoses, LEAST)


def difference(asked: NDArray[np.bool_], shown: NDArray[np.bool_], weights: Weights) -> Floats:
    """Returns the share of shown among those asked for, less that among those asked against (Youden's index).

    Args:
        asked: [n].
        shown: [n].
        weights: [weightings, n].

    >>> asked, shown = np.array([True, True, False, False]), np.array([True, False, False, False])
    >>> difference(asked, shown, np.ones((1, 4))).tolist()
    [0.5]
    """
    present, absent = weights[:, asked].sum(axis=1), weights[:, ~asked].sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(
            weights[:, asked & shown].sum(axis=1) / present - weights[:, ~asked & shown].sum(axis=1) / absent,
            dtype=np.float64,
        )


def difference_within(
    asked: NDArray[np.bool_], shown: NDArray[np.bool_], diagnoses: NDArray[np.int64], weights: Weights
) -> Floats:
    """Returns the Mantel-Haenszel mean of the diagnoses' own differences (Greenland and Robins 1985).

    Args:
        asked: [n].
        shown: [n].
        diagnoses: [n], their numbers.
        weights: [weightings, n].
    """

    def own(rows: NDArray[np.bool_]) -> tuple[Floats, Floats]:
        present, absent = (weights[:, rows & side].sum(axis=1) for side in (asked, ~asked))
        with np.errstate(invalid="ignore", divide="ignore"):
            return difference(asked[rows], shown[rows], weights[:, rows]), present * absent / (present + absent)

    return _mean_within(own, diagnoses, 1)


def _mean_within(
    own: Callable[[NDArray[np.bool_]], tuple[Floats, Floats]], diagnoses: NDArray[np.int64], least: int
) -> Floats:
    """Returns the weighted mean of the diagnoses' values; an undefined value has no weight."""
    groups = [diagnoses == number for number, count in enumerate(np.bincount(diagnoses)) if count >= least]
    pairs = np.array([own(rows) for rows in groups] or [own(np.zeros(len(diagnoses), dtype=bool))])
    values, weights = pairs[:, 0], np.where(np.isfinite(pairs[:, 0]), pairs[:, 1], 0.0)
    total = weights.sum(axis=0)
    summed = (np.nan_to_num(values) * weights).sum(axis=0)
    return np.asarray(np.divide(summed, total, out=np.full(total.shape, np.nan), where=total > 0))
