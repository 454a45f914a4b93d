"""Rows against rows: images that are one, lesions and patients in several splits."""

from collections.abc import Sequence
from itertools import combinations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

__all__ = ["NEAR_GROUP", "with_links"]

NEAR_GROUP = "near_duplicate_group"
_NAMED, _SOUGHT = 3, 64
_SAME_LESION = ("lesion_id", "digest")


def with_links(table: pd.DataFrame, alike: Sequence[tuple[int, int]] = ()) -> pd.DataFrame:
    """Adds a column for each way in which rows may collide; it names the other rows, or holds None.

    ``twin`` columns are of images with the same pixels (``digest``), ``near_twin`` columns of images that show the
    same photograph (``near_duplicate_group``) without being the same pixels or of one lesion: two photographs of a
    lesion may well look alike. ``alike`` names images that may be one photograph and are not confirmed to be.

    Args:
        table: All rows.
        alike: Pairs of positions of images that may show one photograph.
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
        "alike_in_other_split": _alike_in_other_split(table, alike),
        "lesion_in_other_split": _partners(table, ["lesion_id"], "split"),
        "patient_in_other_split": _partners(table, ["patient_id"], "split"),
        "case_in_other_split": _partners(table, ["case_id"], "split"),
        "lesion_of_other_patient": _partners(table, ["lesion_id"], "patient_id"),
        "lesion_with_other_diagnosis": _partners(table, ["lesion_id"], "diagnosis"),
    }
    return table.assign(**links)


def _alike_in_other_split(table: pd.DataFrame, pairs: Sequence[tuple[int, int]]) -> pd.Series:
    """Names, for each row, the images of other splits and other lesions that may show the same photograph."""
    partners: dict[int, list[int]] = {}
    codes = np.stack([_codes(table, column) for column in ("split", *_SAME_LESION, NEAR_GROUP)])
    for first, second in pairs:
        if _apart(codes[:, first : first + 1], codes[:, second : second + 1])[0]:
            partners.setdefault(first, []).append(second)
            partners.setdefault(second, []).append(first)
    names, splits = (table[column].astype(str).to_numpy() for column in ("image_id", "split"))
    result = np.full(len(table), None, dtype=object)
    for place, others in partners.items():
        result[place] = _named(np.array(sorted(others))[:_NAMED], len(others), names, splits)
    return pd.Series(result, index=table.index, dtype=object)


def _partners(table: pd.DataFrame, keys: Sequence[str], differs: str, *, apart: Sequence[str] = ()) -> pd.Series:
    """Names, for each row, the rows that share its keys but not its value of another column.

    Args:
        table: All rows.
        keys: Columns in which rows must agree; blank values agree with nothing.
        differs: Column in which they must not; a row that is blank there is left out.
        apart: Columns in which partners must not agree either; blank values agree with nothing.
    """
    result = np.full(len(table), None, dtype=object)
    names = table["image_id"].astype(str).to_numpy()
    values = None if differs == "image_id" else table[differs].astype(str).to_numpy()
    rows, numbers = _grouped(table, keys, differs)
    codes = np.stack([_codes(table, column)[rows] for column in (differs, *apart)])
    counts = _partner_counts(numbers, codes)
    linked = np.unique(numbers[counts > 0])
    for start, stop in zip(np.searchsorted(numbers, linked), np.searchsorted(numbers, linked, "right"), strict=True):
        group, places = codes[:, start:stop], rows[start:stop]
        firsts = _firsts(group[0])
        texts: dict[bytes, str] = {}
        for place in np.flatnonzero(counts[start:stop]).tolist():
            # Rows that agree in all codes have the same partners.
            alike = group[:, place].tobytes()
            if alike not in texts:
                count = int(counts[start + place])
                chosen = _first_partners(group, place, firsts, min(count, _NAMED))
                texts[alike] = _named(places[chosen], count, names, values)
            result[places[place]] = texts[alike]
    return pd.Series(result, index=table.index, dtype=object)


def _grouped(table: pd.DataFrame, keys: Sequence[str], differs: str) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Returns the positions of rows that have all keys and a value of ``differs``, group by group, and its number."""
    rows = np.flatnonzero(table[[*keys, differs]].notna().all(axis=1).to_numpy())
    numbers = table[list(keys)].iloc[rows].groupby(list(keys), sort=False).ngroup().to_numpy()
    order = np.argsort(numbers, kind="stable")
    return rows[order], numbers[order]


def _partner_counts(numbers: NDArray[np.int64], codes: NDArray[np.int64]) -> NDArray[np.int64]:
    """Counts the rows of each row's group that agree with it in none of the codes [columns, rows].

    By inclusion and exclusion, since comparing each row with each takes minutes where a group has 100,000.
    """
    blank = -1 - np.arange(codes.shape[1])  # agrees with no other
    table = pd.DataFrame(np.where(codes < 0, blank, codes).T).assign(group=numbers)
    counts = table.groupby("group")["group"].transform("size").to_numpy()
    for size in range(1, len(codes) + 1):
        for columns in combinations(range(len(codes)), size):
            agreeing = table.groupby(["group", *columns])["group"].transform("size").to_numpy()
            counts = counts - agreeing if size % 2 else counts + agreeing
    return np.asarray(counts, dtype=np.int64)


def _firsts(values: NDArray[np.int64]) -> NDArray[np.int64]:
    """Returns places among which each value finds the first `_SOUGHT` of the others, where there are so many."""
    if len(values) <= 2 * _SOUGHT:
        return np.arange(len(values))
    order = np.argsort(values, kind="stable")
    _, starts, counts = np.unique(values[order], return_index=True, return_counts=True)
    rank = np.arange(len(values)) - np.repeat(starts, counts)
    return np.asarray(np.sort(order[rank < _SOUGHT])[: 2 * _SOUGHT], dtype=np.int64)


def _first_partners(codes: NDArray[np.int64], place: int, firsts: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """Returns the first places of a group that agree with one place in none of the codes [columns, places]."""
    own = codes[:, place : place + 1]
    found = firsts[_apart(codes[:, firsts], own)][:count]
    return found if len(found) == count else np.flatnonzero(_apart(codes, own))[:count]


def _apart(codes: NDArray[np.int64], own: NDArray[np.int64]) -> NDArray[np.bool_]:
    return np.asarray(~((codes == own) & (own >= 0)).any(axis=0), dtype=np.bool_)


def _codes(table: pd.DataFrame, column: str) -> NDArray[np.int64]:
    return np.asarray(pd.factorize(table[column])[0], dtype=np.int64)


def _named(first: NDArray[np.int64], count: int, names: NDArray[np.object_], values: NDArray[np.object_] | None) -> str:
    shown = ", ".join(names[row] if values is None else f"{names[row]} ({values[row]})" for row in first)
    return f"{shown} and {count - len(first)} more" if count > len(first) else shown
