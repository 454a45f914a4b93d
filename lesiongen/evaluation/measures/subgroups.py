"""Scores of the groups of patients in the test split, the worst first."""

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
from fairlearn.metrics import MetricFrame
from numpy.typing import NDArray

from lesiongen.evaluation.measures.metrics import Resamples, lesion_confusions, mean_where, resampled_scores
from lesiongen.records.scores import SubgroupScore

__all__ = [
    "NOBODY",
    "absent_columns",
    "entering_classes",
    "group_gaps",
    "group_score",
    "intersected",
    "mean_recall",
    "resampled_recall",
    "subgroup_scores",
]

NOT_STATED = "not stated"
NOBODY = (NOT_STATED, "unknown")
"""Groups that name no kind of patient: scored, but never the worst group."""
MIN_CLASS = 5
"""A diagnosis with fewer images in a group does not enter the group's recall, which one image would swing."""


def subgroup_scores(
    labels: NDArray[np.int64],
    predictions: NDArray[np.int64],
    table: pd.DataFrame,
    classes: int,
    columns: Sequence[str],
    min_group: int,
    resamples: Resamples,
) -> tuple[SubgroupScore, ...]:
    """Scores every group of every column that the test images have, by fairlearn's MetricFrame.

    Args:
        labels: [n].
        predictions: [seeds, n].
        table: A row for each test image.
        classes: Number of classes.
        columns: Columns of the table.
        min_group: Groups with fewer images are marked ``too_small``.
        resamples: Resamples of the test lesions.

    Returns:
        The groups, lowest recall first, those that are too small last. The recall of a group is the mean over its
        diagnoses that have five images or more; over all of them where none has.
    """
    entries = []
    for column in columns:
        if column in absent_columns(table, [column]):
            continue
        groups = table[column].fillna(NOT_STATED).astype(str)
        means = _frames(labels, predictions, groups)
        for group in sorted(groups.unique()):
            rows = (groups == group).to_numpy()
            entering = entering_classes(labels[rows], classes)
            low, high = resamples.interval(resampled_recall(labels, predictions, rows, entering, resamples))
            entry = SubgroupScore(
                column=column,
                group=group,
                n=int(rows.sum()),
                lesions=len(np.unique(resamples.lesions[rows])),
                diagnoses=int(entering.sum()),
                accuracy=float(means.loc[group, "accuracy"]),
                recall=float(means.loc[group, "recall"]),
                low=low,
                high=high,
                too_small=int(rows.sum()) < min_group,
            )
            entries.append(entry)
    return tuple(sorted(entries, key=lambda entry: (entry.too_small, _recall_of(entry))))


def group_score(entries: Sequence[SubgroupScore], column: str, group: str) -> SubgroupScore | None:
    """Returns the scores of one group."""
    return next((entry for entry in entries if (entry.column, entry.group) == (column, group)), None)


def intersected(table: pd.DataFrame, pairs: Sequence[tuple[str, str]]) -> pd.DataFrame:
    """Returns a column for each pair of columns, whose groups are those of both; None where one is not known.

    >>> table = pd.DataFrame({"sex": ["female", "unknown"], "age_band": ["30 to 44", "under 30"]})
    >>> intersected(table, [("sex", "age_band")])["sex, age_band"].tolist()
    ['female, 30 to 44', None]
    """
    found = {}
    for pair in pairs:
        parts = [table[column] if column in table else pd.Series(None, table.index, dtype=object) for column in pair]
        known = np.logical_and.reduce([(part.notna() & ~part.isin(NOBODY)).to_numpy(dtype=bool) for part in parts])
        joined = parts[0].astype(str) + ", " + parts[1].astype(str)
        found[", ".join(pair)] = joined.astype(object).where(known, None)
    return pd.DataFrame(found, index=table.index)


def absent_columns(table: pd.DataFrame, columns: Sequence[str]) -> list[str]:
    """Returns the columns that hold no value for any image."""
    return [column for column in columns if column not in table or table[column].isna().all()]


def group_gaps(entries: Sequence[SubgroupScore]) -> dict[str, float | None]:
    """Returns, for each column, the difference between its highest and lowest recall over groups large enough."""
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
    return float(np.mean([(predicted[true == k] == k).mean() for k in np.flatnonzero(entering_classes(true, 0))]))


def entering_classes(labels: NDArray[np.int64], classes: int) -> NDArray[np.bool_]:
    """Returns which classes [classes] enter the recall of a group that has these labels."""
    counts = np.bincount(labels, minlength=classes)
    return counts >= (MIN_CLASS if (counts >= MIN_CLASS).any() else 1)


def mean_recall(
    labels: NDArray[np.int64], predictions: NDArray[np.int64], rows: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Returns the recall [seeds] of the images of a group: the mean over the diagnoses that enter it.

    Args:
        labels: [n].
        predictions: [seeds, n].
        rows: [n], which images are of the group.
    """
    return np.array([_recall(labels[rows], row[rows]) for row in predictions])


def resampled_recall(
    labels: NDArray[np.int64],
    predictions: NDArray[np.int64],
    rows: NDArray[np.bool_],
    entering: NDArray[np.bool_],
    resamples: Resamples,
) -> NDArray[np.float64]:
    """Returns the mean recall [resamples] of some images in each resample, the mean over the seeds.

    Args:
        labels: [n].
        predictions: [seeds, n].
        rows: [n], which images.
        entering: [classes], which classes enter the mean; one that a resample does not hold is left out there.
        resamples: Resamples of the test lesions.
    """
    parts = []
    for row in predictions:
        counts = lesion_confusions(labels, row, resamples.lesions, len(entering), rows)
        recall = resampled_scores(counts, resamples)["recall"]
        parts.append(mean_where(recall, entering & np.isfinite(recall)))
    return np.asarray(np.mean(parts, axis=0))
