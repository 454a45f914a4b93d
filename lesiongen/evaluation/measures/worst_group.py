"""The group of patients that is compared as the worst served, named without the test images' predictions."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lesiongen.dataset.subgroups import group_named
from lesiongen.evaluation.measures.subgroups import NOBODY, mean_recall
from lesiongen.records.scores import WorstGroup

__all__ = ["Ranking", "group_rows", "named_worst_group", "ranked_worst_group"]


@dataclass(frozen=True)
class Ranking:
    """The images on which the groups are ranked: validation images, or those of inner folds.

    Attributes:
        labels: [n].
        predictions: [seeds, n], of the classifiers of real images.
        table: A row for each image, with the columns of its groups.
    """

    labels: NDArray[np.int64]
    predictions: NDArray[np.int64]
    table: pd.DataFrame


def group_rows(table: pd.DataFrame, group: WorstGroup) -> NDArray[np.bool_] | None:
    """Returns which images are of the group; None where no group is claimed to be the worst."""
    if not group.column:
        return None
    return _rows(table, group.column, group.group)


def named_worst_group(asked: str, test: pd.DataFrame, least_test: int) -> WorstGroup:
    """Returns the group that a configuration names.

    Args:
        asked: ``column=group``.
        test: A row for each test image.
        least_test: Test images below which no claim is made.
    """
    column, _, name = asked.partition("=")
    groups = test[column] if column in test else pd.Series(None, test.index, dtype=object, name=column)
    group = group_named(groups, name)
    count = int(_rows(test, column, group).sum())
    if count < least_test:
        reason = (
            f"{_shown(column, group)}, which the configuration names, has {count} test images; {least_test} are "
            "needed (min_worst_group)"
        )
        return _found("configuration", f"No worst group is claimed: {reason}.", n_test=count)
    explanation = f"The configuration names the worst group, {_shown(column, group)}, before the run (worst_group)."
    return _found("configuration", explanation, (column, group), n_test=count)


def ranked_worst_group(
    ranking: Ranking,
    test: pd.DataFrame,
    columns: Sequence[str],
    least_test: int,
    least_ranked: int,
    where: str = "validation",
) -> WorstGroup:
    """Returns the group in which the classifiers of real images have the lowest mean recall on other images.

    Of the test images only their numbers are used. On the images that are then compared the lowest of many recalls is
    partly bad luck, which no second classifier shares: it would seem to gain (regression to the mean).

    Args:
        ranking: The images that rank the groups, none of them a test image.
        test: A row for each test image.
        columns: Columns whose groups are candidates.
        least_test: Test images of a group below which it is not a candidate.
        least_ranked: Ranking images of a group below which it is not a candidate.
        where: What the ranking images are called.
    """
    large = [(column, group, count) for column, group, count in _groups(test, columns) if count >= least_test]
    ranked = []
    for column, group, count in large:
        rows = _rows(ranking.table, column, group)
        if rows.sum() >= least_ranked:
            recall = float(mean_recall(ranking.labels, ranking.predictions, rows).mean())
            ranked.append((recall, column, group, count, int(rows.sum())))
    if not ranked:
        return _none(bool(large), least_test, least_ranked, where)
    recall, column, group, count, seen = min(ranked, key=lambda each: each[0])
    explanation = (
        f"The worst group, {_shown(column, group)}, is named on {where} images: among {len(ranked)} groups with at "
        f"least {least_test} test and {least_ranked} {where} images, the classifiers of real images have the lowest "
        f"mean recall there ({recall:.3f} on {seen} images)."
    )
    return _found("validation", explanation, (column, group), count, seen, recall, len(ranked))


def _rows(table: pd.DataFrame, column: str, group: str) -> NDArray[np.bool_]:
    if column not in table:
        return np.zeros(len(table), dtype=bool)
    return np.asarray(table[column].notna() & (table[column].astype(str) == group), dtype=bool)


def _groups(table: pd.DataFrame, columns: Sequence[str]) -> list[tuple[str, str, int]]:
    """Returns column, group and number of images of each group; rows that state nothing are in none."""
    found = []
    for column in columns:
        counts = table[column].dropna().astype(str).value_counts() if column in table else pd.Series(dtype=int)
        found += [(column, group, int(counts[group])) for group in sorted(counts.index) if group not in NOBODY]
    return found


def _none(any_large: bool, least_test: int, least_ranked: int, where: str) -> WorstGroup:
    reason = (
        f"no group of patients with {least_test} test images has {least_ranked} {where} images (min_group)"
        if any_large
        else f"no group of patients has {least_test} test images (min_worst_group)"
    )
    return _found("validation", f"No worst group is claimed: {reason}.", ranked=0)


def _found(
    named_by: Literal["configuration", "validation"],
    explanation: str,
    group: tuple[str, str] = ("", ""),
    n_test: int | None = None,
    n_validation: int | None = None,
    recall: float | None = None,
    ranked: int | None = None,
) -> WorstGroup:
    return WorstGroup(
        column=group[0],
        group=group[1],
        named_by=named_by,
        explanation=explanation,
        n_test=n_test,
        n_validation=n_validation,
        validation_recall=recall,
        ranked=ranked,
    )


def _shown(column: str, group: str) -> str:
    return f"{column.replace('_', ' ')} = {group}"
