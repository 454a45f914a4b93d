"""Shares of near copies with their intervals, and thresholds that several descriptors share."""

import math

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest

from lesiongen.records.memorisation import CopyShare

__all__ = ["above_chance", "copy_share", "joint_thresholds"]


def copy_share(n_above: int, n: int, confidence: float) -> CopyShare:
    """Returns a share with its exact interval (Clopper and Pearson 1934), by scipy; no numbers of no images.

    Images count as independent: where several are of one lesion or one caption, the interval is somewhat too narrow.

    >>> found = copy_share(0, 100, 0.95)
    >>> found.low, round(found.high, 4)
    (0.0, 0.0362)
    """
    if n == 0:
        return CopyShare(n=0, n_above=0)
    bounds = binomtest(n_above, n).proportion_ci(confidence, method="exact")
    return CopyShare(n=n, n_above=n_above, share=n_above / n, low=float(bounds.low), high=float(bounds.high))


def above_chance(one: CopyShare, chance: CopyShare, confidence: float) -> tuple[float, float, float]:
    """Returns the difference of two shares with its interval (Newcombe 1998, method 10, from Wilson's intervals).

    >>> low, high = above_chance(copy_share(56, 70, 0.95), copy_share(48, 80, 0.95), 0.95)[1:]
    >>> round(low, 4), round(high, 4)
    (0.0524, 0.3339)
    """
    (first, first_low, first_high), (second, second_low, second_high) = (
        _wilson(each, confidence) for each in (one, chance)
    )
    difference = first - second
    low = difference - math.hypot(first - first_low, second_high - second)
    return difference, low, difference + math.hypot(first_high - first, second - second_low)


def _wilson(share: CopyShare, confidence: float) -> tuple[float, float, float]:
    """Returns the share, and the ends of Wilson's interval."""
    above, n = share.n_above or 0, share.n or 0
    bounds = binomtest(above, n).proportion_ci(confidence, method="wilson")
    return above / n, float(bounds.low), float(bounds.high)


def joint_thresholds(held_out: NDArray[np.float32], percentile: float) -> NDArray[np.float32]:
    """Returns a threshold for each descriptor, such that images above any of them are as rare as the percentile says.

    Each descriptor gets the same rank among its own similarities, the lowest at which at most ``100 - percentile``
    percent of the held-out images exceed a threshold.

    Args:
        held_out: Similarities of held-out real images [descriptors, n], n at least 1.
        percentile: For example 99.

    >>> joint_thresholds(np.array([[1, 2, 3, 4], [4, 3, 2, 1]], np.float32), 50.0).tolist()
    [3.0, 3.0]
    """
    n = held_out.shape[1]
    allowed = math.floor(n * (100 - percentile) / 100 + 1e-9)
    ordered = np.sort(held_out, axis=1)[:, ::-1]
    for rank in range(allowed, 0, -1):
        thresholds = ordered[:, rank]
        if (held_out > thresholds[:, None]).any(axis=0).sum() <= allowed:
            return thresholds
    return ordered[:, 0]
