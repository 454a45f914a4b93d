"""Every question to the counts has a table that is too small for it and one that is not."""

import pandas as pd
import pytest

from lesiongen.validation import ValidateConfig
from lesiongen.validation.links import NEAR_GROUP
from lesiongen.validation.sizes import SIZE_CHECKS, check_sizes, class_counts, lesion_counts

SMALL = ValidateConfig(
    min_train_per_class=3, min_test_per_class=3, min_train_per_group=2, min_test_per_group=2, min_test=4, min_held_out=8
)


def table(changes=(), drop=(), count=32):
    """32 sound rows, half of them train: both classes and both sexes in every split, all recorded."""
    splits = ["train", "train", "validation", "test"]
    rows = [
        {
            "image_id": f"S{number}", "diagnosis": ("nv", "mel")[number // 4 % 2], "split": splits[number % 4],
            "lesion_id": f"L{number}", "sex": ("male", "female")[number // 8 % 2], "age": 40.0, "skin_tone": "2",
            "skin_tone_scale": "fitzpatrick", "measured_tone": "light", "image_type": "clinical", "source": "clinic",
            "synthetic": False,
        }
        for number in range(count)
    ]  # fmt: skip
    for number, values in changes:
        rows[number] |= values
    return pd.DataFrame([row for number, row in enumerate(rows) if number not in drop])


def found(rows, config=SMALL):
    return {finding.check: finding.parts for finding in check_sizes(config, rows)}


def test_a_dataset_that_is_large_enough_has_no_finding():
    assert found(table()) == {}


def test_images_are_not_called_lesions_where_no_lesion_is_known():
    unknown = table([(number, {"lesion_id": None}) for number in range(32)])
    config = ValidateConfig(min_test_per_class=100)
    [found] = [one for one in check_sizes(config, unknown) if one.check == "class_large_enough_to_judge"]
    assert all("test images, recall known to ±" in part for part in found.parts)
    assert all(part.endswith(" at best (lesions not recorded)") for part in found.parts)


@pytest.mark.parametrize("column", ["digest", NEAR_GROUP])
def test_copies_of_one_photograph_are_counted_as_one_lesion(column):
    rows = table().assign(**{column: None})
    copies = rows[(rows["split"] == "test") & (rows["diagnosis"] == "nv")].index
    rows.loc[copies, column] = 1
    counts = lesion_counts(rows)["test"]
    assert dict(counts) == {"mel": 4, "nv": 1}
    assert class_counts(rows)["test"]["nv"] == len(copies) == 4


TEST_ROWS = range(3, 32, 4)
CASES = {
    "split_has_images": (
        table(drop=TEST_ROWS),
        ("test: nothing can be evaluated",),
    ),
    "test_large_enough": (table(drop=(3, 7, 11, 15, 19)), ("3 test images, 4 are needed",)),
    "held_out_large_enough": (
        table(drop=(3, 7, 11, 15, 2, 6, 10, 14, 18)),
        ("7 validation and test images, 8 are needed",),
    ),
    "class_in_every_split": (table([(0, {"diagnosis": "df"})]), ("df has no image in validation and test",)),
    "class_large_enough_to_learn": (
        table([(0, {"diagnosis": "df"})]),
        ("df: 1 training image",),
    ),
    "class_large_enough_to_judge": (
        # four test images of melanoma, of two lesions
        table([(7, {"lesion_id": "L"}), (15, {"lesion_id": "L"}), (23, {"lesion_id": "M"}), (31, {"lesion_id": "M"})]),
        ("mel: 2 test lesions, recall known to ±0.41",),
    ),
    "subgroup_large_enough_to_learn": (
        table([(0, {"age": 80.0}), (3, {"age": 80.0}), (7, {"age": 80.0})]),
        ("age band 75 to 89: 1 training image",),
    ),
    "subgroup_large_enough_to_judge": (
        table([(0, {"skin_tone": "6"}), (1, {"skin_tone": "6"}), (3, {"skin_tone": "6"})]),
        ("skin tone fitzpatrick 6: 1 test image, recall known to ±0.45",),
    ),
    "lesion_or_patient_recorded": (
        table([(number, {"lesion_id": None}) for number in range(32)]),
        ("no image has a lesion_id, patient_id or case_id",),
    ),
    "subgroup_recorded": (table([(number, {"sex": None}) for number in range(32)]), ("sex",)),
}


def test_every_check_has_a_case():
    assert set(CASES) == {check.name for check in SIZE_CHECKS}


@pytest.mark.parametrize("name", CASES)
def test_what_is_too_small_is_said(name):
    rows, parts = CASES[name]
    assert found(rows)[name] == parts
    assert name not in found(rows, SMALL.changed(severities={name: "off"}))


def test_a_group_that_misses_the_test_split_has_no_interval():
    rows = table([(0, {"source": "other"}), (1, {"source": "other"})])
    assert found(rows) == {"subgroup_large_enough_to_judge": ("source other: 0 test images",)}


def test_synthetic_images_alone_need_no_test_split():
    rows = table(drop=[number for number in range(32) if number % 4 > 1]).assign(synthetic=True)
    assert found(rows, SMALL.changed(min_train_per_class=9)) == {
        "class_large_enough_to_learn": ("mel: 8 training images", "nv: 8 training images")
    }
