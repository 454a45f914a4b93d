"""Which rows of several datasets go into one, and under which names."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lesiongen.dataset.schema import SPLITS
from lesiongen.dataset.splits import groups

__all__ = ["ID_COLUMNS", "MergePlan", "dataset_names", "plan_merge", "scopes"]

ID_COLUMNS = ("lesion_id", "patient_id", "case_id")
_STRICTEST_FIRST = tuple(reversed(SPLITS))
_NO_COLLECTION = "image_folder"
"""What ingest names a source whose user gave it no name."""
_ISIC = ("isic", "ham10000")
"""How the names of one archive's collections begin: a lesion or patient has the same id in all of them."""


@dataclass(frozen=True)
class MergePlan:
    """What becomes of every row.

    Attributes:
        table: One row for each row of each dataset, in order, with its new ``image_id``, ``lesion_id``,
            ``patient_id``, ``case_id`` and ``source``; ``own_id`` is the old image_id, ``dataset`` the position of
            its dataset, ``name`` the dataset's name, ``cluster`` the number of the photograph that several datasets
            show (-1: only one does), ``dropped`` why it is left out (None: it is kept).
        leaks: Groups of images that belong together and would be in several splits, if nothing were dropped.
        renamed: For each column of ids, how many kept rows got another one.
    """

    table: pd.DataFrame
    leaks: int
    renamed: dict[str, int]


def dataset_names(names: Sequence[str], versions: Sequence[str]) -> list[str]:
    """Returns a name for each dataset that no other has: its own, with the begin of its version where needed."""
    return [
        name if names.count(name) == 1 else f"{name}-{version[:8]}"
        for name, version in zip(names, versions, strict=True)
    ]


def scopes(table: pd.DataFrame) -> pd.Series:
    """Returns within what an id of each row has its meaning: the collection, or the dataset where that has no name."""
    named = table["source"].notna() & (table["source"] != _NO_COLLECTION)
    return table["source"].where(named, table["name"])


def _id_scopes(source: pd.Series) -> pd.Series:
    """Returns within what an id of a lesion, patient or case has its meaning, given the `scopes` of the rows."""
    return source.map(lambda name: "isic" if name.startswith(_ISIC) else name)


def plan_merge(table: pd.DataFrame, clusters: NDArray[np.int32], *, drop: bool) -> MergePlan:
    """Decides which rows are kept so that no photograph, lesion or patient is in two splits.

    Images belong together when they show one photograph (a cluster), or share a lesion, patient or case of one
    collection; those of the ISIC, HAM10000 included, count as one. Where such a group reaches over several datasets,
    it stays in the strictest of its splits (test, then validation, then train); its images in other splits are
    dropped. Of a photograph that several datasets show, the images of the dataset that was named first are kept.

    Args:
        table: Columns ``dataset``, ``name``, ``image_id``, ``diagnosis``, ``split``, ``source`` and `ID_COLUMNS`; index
            0 to n - 1.
        clusters: For each row, the number of the photograph that it shows.
        drop: Whether rows are dropped at all; without, leaks are only counted.
    """
    table = table.assign(own_id=table["image_id"], source=scopes(table), cluster=_across(table, clusters))
    bound = _bound_groups(table)
    datasets, splits = (table.groupby(bound)[column].transform("nunique") for column in ("dataset", "split"))
    leaking = (datasets > 1) & (splits > 1)
    dropped = pd.Series([None] * len(table), index=table.index, dtype=object)
    if drop:
        rank = table["split"].map(_STRICTEST_FIRST.index)
        best = rank.groupby(bound).transform("min")
        for row in table.index[leaking & (rank > best)]:
            dropped[row] = f"belongs to images in {_STRICTEST_FIRST[best[row]]}"
        for row, reason in _copies(table[dropped.isna()]).items():
            dropped[row] = reason
    named, renamed = _renamed(table, dropped.isna())
    return MergePlan(named.assign(dropped=dropped), int(bound[leaking].nunique()), renamed)


def _across(table: pd.DataFrame, clusters: NDArray[np.int32]) -> pd.Series:
    several = table["dataset"].groupby(clusters).transform("nunique") > 1
    return pd.Series(clusters, index=table.index).where(several, -1)


def _bound_groups(table: pd.DataFrame) -> pd.Series:
    scope = _id_scopes(table["source"])
    scoped = {column: (scope + "/" + table[column]) for column in ID_COLUMNS}
    shown = table["cluster"].where(table["cluster"] >= 0)
    return pd.Series(groups(table.assign(cluster=shown, **scoped), ("cluster", *ID_COLUMNS)), index=table.index)


def _copies(kept: pd.DataFrame) -> dict[int, str]:
    """Says of the rows that show what an earlier dataset shows already, of which image they are copies."""
    copies = {}
    for _, rows in kept[kept["cluster"] >= 0].groupby("cluster"):
        home = rows.loc[rows["dataset"].idxmin()]
        for row in rows.index[rows["dataset"] != home["dataset"]]:
            copies[row] = f"copy of {home['name']}/{home['own_id']}"
    return copies


def _renamed(table: pd.DataFrame, kept: pd.Series) -> tuple[pd.DataFrame, dict[str, int]]:
    """Puts the collection before ids that two collections use, and the dataset before image ids still alike."""
    named, renamed = table.copy(), {}
    for column in ("image_id", *ID_COLUMNS):
        rows = table[kept & table[column].notna()]
        scope = rows["source"] if column == "image_id" else _id_scopes(rows["source"])
        collides = scope.groupby(rows[column]).transform("nunique") > 1
        named.loc[rows.index[collides], column] = (scope + "/" + rows[column])[collides]
        if column == "image_id":
            twice = named.loc[rows.index, column].duplicated(keep=False)
            named.loc[rows.index[twice], column] = (rows["name"] + "/" + rows[column])[twice]
        renamed[column] = int((named.loc[rows.index, column] != rows[column]).sum())
    return named, renamed
