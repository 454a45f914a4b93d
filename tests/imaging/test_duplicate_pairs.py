"""Pairs among some images, or in another order, are those that a search of these would write down."""

import pytest

from lesiongen.imaging import NearDuplicate, duplicate_groups, pairs_among

# 0, 2 and 3 are equal; 1 resembles them, 4 resembles 1.
PAIRS = [
    NearDuplicate(0, 1, 0.9),
    NearDuplicate(0, 2, 1.0),
    NearDuplicate(0, 3, 1.0),
    NearDuplicate(1, 4, 0.7),
]


@pytest.mark.parametrize(
    ("kept", "expected"),
    [
        ([0, 1, 2, 3, 4], PAIRS),
        ([1, 2, 3], [NearDuplicate(0, 1, 0.9), NearDuplicate(1, 2, 1.0)]),
        ([3, 4], []),
        ([], []),
        ([4, 3, 2, 1], [NearDuplicate(0, 3, 0.7), NearDuplicate(1, 2, 1.0), NearDuplicate(1, 3, 0.9)]),
    ],
    ids=["all", "without the first of the equals", "nothing in common", "none", "another order"],
)
def test_pairs_among_some_of_the_images(kept, expected):
    assert pairs_among(PAIRS, 5, kept) == expected


def test_a_pair_that_is_known_twice_stands_once_with_its_highest_agreement():
    twice = [*PAIRS, NearDuplicate(1, 2, 0.8)]
    assert pairs_among(twice, 5, range(5)) == PAIRS


def test_groups_are_joined_through_others():
    assert duplicate_groups(PAIRS, 6).tolist() == [0, 0, 0, 0, 0, 1]
