import hashlib

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lesiongen.dataset import SPLITS, assign_splits, groups
from lesiongen.errors import UsageError


def table(rows: int, *, repeats: int = 2, seed: int = 0) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    lesions = np.arange(rows) // repeats
    diagnosis_of = random.choice(["nv", "mel", "df"], size=lesions.max() + 1, p=[0.7, 0.2, 0.1])
    return pd.DataFrame(
        {
            "image_id": [f"i{number}" for number in range(rows)],
            "lesion_id": [f"l{number}" for number in lesions],
            "patient_id": [f"p{number // 3}" if number % 4 else None for number in lesions],
            "diagnosis": diagnosis_of[lesions],
        }
    )


def test_shares_are_kept_in_every_class():
    rows = table(3000)
    shares = pd.crosstab(rows["diagnosis"], assign_splits(rows, seed=3), normalize="index")
    assert np.allclose(shares["train"], 0.7, atol=0.03)
    assert np.allclose(shares["test"], 0.2, atol=0.03)


def test_rows_are_bound_through_chains_of_shared_values():
    rows = pd.DataFrame(
        {
            "lesion_id": ["a", "a", "b", None, "c", None],
            "patient_id": [None, "x", "x", None, None, "z"],
            "content_digest": ["1", "2", "3", "4", "4", "5"],
        }
    )
    assert groups(rows).tolist() == [0, 0, 0, 1, 1, 2]


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 30), st.none() | st.integers(0, 12), st.sampled_from(["nv", "mel", "df"])),
        min_size=1,
        max_size=80,
    ),
    st.integers(0, 5),
)
def test_no_group_is_ever_parted(values, seed):
    rows = pd.DataFrame(values, columns=["lesion_id", "patient_id", "diagnosis"])
    rows["image_id"] = [f"i{number}" for number in range(len(rows))]
    splits = assign_splits(rows, seed=seed)
    assert set(splits) <= set(SPLITS)
    for column in ("lesion_id", "patient_id"):
        assert (splits.groupby(rows[column]).nunique() == 1).all()


def test_the_order_of_the_rows_does_not_matter():
    rows = table(400)
    shuffled = rows.sample(frac=1, random_state=1)
    assert assign_splits(rows, seed=5).equals(assign_splits(shuffled, seed=5).sort_index())
    assert not assign_splits(rows, seed=5).equals(assign_splits(rows, seed=6))


def test_a_class_of_three_lesions_reaches_every_split():
    rows = pd.concat([table(300), table(3, repeats=1).assign(diagnosis="vasc")], ignore_index=True)
    rows["image_id"] = [f"i{number}" for number in range(len(rows))]
    rows.loc[300:, "lesion_id"] = ["rare1", "rare2", "rare3"]
    rows.loc[300:, "patient_id"] = None
    assert set(assign_splits(rows, seed=0)[300:]) == set(SPLITS)


def test_official_splits_are_kept_and_bind_their_group():
    rows = table(40)
    rows["official_split"] = None
    rows.loc[0, "official_split"] = "test"
    rows.loc[20:, "official_split"] = "validation"
    splits = assign_splits(rows, seed=0, keep_official=True)
    assert splits[0] == "test"
    assert splits[1] == "test"
    assert (splits[20:] == "validation").all()


def test_a_split_can_be_left_empty():
    assert set(assign_splits(table(200), seed=0, fractions=(0.8, 0.0, 0.2))) == {"train", "test"}


@pytest.mark.parametrize("fractions", [(0.5, 0.5), (0.7, 0.2, 0.2), (1.2, -0.2, 0.0)])
def test_wrong_fractions_are_quoted(fractions):
    with pytest.raises(UsageError, match="fractions"):
        assign_splits(table(10), seed=0, fractions=fractions)


def of_groups(sizes, diagnoses):
    rows = [(f"g{group}", diagnoses[group]) for group, size in enumerate(sizes) for _ in range(size)]
    return pd.DataFrame(rows, columns=["lesion_id", "diagnosis"]).assign(image_id=[f"i{n}" for n in range(len(rows))])


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(
    ("sizes", "diagnoses", "counts"),
    [
        ([2, 9], ["nv", "nv"], {"train": 9, "test": 2}),
        ([1, 1], ["nv", "mel"], {"train": 1, "test": 1}),
        ([2, 9, 4], ["nv", "mel", "df"], {"train": 9, "test": 4, "validation": 2}),
        ([1] * 20, [f"class {number // 2}" for number in range(20)], {"train": 14, "test": 4, "validation": 2}),
        ([7], ["nv"], {"test": 7}),
    ],
)
def test_with_few_groups_train_is_served_first_then_test(sizes, diagnoses, counts, seed):
    splits = assign_splits(of_groups(sizes, diagnoses), seed=seed)
    assert splits.value_counts().to_dict() == counts


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 6), st.sampled_from("abcdefgh")), min_size=2, max_size=12), st.integers(0, 3))
def test_something_is_always_left_to_train_on(groups_of, seed):
    sizes, diagnoses = zip(*groups_of, strict=True)
    splits = assign_splits(of_groups(sizes, diagnoses), seed=seed)
    assert {"train", "test"} <= set(splits)


@pytest.mark.parametrize("seed", range(5))
def test_one_class_with_enough_groups_does_not_keep_the_others_from_train(seed):
    of_two, of_three = [f"class {number // 2}" for number in range(20)], ["rare"] * 3
    rows = of_groups([5] * 20 + [1] * 3, of_two + of_three)
    counts = assign_splits(rows, seed=seed).value_counts()
    assert abs(counts / len(rows) - pd.Series({"train": 0.7, "validation": 0.1, "test": 0.2})).max() < 0.05


def test_where_train_has_half_of_its_share_small_classes_still_go_to_test_and_validation():
    rows = of_groups([5] * 4 + [4] * 12, ["nv", "nv", "mel", "mel"] + ["df"] * 12)
    splits = assign_splits(rows, seed=0)
    assert splits[:20].value_counts().to_dict() == {"test": 10, "validation": 10}


def test_without_a_share_for_train_few_groups_leave_it_empty():
    splits = assign_splits(of_groups([3, 2], ["nv", "nv"]), seed=0, fractions=(0.0, 0.0, 1.0))
    assert set(splits) == {"test"}


def test_an_official_split_without_train_is_kept():
    rows = of_groups([3, 2], ["nv", "nv"]).assign(official_split=["test"] * 3 + [None] * 2)
    assert "train" not in set(assign_splits(rows, seed=0, keep_official=True))


def test_splits_of_collections_with_enough_groups_stay_as_they_were():
    splits = assign_splits(table(400), seed=0)
    digest = hashlib.sha256(" ".join(splits).encode()).hexdigest()
    assert digest == "38bfbf5edf8490a1410df59c52a355ecb8a3da94cec7120ac48eefb0dc81d02e"
