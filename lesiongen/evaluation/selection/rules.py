"""Which synthetic images are kept: pure functions of labels, probabilities and similarities."""

from dataclasses import dataclass
from math import ceil

import numpy as np
from numpy.typing import NDArray

__all__ = ["Kept", "best_scored", "copy_threshold", "select_images"]

_ROUNDING = 1e-9
"""0.7 times a count may come out a little above a whole number."""


@dataclass(frozen=True)
class Kept:
    """What becomes of each image.

    Attributes:
        kept: [n], whether it is kept.
        near_copy: [n], whether it was dropped as a near copy.
    """

    kept: NDArray[np.bool_]
    near_copy: NDArray[np.bool_]

    @property
    def unrecognised(self) -> NDArray[np.bool_]:
        """Whether it was dropped because others of its diagnosis are recognised better, [n]."""
        return ~self.kept & ~self.near_copy


def copy_threshold(validation: NDArray[np.float32], percentile: float) -> float:
    """Returns the similarity above which an image is a near copy: a percentile of what validation images reach.

    Validation images share no lesion with the training images, so their similarities show what is met by chance.

    Args:
        validation: Similarity [n] of each validation image to its nearest training image.
        percentile: 0 to 100.

    >>> copy_threshold(np.array([0.0, 0.5, 1.0], np.float32), 50)
    0.5
    """
    return float(np.percentile(validation, percentile))


def best_scored(
    labels: NDArray[np.int64], scores: NDArray[np.float32], keep: float, among: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """Returns the best-scored share of each class, rounded up: no class is lost. Of equal scores the first is kept.

    Args:
        labels: [n].
        scores: [n], the higher the better.
        keep: The share, above 0 and at most 1.
        among: [n], the images that may be kept.

    >>> labels, scores = np.array([0, 0, 0, 0, 1]), np.array([0.2, 0.9, 0.4, 0.3, 0.1], np.float32)
    >>> best_scored(labels, scores, 0.5, among=np.ones(5, dtype=bool)).tolist()
    [False, True, True, False, True]
    """
    kept = np.zeros(len(labels), dtype=bool)
    for label in np.unique(labels[among]):
        rows = np.flatnonzero(among & (labels == label))
        order = np.argsort(-scores[rows], kind="stable")
        kept[rows[order[: ceil(keep * len(rows) - _ROUNDING)]]] = True
    return kept


def select_images(
    labels: NDArray[np.int64],
    chances: NDArray[np.float32] | None,
    similarity: NDArray[np.float32],
    *,
    keep: float,
    threshold: float | None,
) -> Kept:
    """Drops near copies, then all but the best-recognised share of each diagnosis.

    The share is the same for every diagnosis, so that the balance of diagnoses stays what it was without the copies.

    Args:
        labels: Class asked for of each image [n].
        chances: Probability [n] of that class in the eyes of the classifiers; None where all are kept.
        similarity: Similarity [n] to the nearest training image.
        keep: The share of each diagnosis.
        threshold: Similarity above which an image is a near copy; None: copies are kept.
    """
    copies = np.zeros(len(labels), dtype=bool) if threshold is None else similarity > threshold
    kept = ~copies if chances is None else best_scored(labels, chances, keep, ~copies)
    return Kept(kept, copies)
