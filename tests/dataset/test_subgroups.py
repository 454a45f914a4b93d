"""Subgroups have one definition: bands of age, and a recorded skin tone with its scale."""

import pandas as pd
import pytest

from lesiongen.dataset.subgroups import SUBGROUP_COLUMNS, SUBGROUPS, group_named, subgroups_of


def table(**columns):
    count = len(next(iter(columns.values())))
    return pd.DataFrame({name: columns.get(name, [None] * count) for name in SUBGROUP_COLUMNS})


def test_a_tone_is_named_with_its_scale_and_an_age_by_its_band():
    found = subgroups_of(
        table(age=[29.0, 91.0, None], skin_tone=["3", "3", None], skin_tone_scale=["fitzpatrick", "monk", None])
    )
    assert list(found) == list(SUBGROUPS)
    assert found["skin_tone"].tolist() == ["fitzpatrick 3", "monk 3", None]
    assert found["age_band"].tolist() == ["under 30", "90 and over", None]
    assert found["sex"].isna().all()


def test_a_tone_without_a_scale_stays_a_group_of_its_own():
    found = subgroups_of(table(skin_tone=["3", "3"], skin_tone_scale=[None, "fitzpatrick"]))
    assert found["skin_tone"].tolist() == ["3", "fitzpatrick 3"]


@pytest.mark.parametrize(
    ("column", "groups", "name", "meant"),
    [
        ("skin_tone", ["fitzpatrick 3", "monk 5"], "3", "fitzpatrick 3"),
        ("skin_tone", ["fitzpatrick 3", "monk 3"], "3", "3"),  # which, nobody knows: no such group
        ("skin_tone", ["fitzpatrick 3", "monk 3"], "monk 3", "monk 3"),
        ("skin_tone", ["3", "fitzpatrick 3"], "3", "3"),
        ("site", ["lower extremity"], "extremity", "extremity"),
    ],
)
def test_a_tone_may_be_named_without_its_scale_where_one_scale_records_it(column, groups, name, meant):
    assert group_named(pd.Series(groups, name=column), name) == meant
