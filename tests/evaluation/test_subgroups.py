import numpy as np
import pandas as pd
import pytest

from lesiongen.evaluation.images import LabelledImages
from lesiongen.evaluation.measures.metrics import Resamples
from lesiongen.evaluation.measures.subgroups import absent_columns, group_gaps, intersected, subgroup_scores


@pytest.fixture
def test_split() -> LabelledImages:
    sex = ["female"] * 40 + ["male"] * 40 + ["unknown"] * 30 + [None] * 4
    table = pd.DataFrame({"sex": sex, "skin_tone": None, "lesion_id": [f"lesion{k // 2}" for k in range(114)]})
    return LabelledImages(np.zeros((114, 1, 1, 3), np.uint8), np.arange(114) % 2, table)


def test_the_lowest_recall_comes_first_and_small_groups_are_marked(test_split: LabelledImages) -> None:
    predictions = np.tile(test_split.labels, (2, 1))
    predictions[:, 40:60] = 1 - predictions[:, 40:60]
    predictions[1, 60:64] = 1 - predictions[1, 60:64]
    predictions[:, 80:] = 1 - predictions[:, 80:]
    resamples = Resamples(test_split.lesions, 200, 0.95, 0)
    columns = ["sex", "skin_tone"]
    entries = subgroup_scores(test_split.labels, predictions, test_split.table, 2, columns, 20, resamples)
    assert [entry.group for entry in entries] == ["unknown", "male", "female", "not stated"]
    male = entries[1]
    assert male.recall == pytest.approx((20 / 40 + 16 / 40) / 2)
    assert (male.n, male.lesions, male.diagnoses) == (40, 20, 2)
    assert 0 < male.low < male.recall < male.high < 1
    assert [entry.too_small for entry in entries] == [False, False, False, True]
    assert group_gaps(entries) == {"sex": pytest.approx(1 - male.recall)}


def test_a_rare_diagnosis_does_not_swing_a_group(test_split: LabelledImages) -> None:
    labels = test_split.labels.copy()
    labels[0] = 2
    split = LabelledImages(test_split.images, labels, test_split.table)
    resamples = Resamples(split.lesions, 100, 0.95, 0)
    predictions = np.where(labels == 2, 0, labels)[None]
    entries = subgroup_scores(labels, predictions, split.table, 3, ["sex"], 20, resamples)
    female = next(entry for entry in entries if entry.group == "female")
    assert (female.diagnoses, female.recall) == (2, 1.0)
    assert female.accuracy == pytest.approx(39 / 40)


def test_a_column_without_values_is_named(test_split: LabelledImages) -> None:
    assert absent_columns(test_split.table, ["sex", "skin_tone", "device"]) == ["skin_tone", "device"]


def test_the_groups_of_two_columns_are_scored_and_a_value_that_is_not_known_makes_none() -> None:
    table = pd.DataFrame(
        {
            "sex": ["female", "female", "male", "unknown", None] * 8,
            "age_band": ["30 to 44", "75 to 89", "30 to 44", "30 to 44", "75 to 89"] * 8,
        }
    )
    pairs = intersected(table, [("sex", "age_band"), ("sex", "site")])
    assert pairs["sex, site"].isna().all()
    labels = np.arange(40) // 5 % 2
    predictions = np.where(pairs["sex, age_band"] == "female, 75 to 89", 0, labels)[None]
    resamples = Resamples(np.arange(40), 100, 0.95, 0)
    entries = subgroup_scores(labels, predictions, pairs, 2, list(pairs), 9, resamples)
    assert [(entry.group, entry.n, entry.recall, entry.too_small) for entry in entries] == [
        ("not stated", 16, 1.0, False),
        ("female, 75 to 89", 8, 0.5, True),
        ("female, 30 to 44", 8, 1.0, True),
        ("male, 30 to 44", 8, 1.0, True),
    ]
    assert entries[1].low is not None and entries[1].low < 0.5 <= entries[1].high
