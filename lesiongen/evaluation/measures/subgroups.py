"""Scores of the groups of patients in the test split, the worst first."""

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
from fairlearn.metrics import MetricFrame
from numpy.typing import NDArray

from lesiongen.evaluation.images import LabelledImages
from lesiongen.evaluation.measures.metrics import Resamples, lesion_confusions, mean_where, resampled_scores
from lesiongen.records.evaluation import SubgroupScore

__all__ = ["absent_columns", "group_gaps", "subgroup_scores", "worst_group"]

NOT_STATED = "not stated"
NOBODY = (NOT_STATED, "unknown")
"""Groups that name no kind of patient: scored, but never the worst group."""
MIN_CLASS = 5
"""A diagnosis with fewer images in a group does not enter the group's recall, which one image would swing."""


def subgroup_scores(
    test: LabelledImages,
    predictions: NDArray[np.int64],
    classes: int,
    columns: Sequence[str],
    min_group: int,
    resamples: Resamples,
) -> tuple[SubgroupScore, ...]:
    """Scores every group of every column that the test split has, by fairlearn's MetricFrame.

    Args:
        test: The test images.
        predictions: [seeds, n].
        classes: Number of classes.
        columns: Columns of the test table.
        min_group: Groups with fewer images are marked ``too_small``.
        resamples: Resamples of the test lesions.

    Returns:
        The groups, lowest recall first, those that are too small last. The recall of a group is the mean over its
        diagnoses that have five images or more; over all of them where none has.
    """
    entries = []
    for column in columns:
        if column in absent_columns(test, [column]):
            continue
        groups = test.table[column].fillna(NOT_STATED).astype(str)
        means = _frames(test.labels, predictions, groups)
        for group in sorted(groups.unique()):
            rows = (groups == group).to_numpy()
            low, high = _interval(test.labels, predictions, rows, classes, resamples)
            entry = SubgroupScore(
                column=column,
                group=group,
                n=int(rows.sum()),
                lesions=len(np.unique(test.lesions[rows])),
                diagnoses=int(counted(test.labels[rows]).sum()),
                accuracy=float(means.loc[group, "accuracy"]),
                recall=float(means.loc[group, "recall"]),
                low=low,
                high=high,
                too_small=int(rows.sum()) < min_group,
            )
            entries.append(entry)
    return tuple(sorted(entries, key=lambda entry: (entry.too_small, _recall_of(entry))))


def absent_columns(test: LabelledImages, columns: Sequence[str]) -> list[str]:
    """Returns the columns that hold no value for any test image."""
    return [column for column in columns if column not in test.table or test.table[column].isna().all()]


def worst_group(entries: Sequence[SubgroupScore]) -> SubgroupScore | None:
    """Returns the group with the lowest recall among those that are large enough and whose patients are known."""
    return min(_known(entries), key=_recall_of, default=None)


def group_gaps(entries: Sequence[SubgroupScore]) -> dict[str, float | None]:
    """Returns, for each column, the difference between its best and worst recall over groups large enough."""
    recalls: dict[str, list[float]] = {}
    for entry in _known(entries):
        recalls.setdefault(entry.column, []).append(_recall_of(entry))
    return {column: max(values) - min(values) for column, values in recalls.items()}


def _known(entries: Sequence[SubgroupScore]) -> list[SubgroupScore]:
    return [entry for entry in entries if not entry.too_small and entry.group not in NOBODY]


def _recall_of(entry: SubgroupScore) -> float:
    return math.inf if entry.recall is None else entry.recall


def _frames(labels: NDArray[np.int64], predictions: NDArray[np.int64], groups: pd.Series) -> pd.DataFrame:
    metrics = {"accuracy": _accuracy, "recall": _recall}
    frames = [
        MetricFrame(metrics=metrics, y_true=labels, y_pred=row, sensitive_features=groups).by_group
        for row in predictions
    ]
    return sum(frames[1:], frames[0]) / len(frames)


def _accuracy(labels: NDArray[np.int64], predictions: NDArray[np.int64]) -> float:
    return float((np.asarray(labels) == np.asarray(predictions)).mean())


def _recall(labels: NDArray[np.int64], predictions: NDArray[np.int64]) -> float:
    true, predicted = np.asarray(labels), np.asarray(predictions)
    return float(np.mean([(predicted[true == k] == k).mean() for k in np.flatnonzero(counted(true))]))


def counted(labels: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Returns which classes enter a group's recall."""
    counts = np.bincount(labels)
    return counts >= (MIN_CLASS if (counts >= MIN_CLASS).any() else 1)


def _interval(
    labels: NDArray[np.int64],
    predictions: NDArray[np.int64],
    rows: NDArray[np.bool_],
    classes: int,
    resamples: Resamples,
) -> tuple[float | None, float | None]:
    entering = np.zeros(classes, dtype=bool)
    entering[: len(counted(labels[rows]))] = counted(labels[rows])
    parts = []
    for row in predictions:
        counts = lesion_confusions(labels, row, resamples.lesions, classes, rows)
        recall = resampled_scores(counts, resamples)["recall"]
        parts.append(mean_where(recall, entering & np.isfinite(recall)))
    return resamples.interval(np.mean(parts, axis=0))
