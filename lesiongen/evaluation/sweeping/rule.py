"""The choice among candidates: the highest mean, or the simplest within one standard error of it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lesiongen.evaluation.measures.metrics import Resamples, balanced_accuracy, lesion_confusions, resampled_scores

__all__ = ["RULE", "Scores", "one_standard_error", "score_candidates"]

Floats = NDArray[np.float64]
RULE = (
    "Of the candidates whose mean balanced accuracy on the validation images is within one standard error of the "
    "highest, the simplest is chosen (Breiman et al. 1984; Hastie, Tibshirani and Friedman 2009, section 7.10). The "
    "standard error is that of the difference between the two candidates, by a bootstrap that draws validation lesions "
    "and seeds, the same for both."
)


@dataclass(frozen=True)
class Scores:
    """How candidates did on the validation images.

    Attributes:
        per_seed: Balanced accuracy [candidates, seeds].
        resampled: The mean over the seeds, in each resample of lesions and seeds [candidates, resamples].
    """

    per_seed: Floats
    resampled: Floats

    @property
    def means(self) -> Floats:
        """[candidates]."""
        return np.asarray(self.per_seed.mean(axis=1))

    def difference_error(self, one: int, other: int) -> float:
        """Standard error of the difference between two candidates, paired by lesion and by seed."""
        return float((self.resampled[one] - self.resampled[other]).std(ddof=1))


def score_candidates(
    labels: NDArray[np.int64],
    predictions: Sequence[NDArray[np.int64]],
    classes: int,
    resamples: Resamples,
    seed: int,
) -> Scores:
    """Scores candidates on the same validation images, with resamples that are the same for all of them.

    A resample draws lesions, whose images stay together, and seeds, both with replacement: its spread holds what other
    validation lesions and what other trainings would change, and not what other training images would.

    Args:
        labels: [n].
        predictions: Of each candidate, classes [seeds, n].
        classes: Number of classes.
        resamples: Resamples of the validation lesions.
        seed: Seed of the draws of seeds.
    """
    n_seeds = len(predictions[0])
    drawn = np.random.default_rng(seed).multinomial(n_seeds, np.full(n_seeds, 1 / n_seeds), len(resamples.weights))
    plain, resampled = [], []
    for candidate in predictions:
        counts = [lesion_confusions(labels, row, resamples.lesions, classes) for row in candidate]
        scores = np.stack([resampled_scores(each, resamples)["balanced_accuracy"] for each in counts])
        resampled.append((scores * drawn.T).sum(axis=0) / n_seeds)
        plain.append([balanced_accuracy(labels, row, classes) for row in candidate])
    return Scores(np.array(plain), np.stack(resampled))


def one_standard_error(means: Floats, errors: Floats) -> int:
    """Returns the first candidate that is within one standard error of the best one.

    Args:
        means: [candidates], the simplest first; the higher the better.
        errors: [candidates], the standard error of each one's difference from the best.

    >>> one_standard_error(np.array([0.50, 0.58, 0.60, 0.59]), np.array([0.02, 0.03, 0.0, 0.03]))
    1
    """
    return int(np.flatnonzero(means.max() - means <= errors)[0])
