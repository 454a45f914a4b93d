import numpy as np
import pandas as pd
import pytest

from lesiongen.evaluation.images import LabelledImages
from lesiongen.evaluation.measures.metrics import Resamples
from lesiongen.evaluation.measures.subgroups import absent_columns, group_gaps, subgroup_scores, worst_group


@pytest.fixture
def test_split() -> LabelledImages:
    sex = ["female"] * 40 + ["male"] * 40 + ["unknown"] * 30 + [None] * 4
    table = pd.DataFrame({"sex": sex, "skin_tone": None, "lesion_id": [f"lesion{k // 2}" for k in range(114)]})
    return LabelledImages(np.zeros((114, 1, 1, 3), np.uint8), np.arange(114) % 2, table)


def test_the_worst_group_comes_first_and_small_groups_are_marked(test_split: LabelledImages) -> None:
    predictions = np.tile(test_split.labels, (2, 1))
    predictions[:, 40:60] = 1 - predictions[:, 40:60]
    predictions[1, 60:64] = 1 - predictions[1, 60:64]
    predictions[:, 80:] = 1 - predictions[:, 80:]
    resamples = Resamples(test_split.lesions, 200, 0.95, 0)
    entries = subgroup_scores(test_split, predictions, 2, ["sex", "skin_tone"], 20, resamples)
    assert [entry.group for entry in entries] == ["unknown", "male", "female", "not stated"]
    male = entries[1]
    assert male.recall == pytest.approx((20 / 40 + 16 / 40) / 2)
    assert (male.n, male.lesions, male.diagnoses) == (40, 20, 2)
    assert 0 < male.low < male.recall < male.high < 1
    assert [entry.too_small for entry in entries] == [False, False, False, True]
    worst = worst_group(entries)
    assert worst is not None
    assert worst.group == "male"
    assert group_gaps(entries) == {"sex": pytest.approx(1 - male.recall)}


def test_a_rare_diagnosis_does_not_swing_a_group(test_split: LabelledImages) -> None:
    labels = test_split.labels.copy()
    labels[0] = 2
    split = LabelledImages(test_split.images, labels, test_split.table)
    resamples = Resamples(split.lesions, 100, 0.95, 0)
    entries = subgroup_scores(split, np.where(labels == 2, 0, labels)[None], 3, ["sex"], 20, resamples)
    female = next(entry for entry in entries if entry.group == "female")
    assert (female.diagnoses, female.recall) == (2, 1.0)
    assert female.accuracy == pytest.approx(39 / 40)


def test_a_column_without_values_is_named(test_split: LabelledImages) -> None:
    assert absent_columns(test_split, ["sex", "skin_tone", "device"]) == ["skin_tone", "device"]
    assert worst_group([]) is None
