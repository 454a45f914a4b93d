"""Rows against rows: images that are one, lesions and patients in several splits."""

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

__all__ = ["NEAR_GROUP", "with_links"]

NEAR_GROUP = "near_duplicate_group"
_NAMED = 3
_SAME_LESION = ("lesion_id", "digest")


def with_links(table: pd.DataFrame) -> pd.DataFrame:
    """Adds a column for each way in which rows may collide; it names the other rows, or holds None.

    ``twin`` columns are of images with the same pixels (``digest``), ``near_twin`` columns of images that show the
    same photograph (``near_duplicate_group``) without being the same pixels or of one lesion: two photographs of a
    lesion may well look alike.
    """
    links = {
        "twin_in_other_split": _partners(table, ["digest"], "split"),
        "twin_in_same_split": _partners(table, ["digest", "split"], "image_id"),
        "twin_with_other_diagnosis": _partners(table, ["digest"], "diagnosis"),
        "twin_in_other_source": _partners(table, ["digest"], "source"),
        "near_twin_in_other_split": _partners(table, [NEAR_GROUP], "split", apart=_SAME_LESION),
        "near_twin_in_same_split": _partners(table, [NEAR_GROUP, "split"], "image_id", apart=_SAME_LESION),
        "near_twin_with_other_diagnosis": _partners(table, [NEAR_GROUP], "diagnosis", apart=_SAME_LESION),
        "near_twin_in_other_source": _partners(table, [NEAR_GROUP], "source", apart=_SAME_LESION),
        "lesion_in_other_split": _partners(table, ["lesion_id"], "split"),
        "patient_in_other_split": _partners(table, ["patient_id"], "split"),
        "case_in_other_split": _partners(table, ["case_id"], "split"),
        "lesion_of_other_patient": _partners(table, ["lesion_id"], "patient_id"),
        "lesion_with_other_diagnosis": _partners(table, ["lesion_id"], "diagnosis"),
    }
    return table.assign(**links)


def _partners(table: pd.DataFrame, keys: Sequence[str], differs: str, *, apart: Sequence[str] = ()) -> pd.Series:
    """Names, for each row, the rows that share its keys but not its value of another column.

    Args:
        table: All rows.
        keys: Columns in which rows must agree; blank values agree with nothing.
        differs: Column in which they must not; a row that is blank there has no partners and is none.
        apart: Columns in which partners must not agree either; blank values agree with nothing.
    """
    result = np.full(len(table), None, dtype=object)
    names = table["image_id"].astype(str).to_numpy()
    values = None if differs == "image_id" else table[differs].astype(str).to_numpy()
    different, known = _codes(table, differs), [_codes(table, column) for column in apart]
    for rows in _groups(table, keys, different):
        for row in rows:
            chosen = different[rows] != different[row]
            for codes in known:
                chosen &= (codes[rows] != codes[row]) | (codes[row] < 0)
            if chosen.any():
                result[row] = _named(rows[chosen], names, values)
    return pd.Series(result, index=table.index, dtype=object)


def _groups(table: pd.DataFrame, keys: Sequence[str], different: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    """Yields the positions of rows that agree in the keys, for groups with more than one value of ``different``."""
    usable = (different >= 0) & table[list(keys)].notna().all(axis=1).to_numpy()
    rows = np.flatnonzero(usable)
    numbers = table[list(keys)].iloc[rows].groupby(list(keys), sort=False).ngroup().to_numpy()
    rows = rows[np.argsort(numbers, kind="stable")]
    for group in np.split(rows, np.cumsum(np.bincount(numbers))[:-1]) if len(rows) else ():
        if len(group) > 1 and (different[group] != different[group[0]]).any():
            yield group


def _codes(table: pd.DataFrame, column: str) -> NDArray[np.int64]:
    return np.asarray(pd.factorize(table[column])[0], dtype=np.int64)


def _named(rows: NDArray[np.int64], names: NDArray[np.object_], values: NDArray[np.object_] | None) -> str:
    shown = [names[row] if values is None else f"{names[row]} ({values[row]})" for row in rows[:_NAMED]]
    return ", ".join(shown) + (f" and {len(rows) - _NAMED} more" if len(rows) > _NAMED else "")
