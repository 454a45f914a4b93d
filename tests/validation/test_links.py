"""Rows against rows: who is named beside whom."""

import numpy as np
import pandas as pd
import pytest

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


def plainly(table: pd.DataFrame, keys: list[str], differs: str, apart: tuple[str, ...]) -> list[str | None]:
    """What a column of links holds, found by comparing each row with each."""
    rows = table.astype(object).where(table.notna(), None).to_dict("records")
    result = []
    for row in rows:
        partners = [
            other["image_id"] + (f" ({other[differs]})" if differs != "image_id" else "")
            for other in rows
            if all(row[key] is not None and row[key] == other[key] for key in keys)
            and None not in (row[differs], other[differs]) and row[differs] != other[differs]
            and not any(row[name] is not None and row[name] == other[name] for name in apart)
        ]  # fmt: skip
        more = f" and {len(partners) - 3} more" if len(partners) > 3 else ""
        result.append(", ".join(partners[:3]) + more if partners else None)
    return result


@pytest.mark.parametrize("seed", range(4))
def test_links_are_those_of_comparing_each_row_with_each(seed):
    rng = np.random.default_rng(seed)
    count = 400 if seed == 0 else 60

    def drawn(*values: str | None) -> list[str | None]:
        return rng.choice(np.array(values, dtype=object), count).tolist()

    # In the order of the splits, as in a dataset: the first rows of a large group are then all of one value.
    table = pd.DataFrame({
        "image_id": [f"i{number}" for number in range(count)], "split": sorted(drawn("train", "test", "validation")),
        "source": drawn("s", "t"), "diagnosis": drawn("nv", "mel", None), "patient_id": drawn("P", "Q", None),
        "case_id": None, "lesion_id": drawn(*"ABCDE", None), "digest": drawn(*map(str, range(count // 4)), "black"),
        NEAR_GROUP: rng.choice([0.0, 1.0, np.nan], count, p=[0.8, 0.1, 0.1]),
    })  # fmt: skip
    links = with_links(table)
    for column, keys, differs, apart in [
        ("near_twin_in_other_split", [NEAR_GROUP], "split", ("lesion_id", "digest")),
        ("near_twin_in_same_split", [NEAR_GROUP, "split"], "image_id", ("lesion_id", "digest")),
        ("twin_with_other_diagnosis", ["digest"], "diagnosis", ()),
        ("lesion_of_other_patient", ["lesion_id"], "patient_id", ()),
    ]:
        assert links[column].tolist() == plainly(table, keys, differs, apart), column
