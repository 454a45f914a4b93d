"""Scores of predictions and their uncertainty over the lesions of the test split."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torchmetrics.functional.classification import multiclass_calibration_error

from lesiongen.records.scores import Calibration, ClassRecall, ConditionScores, Score

__all__ = [
    "Resamples",
    "balanced_accuracy",
    "calibration",
    "condition_scores",
    "lesion_confusions",
    "scores_of_confusion",
    "summary",
]

Counts = NDArray[np.float32]
Floats = NDArray[np.float64]
CALIBRATION_BINS = 15


class Resamples:
    """Bootstrap resamples of lesions: images of one lesion are drawn, or left out, together.

    Args:
        lesions: [n] number of the lesion that each image shows, from 0 without gaps.
        count: Number of resamples.
        confidence: Coverage of the percentile intervals.
        seed: Seed of the draws.
    """

    def __init__(self, lesions: NDArray[np.int64], count: int, confidence: float, seed: int) -> None:
        number = int(lesions.max()) + 1
        rng = np.random.default_rng(seed)
        self.lesions = lesions
        self.weights: Counts = rng.multinomial(number, np.full(number, 1 / number), count).astype(np.float32)
        self.percentiles = (50 * (1 - confidence), 50 * (1 + confidence))

    def interval(self, values: Floats) -> tuple[float | None, float | None]:
        """Percentile interval of a statistic over the resamples; those in which it is undefined are left out."""
        defined = values[np.isfinite(values)]
        if len(defined) == 0:
            return None, None
        low, high = np.percentile(defined, self.percentiles)
        return float(low), float(high)


def balanced_accuracy(labels: NDArray[np.int64], predictions: NDArray[np.int64], classes: int) -> float:
    """Mean recall over the classes that occur among the labels.

    >>> round(balanced_accuracy(np.array([0, 0, 0, 1]), np.array([0, 0, 1, 1]), classes=3), 3)
    0.833
    """
    confusion = np.zeros((classes, classes))
    np.add.at(confusion, (labels, predictions), 1)
    return float(scores_of_confusion(confusion)["balanced_accuracy"])


def lesion_confusions(
    labels: NDArray[np.int64],
    predictions: NDArray[np.int64],
    lesions: NDArray[np.int64],
    classes: int,
    rows: NDArray[np.bool_] | None = None,
) -> Counts:
    """Counts (true, predicted) pairs for each lesion: [lesions, classes, classes]; `rows` restricts to some images."""
    counts = np.zeros((int(lesions.max()) + 1, classes, classes), dtype=np.float32)
    kept = slice(None) if rows is None else rows
    np.add.at(counts, (lesions[kept], labels[kept], predictions[kept]), 1)
    return counts


def scores_of_confusion(confusion: NDArray[Any]) -> dict[str, Floats]:
    """Scores of confusion counts [..., classes, classes], true classes in rows.

    Classes without a test image are left out of the means.

    Returns:
        ``accuracy``, ``balanced_accuracy``, ``macro_f1`` [...] and ``recall`` [..., classes] (NaN where n = 0).
    """
    counts = confusion.astype(np.float64)
    hits = np.diagonal(counts, axis1=-2, axis2=-1)
    true, predicted = counts.sum(axis=-1), counts.sum(axis=-2)
    present = true > 0
    recall = np.divide(hits, true, out=np.full_like(hits, np.nan), where=present)
    both = true + predicted
    f1 = np.divide(2 * hits, both, out=np.zeros_like(hits), where=both > 0)
    total = true.sum(axis=-1)
    return {
        "accuracy": np.divide(hits.sum(axis=-1), total, out=np.full_like(total, np.nan), where=total > 0),
        "balanced_accuracy": mean_where(recall, present),
        "macro_f1": mean_where(f1, present),
        "recall": recall,
    }


def mean_where(values: Floats, present: NDArray[np.bool_]) -> Floats:
    """Mean over the last axis of the values that are present; NaN where none is.

    >>> mean_where(np.array([1.0, 3.0, 100.0]), np.array([True, True, False])).item()
    2.0
    """
    number = present.sum(axis=-1)
    total = np.where(present, values, 0.0).sum(axis=-1)
    return np.asarray(np.divide(total, number, out=np.full(total.shape, np.nan), where=number > 0))


def condition_scores(
    labels: NDArray[np.int64], predictions: NDArray[np.int64], classes: tuple[str, ...], resamples: Resamples
) -> ConditionScores:
    """Scores the classifiers of one condition, with intervals over resampled lesions.

    Args:
        labels: [n].
        predictions: [seeds, n].
        classes: Names of the classes.
        resamples: Resamples of the test lesions.

    Returns:
        Accuracy, balanced accuracy, macro F1, the recall of each class and the mean confusion counts over the seeds.
    """
    number = len(classes)
    per_lesion = np.stack([lesion_confusions(labels, row, resamples.lesions, number) for row in predictions])
    plain = scores_of_confusion(per_lesion.sum(axis=1))
    resampled = [resampled_scores(counts, resamples) for counts in per_lesion]
    means = {name: np.mean([part[name] for part in resampled], axis=0) for name in plain}
    accuracy, balanced, f1 = (
        summary(plain[name], means[name], resamples) for name in ("accuracy", "balanced_accuracy", "macro_f1")
    )
    recalls = {
        name: _class_summary(plain["recall"][:, k], means["recall"][:, k], int((labels == k).sum()), resamples)
        for k, name in enumerate(classes)
    }
    confusion = tuple(map(tuple, per_lesion.sum(axis=1).mean(axis=0).tolist()))
    return ConditionScores(
        accuracy=accuracy, balanced_accuracy=balanced, macro_f1=f1, per_class=recalls, confusion=confusion
    )


def resampled_scores(per_lesion: Counts, resamples: Resamples) -> Mapping[str, Floats]:
    """Scores of every resample, from the confusion counts of each lesion."""
    lesions, classes, _ = per_lesion.shape
    drawn = resamples.weights @ per_lesion.reshape(lesions, -1)
    return scores_of_confusion(drawn.reshape(-1, classes, classes))


def summary(per_seed: Floats, resampled: Floats, resamples: Resamples) -> Score:
    """Returns a score from its value for each seed [seeds] and its mean over the seeds in each resample [resamples]."""
    low, high = resamples.interval(resampled)
    spread = float(per_seed.std(ddof=1)) if len(per_seed) > 1 else None
    return Score(mean=float(per_seed.mean()), low=low, high=high, per_seed=tuple(per_seed.tolist()), spread=spread)


def _class_summary(per_seed: Floats, resampled: Floats, n: int, resamples: Resamples) -> ClassRecall:
    low, high = resamples.interval(resampled)
    return ClassRecall(recall=float(per_seed.mean()) if n else None, n=n, low=low, high=high)


def calibration(labels: NDArray[np.int64], probabilities: NDArray[np.float32]) -> Calibration:
    """Brier score (summed over the classes) and expected calibration error (15 bins), means over the seeds.

    Args:
        labels: [n].
        probabilities: [seeds, n, classes].
    """
    classes = probabilities.shape[-1]
    truth = np.eye(classes, dtype=np.float32)[labels]
    target = torch.from_numpy(labels)
    errors = [
        float(multiclass_calibration_error(torch.from_numpy(seed), target, classes, CALIBRATION_BINS, "l1"))
        for seed in probabilities
    ]
    brier = float(((probabilities - truth) ** 2).sum(axis=-1).mean())
    return Calibration(brier=brier, ece=float(np.mean(errors)))
