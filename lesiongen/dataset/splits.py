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

    >>> groups(pd.DataFrame({"lesion_id": ["a", "a", "b", None], "patient_id": [None, "p", "p", None]})).tolist()
    [0, 0, 0, 1]
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
    most, relative to its share, of the group's diagnoses. On a tie the small splits come first, so that a class with at
    least three groups reaches every split. Where classes have fewer groups, and train would get less than half of its
    share, classes are left aside: the largest group goes to train, the next ones to test and to validation, and so on
    by shares.

    Args:
        table: Columns ``image_id``, ``diagnosis`` and any of `GROUP_COLUMNS`, ``official_split``.
        seed: Seed of the order.
        fractions: Shares of train, validation and test; they sum to 1.
        keep_official: Keep ``official_split`` where it names one of the three; other rows go with their group.

    Returns:
        The split of each row, indexed as the table.

    >>> table = pd.DataFrame({"image_id": list("abcdef"), "diagnosis": "nv", "lesion_id": list("112233")})
    >>> assign_splits(table, seed=0, fractions=(0.4, 0.3, 0.3)).groupby(table["lesion_id"]).nunique().tolist()
    [1, 1, 1]
    """
    _check_fractions(fractions)
    labels = groups(table)
    fixed = table["official_split"].where(table["official_split"].isin(SPLITS)) if keep_official else None
    members = pd.Series(range(len(table))).groupby(labels).indices
    first_ids = table["image_id"].astype(str).groupby(labels).min()
    order = sorted(members, key=lambda label: derive_seed(seed, "split", first_ids[label]))
    ordered = [members[label] for label in order]
    shares = dict(zip(SPLITS, fractions, strict=True))
    by_class = _Balance(table["diagnosis"].astype(str).to_numpy(), shares, ("test", "validation", "train"))
    splits = pd.Series(by_class.share_out(ordered, fixed), index=table.index, name="split")
    if fixed is not None and fixed.notna().any():
        return fixed.fillna(splits).rename("split")
    if len(ordered) > 1 and (splits == "train").mean() < shares["train"] / 2:
        alike = _Balance(np.zeros(len(table)), shares, ("train", "test", "validation"))
        splits[:] = alike.share_out(sorted(ordered, key=len, reverse=True))
    return splits


class _Balance:
    """How much of each diagnosis each split still lacks; of those that lack as much the first of ``ties`` is served."""

    def __init__(self, diagnoses: np.ndarray, fractions: Mapping[str, float], ties: Sequence[str]) -> None:
        self.diagnoses = diagnoses
        self.ties = ties
        totals = pd.Series(diagnoses).value_counts()
        self.targets = {
            (split, diagnosis): share * count
            for split, share in fractions.items()
            for diagnosis, count in totals.items()
        }
        self.given = dict.fromkeys(self.targets, 0)

    def share_out(self, ordered: Sequence[np.ndarray], fixed: pd.Series | None = None) -> np.ndarray:
        """Returns the split of each row: of each group in turn the one that is fixed, or the one that lacks most."""
        result = np.empty(len(self.diagnoses), dtype=object)
        for rows in ordered:
            official = () if fixed is None else tuple(fixed.iloc[rows].dropna().mode())
            chosen = official[0] if official else self._neediest(rows)
            result[rows] = chosen
            self._give(rows, chosen)
        return result

    def _neediest(self, rows: np.ndarray) -> str:
        """Returns the split that lacks most of these rows' diagnoses, relative to its target."""
        return max(self.ties, key=lambda split: self._lack(split, rows))

    def _lack(self, split: str, rows: np.ndarray) -> float:
        """Returns how much a split lacks the diagnoses of some rows: a sum of shares, the larger the more."""
        cells = [(split, diagnosis) for diagnosis in self.diagnoses[rows]]
        if any(self.targets[cell] == 0 for cell in cells):
            return -np.inf
        return float(sum(1 - self.given[cell] / self.targets[cell] for cell in cells))

    def _give(self, rows: np.ndarray, split: str) -> None:
        for diagnosis in self.diagnoses[rows]:
            self.given[split, diagnosis] += 1


def _check_fractions(fractions: Sequence[float]) -> None:
    if len(fractions) != len(SPLITS) or min(fractions) < 0 or abs(sum(fractions) - 1) > 1e-6:
        raise UsageError(
            f"fractions = {tuple(fractions)}: three shares (train, validation, test) that sum to 1 are needed"
        )
