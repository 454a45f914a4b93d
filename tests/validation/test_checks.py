"""Every check of rows has a row that fails it and rows that pass; all of a suite are judged in one run."""

import pandas as pd
import pytest

from lesiongen.concepts import described, seven_point_report, skincon_report
from lesiongen.concepts.schema import Report
from lesiongen.dataset import SCHEMA
from lesiongen.errors import DataError
from lesiongen.validation import ValidateConfig
from lesiongen.validation.checks import CANONICAL_CHECKS, resolved
from lesiongen.validation.derived import with_format_columns, with_table_columns
from lesiongen.validation.formats import FORMAT_SUITES, PublishedCounts, suite_of
from lesiongen.validation.suite import Suite, run_suites

SOUND = {
    "image_id": "sound", "diagnosis": "nv", "split": "train", "age": 40.0, "sex": "female", "image_type": "dermoscopic",
    "measured_tone": "light", "licence": "CC0-1.0", "mode": "RGB", "contrast": 30.0, "min_side": 256,
    "file_format": "PNG", "sharpness": 6.1, "vignette_share": 0.19, "synthetic": False,
}  # fmt: skip
FAULTS = {
    "image_id_present": {"image_id": None},
    "diagnosis_present": {"diagnosis": None},
    "diagnosis_known": {"diagnosis": "melanomaa"},
    "split_known": {"split": "dev"},
    "age_in_range": {"age": 999.0},
    "age_does_not_identify": {"age": 93.0},
    "ids_without_name": {"patient_id": "SMITH_JOHN"},
    "ids_without_date": {"lesion_id": "1957-03-02"},
    "ids_without_record_number": {"case_id": "MRN0012345"},
    "sex_known": {"sex": "F"},
    "image_type_known": {"image_type": "x-ray"},
    "skin_tone_scale_present": {"skin_tone": "3"},
    "measured_tone_known": {"measured_tone": "pale"},
    "concepts_readable": {"concepts_problem": "no report"},
    "licence_present": {"licence": None},
    "image_decodes": {"decode_problem": "truncated"},
    "image_is_rgb": {"mode": "CMYK"},
    "image_format_known": {"file_format": "WEBP"},
    "image_upright": {"orientation_pending": 6},
    "image_without_private_metadata": {"private_metadata": "EXIF GPS"},
    "image_sharp": {"sharpness": 5.9},
    "image_without_vignette": {"vignette_share": 0.21},
    "near_duplicate_across_splits": {"near_twin_in_other_split": "b (test)"},
    "look_alike_across_splits": {"alike_in_other_split": "b (test)"},
    "near_duplicate_within_split": {"near_twin_in_same_split": "b"},
    "near_duplicate_with_other_diagnosis": {"near_twin_with_other_diagnosis": "b (mel)"},
    "duplicate_across_sources": {"twin_in_other_source": "b (ddi)"},
    "near_duplicate_across_sources": {"near_twin_in_other_source": "b (ddi)"},
    "image_not_blank": {"contrast": 1.9},
    "image_large_enough": {"min_side": 31},
    "duplicate_across_splits": {"twin_in_other_split": "b (test)"},
    "duplicate_within_split": {"twin_in_same_split": "b"},
    "duplicate_with_other_diagnosis": {"twin_with_other_diagnosis": "b (mel)"},
    "lesion_in_one_split": {"lesion_in_other_split": "b (test)"},
    "patient_in_one_split": {"patient_in_other_split": "b (test)"},
    "case_in_one_split": {"case_in_other_split": "b (test)"},
    "lesion_of_one_patient": {"lesion_of_other_patient": "b (P2)"},
    "lesion_of_one_diagnosis": {"lesion_with_other_diagnosis": "b (mel)"},
    "synthetic_in_train_only": {"synthetic_outside_train": "test"},
}
DERIVED = {change for changes in FAULTS.values() for change in changes} | {"synthetic"}


def table_of(rows: list[dict[str, object]]) -> pd.DataFrame:
    columns = [name for name in SCHEMA.names if name != "image"]
    columns += sorted({name for row in rows for name in row} | DERIVED - set(columns))
    table = pd.DataFrame(rows, columns=list(dict.fromkeys(columns)), dtype=object)
    numbers = ("age", "contrast", "min_side", "sharpness", "vignette_share", "orientation_pending")
    return (
        table.where(table.notna(), None)
        .astype(dict.fromkeys(numbers, float))
        .assign(synthetic=table["synthetic"].eq(True))
    )


def judged(checks, table: pd.DataFrame) -> dict[str, tuple[str, ...]]:
    findings, _ = run_suites([Suite("case", checks, table)])
    return {finding.check: finding.rows for finding in findings}


def test_every_canonical_check_fails_on_its_own_fault_alone():
    # Two sound rows share an image_id; the check of it is the only one that they fail.
    # In one word each, or they would look like names.
    ids = {name: name.replace("_", "") for name in FAULTS}
    rows = [SOUND | {"image_id": ids[name], **fault} for name, fault in FAULTS.items()]
    rows[0] = SOUND | {"image_id": None}
    table = with_table_columns(table_of([SOUND, SOUND, *rows]))
    checks = resolved(CANONICAL_CHECKS, ValidateConfig())
    found = judged(checks, table)
    assert found.pop("image_id_unique") == ("sound", "sound")
    assert found.pop("image_id_present") == ("None",)
    assert found == {name: (ids[name],) for name in FAULTS if name != "image_id_present"}
    assert {*found, "image_id_unique", "image_id_present"} == {check.name for check in CANONICAL_CHECKS}


def test_what_is_not_recorded_is_no_fault():
    row = {"image_id": "a", "diagnosis": "nv", "split": "train", "licence": "CC0-1.0"}
    assert judged(resolved(CANONICAL_CHECKS, ValidateConfig()), with_table_columns(table_of([row]))) == {}


def test_a_synthetic_file_may_say_how_it_was_made():
    rows = [
        SOUND | {"image_id": name, "private_metadata": "text", "synthetic": name == "made"} for name in ("a", "made")
    ]
    table = with_table_columns(table_of(rows))
    assert judged(resolved(CANONICAL_CHECKS, ValidateConfig()), table) == {"image_without_private_metadata": ("a",)}


def test_a_threshold_comes_from_the_configuration():
    table = with_table_columns(table_of([SOUND]))
    assert judged(resolved(CANONICAL_CHECKS, ValidateConfig(min_side=257)), table) == {"image_large_enough": ("sound",)}


def test_a_check_without_its_column_cannot_pass_in_silence():
    table = with_table_columns(table_of([SOUND])).drop(columns="contrast")
    with pytest.raises(DataError, match="image_not_blank cannot be run: missing column contrast"):
        judged(resolved(CANONICAL_CHECKS, ValidateConfig()), table)


SEVEN_POINT = seven_point_report({"streaks": "irregular", "pigment_network": "absent"}).to_text()
SKINCON = skincon_report({"Papule": True}).to_text()
TEXT = described(Report(), "A red papule on the hand.").to_text()
BLANK_REPORT = Report().to_text()
SOUND_ROWS = {
    "ham10000": {"lesion_id": "HAM_1", "diagnosis": "nv", "site": "back", "age": 85.0, "image_type": "dermoscopic"},
    "isic2016": {"diagnosis": "malignant", "image_type": "dermoscopic"},
    "isic2024": {"patient_id": "IP_1", "image_type": "clinical", "age": 90.0},
    "milk10k": {"lesion_id": "IL_1", "image_type": "clinical", "skin_tone": "0", "skin_tone_scale": "milk10k"},
    "isic": {"image_type": "clinical", "age": 90.0, "skin_tone": "2", "skin_tone_scale": "fitzpatrick"},
    "derm7pt": {
        "case_id": "1",
        "image_type": "clinical",
        "concepts": SEVEN_POINT,
        "official_split": "train",
    },
    "fitzpatrick17k": {"image_type": "clinical", "skin_tone": "6", "skin_tone_scale": "fitzpatrick"},
    "ddi": {"image_type": "clinical", "skin_tone": "56", "skin_tone_scale": "ddi"},
    "pad_ufes_20": {
        "original_diagnosis": "BCC",
        "patient_id": "PAT_1",
        "lesion_id": "PAT_1/2",
        "image_type": "clinical",
        "skin_tone": "1",
        "skin_tone_scale": "fitzpatrick",
    },
    "skincap": {"image_type": "clinical", "concepts": SKINCON, "skin_tone": "12", "skin_tone_scale": "ddi"},
}
FORMAT_FAULTS = {
    "ham10000": {
        "diagnosis": {"diagnosis": "scc"},
        "lesion": {"lesion_id": None},
        "site": {"site": "trnk"},
        "age": {"age": 84.0},
        "image_type": {"image_type": "clinical"},
        "skin_tone_absent": {"skin_tone": "2"},
    },
    "isic2016": {
        "diagnosis": {"diagnosis": "nv"},
        "image_type": {"image_type": "clinical"},
        "skin_tone_absent": {"skin_tone": "2"},
    },
    "isic2024": {
        "image_type": {"image_type": "dermoscopic"},
        "patient": {"patient_id": None},
        "age": {"age": 91.0},
        "skin_tone_absent": {"skin_tone": "2"},
    },
    "milk10k": {
        "lesion": {"lesion_id": None},
        "image_type": {"image_type": None},
        "skin_tone": {"skin_tone": "6"},
        "skin_tone_scale": {"skin_tone_scale": "fitzpatrick"},
    },
    "isic": {
        "image_type": {"image_type": None},
        "age": {"age": 91.0},
        "skin_tone": {"skin_tone": "-1"},
        "skin_tone_scale": {"skin_tone_scale": "monk"},
    },
    "derm7pt": {
        "case": {"case_id": None},
        "image_type": {"image_type": None},
        "both_images": {"case_id": "2"},
        "seven_point_values": {"concepts": SEVEN_POINT.replace("irregular streaks", "red lacunae")},
        "official_split": {"official_split": None},
        "skin_tone_absent": {"skin_tone": "2"},
    },
    "fitzpatrick17k": {
        "image_type": {"image_type": "dermoscopic"},
        "skin_tone": {"skin_tone": "7"},
        "skin_tone_scale": {"skin_tone_scale": "ddi"},
    },
    "ddi": {
        "image_type": {"image_type": "dermoscopic"},
        "skin_tone": {"skin_tone": "3"},
        "skin_tone_recorded": {"skin_tone": None},
        "skin_tone_scale": {"skin_tone_scale": "fitzpatrick"},
    },
    "pad_ufes_20": {
        "diagnosis": {"original_diagnosis": "DF"},
        "patient": {"patient_id": None},
        "lesion": {"lesion_id": None},
        "image_type": {"image_type": "dermoscopic"},
        "skin_tone": {"skin_tone": "0"},
        "skin_tone_scale": {"skin_tone_scale": "ddi"},
    },
    "skincap": {
        "image_type": {"image_type": "dermoscopic"},
        "expert_statement": {"concepts": BLANK_REPORT},
        "skin_tone_scale": {"skin_tone_scale": "monk"},
    },
}


@pytest.mark.parametrize("name", FORMAT_SUITES)
def test_every_check_of_a_format_fails_on_its_own_fault_alone(name):
    suite, sound = FORMAT_SUITES[name], SOUND_ROWS[name]
    rows = [sound | {"image_id": fault, **changes} for fault, changes in FORMAT_FAULTS[name].items()]
    rows += [sound | {"image_id": "sound"}, sound | {"image_id": "also sound"}]
    if name == "derm7pt":  # the other image of each case but one
        rows += [sound | {"image_id": "derm", "image_type": "dermoscopic"}]
    table = with_format_columns(table_of(rows), suite.published)
    found = judged(suite.checks, table)
    assert found == {fault: (fault,) for fault in FORMAT_FAULTS[name]}
    unproved = {check.name for check in suite.checks} - set(found)
    assert unproved == ({"published_counts"} if suite.published else set())


def test_a_dermatologists_text_is_a_statement_and_a_measured_entry_is_none():
    sound = SOUND_ROWS["skincap"]
    measured = '{"colour": {"value": ["red"], "source": "measured"}}'
    rows = [sound | {"image_id": "text", "concepts": TEXT}, sound | {"image_id": "measured", "concepts": measured}]
    found = judged(FORMAT_SUITES["skincap"].checks, with_format_columns(table_of(rows), None))
    assert found == {"expert_statement": ("measured",)}


def test_published_counts_are_asked_of_a_complete_collection_alone():
    published = PublishedCounts("case_id", 4, "official_split", {"train": 2, "validation": 1, "test": 1})
    splits = ["train", "train", "validation", "test"]
    rows = [
        {"image_id": f"{case}{kind}", "case_id": str(case), "official_split": split, "image_type": kind}
        for case, split in enumerate(splits)
        for kind in ("clinical", "dermoscopic")
    ]

    def problems(changed):
        return with_format_columns(table_of(changed), published)["published_problem"]

    assert problems(rows).isna().all()
    moved = [row | ({"official_split": "test"} if row["case_id"] == "2" else {}) for row in rows]
    assert set(problems(moved).dropna()) == {"2, published 1"}
    assert problems(moved[2:]).isna().all(), "three of four cases are no complete collection"


def test_a_source_is_judged_by_the_suite_of_its_format():
    sources = {"ham10000": "ham10000", "isic2017": "isic", "isic": "isic", "fitzpatrick17k": "fitzpatrick17k"}
    assert {source: suite_of(source) for source in sources} == sources
    assert suite_of("my clinic") is None
    assert suite_of("lesiongen") is None
