"""Splits by lesion and patient, never by image."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from lesiongen.dataset.schema import SPLITS
from lesiongen.errors import UsageError
from lesiongen.seeds import derive_seed

__all__ = ["GROUP_COLUMNS", "assign_splits", "groups"]

GROUP_COLUMNS = ("lesion_id", "patient_id", "case_id", "content_digest")


def groups(table: pd.DataFrame, columns: Sequence[str] = GROUP_COLUMNS) -> np.ndarray:
    """Numbers the groups of rows that must not be parted.

    Two rows are of one group when they share a value in any of ``columns`` (those that the table has), directly or
    through other rows. Blank values bind nothing.

    Returns:
        int32 [rows], numbered in the order of first appearance.
    """
    rows = len(table)
    offset, left, right = rows, [np.arange(0)], [np.arange(0)]
    for column in (name for name in columns if name in table):
        codes, values = pd.factorize(table[column])
        known = np.flatnonzero(codes >= 0)
        left.append(known)
        right.append(codes[known] + offset)
        offset += len(values)
    edges = np.concatenate(left), np.concatenate(right)
    graph = coo_array((np.ones(len(edges[0]), dtype=np.int8), edges), shape=(offset, offset))
    labels = connected_components(graph, directed=False)[1][:rows]
    numbers: np.ndarray = pd.factorize(labels)[0].astype(np.int32)
    return numbers


def assign_splits(
    table: pd.DataFrame,
    *,
    seed: int,
    fractions: Sequence[float] = (0.7, 0.1, 0.2),
    keep_official: bool = False,
) -> pd.Series:
    """Assigns each row to a split: grouped, stratified by diagnosis, and the same for the same rows and seed.

    Groups (`groups`) are taken in an order drawn from the seed and the image ids; each goes to the split that lacks
    most, relative to its share, of the group's diagnoses. A class with at least three groups reaches every split.

    Args:
        table: Columns ``image_id``, ``diagnosis`` and any of `GROUP_COLUMNS`, ``official_split``.
        seed: Seed of the order.
        fractions: Shares of train, validation and test; they sum to 1.
        keep_official: Keep ``official_split`` where it names one of the three; other rows go with their group.

    Returns:
        The split of each row, indexed as the table.
    """
    _check_fractions(fractions)
    labels = groups(table)
    fixed = table["official_split"].where(table["official_split"].isin(SPLITS)) if keep_official else None
    members = pd.Series(range(len(table))).groupby(labels).indices
    first_ids = table["image_id"].astype(str).groupby(labels).min()
    order = sorted(members, key=lambda label: derive_seed(seed, "split", first_ids[label]))
    balance = _Balance(table["diagnosis"].astype(str).to_numpy(), dict(zip(SPLITS, fractions, strict=True)))
    result = np.empty(len(table), dtype=object)
    for label in order:
        rows = members[label]
        official = () if fixed is None else tuple(fixed.iloc[rows].dropna().mode())
        chosen = official[0] if official else balance.neediest(rows)
        result[rows] = chosen
        balance.give(rows, chosen)
    splits = pd.Series(result, index=table.index, name="split")
    return splits if fixed is None else fixed.fillna(splits).rename("split")


class _Balance:
    """How much of each diagnosis each split still lacks."""

    def __init__(self, diagnoses: np.ndarray, fractions: Mapping[str, float]) -> None:
        self.diagnoses = diagnoses
        totals = pd.Series(diagnoses).value_counts()
        self.targets = {
            (split, diagnosis): share * count
            for split, share in fractions.items()
            for diagnosis, count in totals.items()
        }
        self.given = dict.fromkeys(self.targets, 0)

    def neediest(self, rows: np.ndarray) -> str:
        """Returns the split that lacks most of these rows' diagnoses, relative to its target."""
        # On a tie the small splits come first: a class of few lesions is then still found in the test split.
        return max(("test", "validation", "train"), key=lambda split: self._lack(split, rows))

    def _lack(self, split: str, rows: np.ndarray) -> float:
        cells = [(split, diagnosis) for diagnosis in self.diagnoses[rows]]
        if any(self.targets[cell] == 0 for cell in cells):
            return -np.inf
        return float(sum(1 - self.given[cell] / self.targets[cell] for cell in cells))

    def give(self, rows: np.ndarray, split: str) -> None:
        """Counts rows as given to a split."""
        for diagnosis in self.diagnoses[rows]:
            self.given[split, diagnosis] += 1


def _check_fractions(fractions: Sequence[float]) -> None:
    if len(fractions) != len(SPLITS) or min(fractions) < 0 or abs(sum(fractions) - 1) > 1e-6:
        raise UsageError(
            f"fractions = {tuple(fractions)}: three shares (train, validation, test) that sum to 1 are needed"
        )
