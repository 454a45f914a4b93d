"""Distances between two tables of properties, and those that chance alone makes."""

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.spatial.distance import jensenshannon
from scipy.stats import wasserstein_distance

__all__ = ["chance_distances", "distance", "distances"]

_LEAST_DEVIATION = 0.001
"""evidently's own: a property that hardly varies has no distance of thousands of deviations."""


def distance(reference: NDArray[np.float64], current: NDArray[np.float64], *, categorical: bool) -> float:
    """Returns the distance that evidently calls ``wasserstein`` or ``jensenshannon``; NaN where a side has no value.

    Args:
        reference: Values [n], or the numbers of categories; NaN where one is missing.
        current: Likewise [m].
        categorical: Whether they are numbers of categories.

    >>> values = np.array([0.0, 1.0, 2.0])
    >>> round(distance(values, values + 1, categorical=False), 6), distance(values, values, categorical=True)
    (1.224745, 0.0)
    """
    reference, current = reference[~np.isnan(reference)], current[~np.isnan(current)]
    if not len(reference) or not len(current):
        return float("nan")
    if not categorical:
        return float(wasserstein_distance(reference, current) / max(float(reference.std()), _LEAST_DEVIATION))
    length = int(max(reference.max(), current.max())) + 1
    counts = [np.bincount(side.astype(np.int64), minlength=length) for side in (reference, current)]
    return float(jensenshannon(*counts))


def distances(tables: tuple[pd.DataFrame, pd.DataFrame], categorical: Sequence[str]) -> dict[str, float]:
    """Returns the distance between two tables, the reference first, for each of their columns."""
    both = pd.concat(tables, ignore_index=True)
    columns = {name: _numbers(both[name], name in categorical) for name in both}
    count = len(tables[0])
    return {
        name: distance(values[:count], values[count:], categorical=name in categorical)
        for name, values in columns.items()
    }


def chance_distances(
    tables: tuple[pd.DataFrame, pd.DataFrame],
    groups: tuple[NDArray[np.int32], NDArray[np.int32]],
    categorical: Sequence[str],
    *,
    percentile: float,
    n_permutations: int,
    seed: int,
) -> dict[str, float]:
    """Returns, for each column, the distance that random parts of both tables seldom exceed.

    The rows that have a value are pooled and divided at random, as many groups to either side as have one there: images
    of one lesion are alike, and count as less than so many images (a permutation test with groups as its units). Rows
    without a value take no part: where one table has few values, so have the random parts.

    Args:
        tables: The reference and the current table, with the same columns, which have values in both.
        groups: For each row of either, the number of the lesion or patient that it belongs to, from 0 on.
        categorical: The columns that hold categories.
        percentile: The percentile of the distances that is returned.
        n_permutations: How many random divisions are made.
        seed: Seed of the divisions: the same for each column, so that none depends on which others there are.
    """
    both = pd.concat(tables, ignore_index=True)
    owners = np.concatenate([groups[0], groups[1] + int(groups[0].max()) + 1])
    is_current = np.arange(len(both)) >= len(tables[0])
    found = {}
    for name in both:
        values = _numbers(both[name], name in categorical)
        known = ~np.isnan(values)
        divided = _divisions(owners[known], is_current[known], n_permutations, seed)
        kept = values[known]
        made = [distance(kept[~part], kept[part], categorical=name in categorical) for part in divided]
        found[name] = float(np.percentile(made, percentile))
    return found


def _divisions(
    owners: NDArray[np.int32], is_current: NDArray[np.bool_], count: int, seed: int
) -> Iterator[NDArray[np.bool_]]:
    """Yields random divisions of rows, as a mask of the second side: groups whole, as many as there are in it."""
    numbers, places = np.unique(owners, return_inverse=True)
    second = len(np.unique(owners[is_current]))
    rng = np.random.default_rng(seed)
    for _ in range(count):
        chosen = np.zeros(len(numbers), dtype=bool)
        chosen[rng.permutation(len(numbers))[:second]] = True
        yield chosen[places]


def _numbers(column: pd.Series, categorical: bool) -> NDArray[np.float64]:
    """Returns the values [n] of a column, of categories their numbers; NaN where one is missing."""
    if not categorical:
        return np.asarray(column, dtype=np.float64)
    codes = np.asarray(pd.factorize(column)[0], dtype=np.float64)
    return np.where(codes < 0, np.nan, codes)
