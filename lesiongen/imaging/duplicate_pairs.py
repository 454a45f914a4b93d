"""Pairs of images that may be one photograph: how they are written down, joined to groups, and parted again."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

__all__ = ["EQUAL", "LOOK_ALIKE", "SAME_PHOTOGRAPH", "NearDuplicate", "duplicate_groups", "pairs_among"]

SAME_PHOTOGRAPH = 0.7
"""Agreement from which on two images are one photograph; see `lesiongen.imaging.duplicates.near_duplicates`.

Half way between what different lesions reach and what 99 of 100 copies reach: `benchmarks/duplicate_limits.py` chooses
it, and `LOOK_ALIKE`, on one half of the lesions and judges them on the other."""
LOOK_ALIKE = 0.61
"""Agreement from which on a person should look at two images: what different lesions reach at most."""
EQUAL = 1.0
"""Agreement of images with equal fingerprints, and of no others."""
_DIGITS = 4


@dataclass(frozen=True, slots=True)
class NearDuplicate:
    """Two images, by their positions (``first`` the smaller), and how far they agree, up to 1."""

    first: int
    second: int
    agreement: float

    @classmethod
    def of(cls, one: int, other: int, agreement: float) -> Self:
        """Returns the pair of two positions, in whichever order they come."""
        return cls(min(one, other), max(one, other), agreement)


def rounded(agreement: NDArray[np.float32]) -> NDArray[np.float64]:
    """Returns agreements of unequal images in four digits: what lies behind them depends on the processor."""
    return np.minimum(np.round(agreement.astype(np.float64), _DIGITS), EQUAL - 10.0**-_DIGITS)


def duplicate_groups(pairs: Iterable[NearDuplicate], count: int) -> NDArray[np.int32]:
    """Numbers the groups of images that pairs bind, directly or through others.

    Args:
        pairs: The pairs.
        count: Number of images.

    Returns:
        int32 [count], numbered in the order of first appearance; an image in no pair is a group of its own.
    """
    # Processes that only take fingerprints start twice as fast without it.
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    places = np.array([(pair.first, pair.second) for pair in pairs], dtype=np.int32).reshape(-1, 2)
    edges = coo_array((np.ones(len(places)), (places[:, 0], places[:, 1])), shape=(count, count))
    labels = connected_components(edges, directed=False)[1]
    return np.asarray(labels, dtype=np.int32)


def pairs_among(pairs: Sequence[NearDuplicate], count: int, kept: Sequence[int]) -> list[NearDuplicate]:
    """Returns the pairs among some of the images, as a search among these alone writes them.

    Of equal images only the first is paired with others. Where that one is left out or comes later, the first of its
    equals takes its place.

    Args:
        pairs: Pairs of positions.
        count: Number of images.
        kept: Positions of the images that are kept, in their new order.

    Returns:
        Pairs of positions in ``kept``, in order.
    """
    equals = duplicate_groups((pair for pair in pairs if pair.agreement == EQUAL), count)
    firsts: dict[int, int] = {}
    found: dict[tuple[int, int], NearDuplicate] = {}
    for place, label in enumerate(equals[list(kept)].tolist()):
        if (first := firsts.setdefault(label, place)) != place:
            found[first, place] = NearDuplicate(first, place, EQUAL)
    for pair in sorted(pairs, key=lambda pair: pair.agreement):
        one, other = (firsts.get(int(equals[place])) for place in (pair.first, pair.second))
        if one is not None and other is not None and one != other:
            made = NearDuplicate.of(one, other, pair.agreement)
            found[made.first, made.second] = made
    return [found[places] for places in sorted(found)]
