"""Rows against rows: who is named beside whom."""

import pandas as pd

from lesiongen.validation.links import NEAR_GROUP, with_links

BLANK = dict.fromkeys(("lesion_id", "patient_id", "case_id", "digest", NEAR_GROUP))


def linked(*rows: dict[str, object]) -> pd.DataFrame:
    """Links of rows a, b, c, ... of the train split, of one source and diagnosis unless they say otherwise."""
    common = BLANK | {"split": "train", "source": "s", "diagnosis": "nv"}
    table = pd.DataFrame([common | {"image_id": chr(97 + number)} | row for number, row in enumerate(rows)])
    return with_links(table)


def test_near_twins_are_named_by_split_diagnosis_and_source():
    table = linked(
        {NEAR_GROUP: 4, "digest": "1"},
        {NEAR_GROUP: 4, "digest": "2", "split": "test", "diagnosis": "mel"},
        {NEAR_GROUP: 4, "digest": "3", "source": "t"},
        {"digest": "4"},
    )
    assert table["near_twin_in_other_split"].tolist() == ["b (test)", "a (train), c (train)", "b (test)", None]
    assert table["near_twin_in_same_split"].tolist() == ["c", None, "a", None]
    assert table["near_twin_with_other_diagnosis"].tolist() == ["b (mel)", "a (nv), c (nv)", "b (mel)", None]
    assert table["near_twin_in_other_source"].tolist() == ["c (t)", "c (t)", "a (s), b (s)", None]


def test_two_photographs_of_a_lesion_are_no_near_twins():
    table = linked(
        {NEAR_GROUP: 4, "digest": "1", "lesion_id": "L"},
        {NEAR_GROUP: 4, "digest": "2", "lesion_id": "L", "split": "test"},
        {NEAR_GROUP: 4, "digest": "3", "lesion_id": None, "split": "test"},
    )
    assert table["near_twin_in_other_split"].tolist() == ["c (test)", None, "a (train)"]
    assert table["near_twin_in_same_split"].tolist() == [None, "c", "b"]
    assert table["lesion_in_other_split"].tolist() == ["b (test)", "a (train)", None]


def test_the_same_pixels_are_twins_and_not_near_twins():
    table = linked(
        {NEAR_GROUP: 0, "digest": "1"},
        {NEAR_GROUP: 0, "digest": "1", "split": "test", "source": "t"},
    )
    assert table["twin_in_other_split"].tolist() == ["b (test)", "a (train)"]
    assert table["twin_in_other_source"].tolist() == ["b (t)", "a (s)"]
    assert table.filter(like="near_twin").isna().all(axis=None)


def test_a_long_list_is_cut_and_counted():
    table = linked(*[{"digest": "1"}] * 6)
    assert table["twin_in_same_split"].tolist()[0] == "b, c, d and 2 more"
    assert table["twin_in_same_split"].tolist()[5] == "a, b, c and 2 more"


def test_blank_values_link_nothing():
    assert linked({}, {"split": "test"}, {"split": None}).filter(regex="_in_|_with_|_of_").isna().all(axis=None)
