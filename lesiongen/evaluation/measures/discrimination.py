"""Areas under the ROC curve, with intervals over resampled lesions."""

import numpy as np
from numpy.typing import NDArray

from lesiongen.evaluation.measures.metrics import Resamples, mean_where, summary
from lesiongen.records.scores import Score

__all__ = ["binary_auroc", "macro_auroc", "weighted_auroc"]

BLOCK = 100
"""Resamples that are held at once: memory grows with them and with the images."""
Floats = NDArray[np.float64]


def weighted_auroc(positive: NDArray[np.bool_], scores: NDArray[np.floating], weights: NDArray[np.floating]) -> Floats:
    """Area under the ROC curve of weighted images: the share of pairs that are ranked rightly, ties counting one half.

    It is the Mann-Whitney statistic (Hanley and McNeil 1982), for many weightings of the same images at once.

    Args:
        positive: [n], which images are of the class.
        scores: [n].
        weights: [resamples, n], how many times each image is drawn.

    Returns:
        [resamples]; NaN where no image of the class, or no other one, is drawn.

    >>> weighted_auroc(np.array([False, True, True]), np.array([0.2, 0.1, 0.9]), np.ones((1, 3))).tolist()
    [0.5]
    """
    order = np.argsort(scores, kind="stable")
    ties = np.flatnonzero(np.diff(scores[order], prepend=np.nan) != 0)
    parts = []
    for start in range(0, len(weights), BLOCK):
        drawn = weights[start : start + BLOCK, order].astype(np.float64)
        ours = np.add.reduceat(drawn * positive[order], ties, axis=1)
        others = np.add.reduceat(drawn * ~positive[order], ties, axis=1)
        below = np.cumsum(others, axis=1) - others / 2
        pairs = ours.sum(axis=1) * others.sum(axis=1)
        won = (ours * below).sum(axis=1)
        parts.append(np.divide(won, pairs, out=np.full_like(won, np.nan), where=pairs > 0))
    return np.concatenate(parts)


def macro_auroc(labels: NDArray[np.int64], probabilities: NDArray[np.floating], resamples: Resamples) -> Score:
    """Mean over the classes of the area under each one's ROC curve against the rest.

    Classes without an image are left out; in a resample, those that it does not hold.

    Args:
        labels: [n].
        probabilities: [seeds, n, classes].
        resamples: Resamples of the lesions.
    """
    weights = _weights(resamples, np.ones(len(labels), dtype=bool))
    areas = np.array([_macro(labels, seed, weights) for seed in probabilities])
    return summary(areas[:, 0], areas[:, 1:].mean(axis=0), resamples)


def binary_auroc(
    positive: NDArray[np.bool_], scores: NDArray[np.floating], rows: NDArray[np.bool_], resamples: Resamples
) -> Score:
    """Area under the ROC curve of one class against the rest.

    Args:
        positive: [n], which images are of the class.
        scores: [seeds, n], the probabilities of the class.
        rows: [n], which images are judged.
        resamples: Resamples of the lesions.
    """
    weights = _weights(resamples, rows)
    areas = np.array([weighted_auroc(positive[rows], seed[rows], weights) for seed in scores])
    return summary(areas[:, 0], areas[:, 1:].mean(axis=0), resamples)


def _weights(resamples: Resamples, rows: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Returns how many times each image is drawn: once, then as in each resample."""
    drawn = resamples.weights[:, resamples.lesions[rows]]
    return np.concatenate([np.ones((1, drawn.shape[1]), np.float32), drawn])


def _macro(labels: NDArray[np.int64], probabilities: NDArray[np.floating], weights: NDArray[np.float32]) -> Floats:
    """Returns the mean over the classes of the area under the ROC curve, one against the rest: [weightings]."""
    areas = np.stack([weighted_auroc(labels == k, row, weights) for k, row in enumerate(probabilities.T)], axis=-1)
    return mean_where(areas, np.isfinite(areas))
