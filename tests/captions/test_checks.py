"""What the checks take out, by which rule, and that every case is on record."""

from dataclasses import replace

import pytest

from lesiongen.captions.check_counts import KEPT, CheckCounts
from lesiongen.captions.checks import Checked, check
from lesiongen.captions.findings import CheckFinding
from lesiongen.captions.free_text import text_problems
from lesiongen.concepts import Description, Entry, Report, described, skincon_report
from lesiongen.dataset import Sample

SAMPLE = Sample(
    image=b"", image_id="a", diagnosis="nv", split="train", original_diagnosis="blue nevus", age=45, sex="female",
    site="left forearm",
)  # fmt: skip


def _found(checked):
    return [(finding.check, finding.entry, finding.rule) for finding in checked.findings]


def _entry(*words, source, **evidence):
    return Entry(value=words, source=source, evidence=evidence)


def test_a_report_without_fault_passes_whole():
    reports = {
        "metadata": Report(patient=_entry("45 years", "female", "left forearm", source="metadata")),
        "expert": described(skincon_report({"Papule": True}), "A blue papule on the arm. The nevus is flat-topped."),
        "measured": Report(size=_entry("small", source="measured", area_share=0.1)),
    }
    checked = check(reports, SAMPLE)
    assert checked.findings == () and not checked.rejected
    assert {name: entry.source for name, entry in checked.report.entries()} == {
        "patient": "metadata", "elevation": "expert", "size": "measured",
    }  # fmt: skip
    assert checked.report.description.text == "A blue papule on the arm. The nevus is flat-topped."
    assert Checked.model_validate_json(checked.model_dump_json()) == checked


@pytest.mark.parametrize(
    ("writer", "report", "entry"),
    [
        ("measured", Report(size=_entry("small", source="measured")), "size"),
        ("measured", Report(size=_entry("small", source="expert")), "size"),
        ("vision-language", Report(colour=_entry("red", source="expert")), "colour"),
        ("metadata", Report(patient=_entry("46 years", source="metadata")), "patient"),
        ("metadata", Report(patient=_entry("nose", source="metadata")), "patient"),
    ],
)
def test_a_statement_without_evidence_is_dropped(writer, report, entry):
    checked = check({writer: report}, SAMPLE)
    assert _found(checked) == [("without evidence", entry, "drop")]
    assert checked.report == Report() and not checked.rejected


@pytest.mark.parametrize(
    ("site", "found"),
    [
        ("left forearm", None),
        ("head/neck", None),
        ("palms, soles and finger nails", None),
        ("jane doe, left forearm", "unknown place"),
        ("forearm 12", "unknown place"),
        ("<script>alert(1)</script>", "unknown place"),
        ("melanoma of the back", "invented diagnosis"),
        ("back, seen 12.03.2020", "personal data"),
    ],
)
def test_a_site_is_a_place_of_the_body_and_nothing_else(site, found):
    patient = _entry("45 years", site, source="metadata")
    checked = check({"metadata": Report(patient=patient)}, replace(SAMPLE, site=site))
    assert _found(checked) == ([(found, "patient", "drop")] if found else [])
    assert checked.report.patient.value == (("45 years",) if found else ("45 years", site))
    assert all("doe" not in finding.detail and "12" not in finding.detail for finding in checked.findings)


def test_words_that_exclude_each_other_go_and_the_rest_stays():
    report = Report(patterns=_entry("typical network", "atypical network", "globules", source="vision-language"))
    checked = check({"vision-language": report}, SAMPLE)
    assert _found(checked) == [("contradiction within the entry", "patterns", "drop")]
    assert checked.report.patterns.value == ("globules",)


def test_the_less_trusted_of_two_entries_goes():
    reports = {
        "vision-language": Report(shape_variability=_entry("symmetric", source="vision-language")),
        "measured": Report(shape=_entry("irregular", source="measured", irregularity=0.2)),
    }
    checked = check(reports, SAMPLE)
    assert _found(checked) == [("contradiction between entries", "shape_variability", "keep the more trusted")]
    assert [name for name, _ in checked.report.entries()] == ["shape"]
    assert checked.findings[0].writer == "vision-language"


def test_an_expert_who_knows_another_patient_is_not_believed():
    checked = check({"expert": Report(patient=_entry("80 years", "male", source="expert"))}, SAMPLE)
    assert _found(checked) == [("contradiction with the metadata", "patient", "drop")] * 2
    assert checked.report.patient is None


@pytest.mark.parametrize(
    "sentence",
    [
        "A bluish papule with a smooth surface.",
        "Consistent with a blue nevus.",
        "A melanocytic lesion, probably a nevus.",
        "A 45-year-old woman with a spot on the back of the hand.",
        "It has been there for 20 years.",
        "Scars and vascular structures, 3-5 mm, 12 x 14 mm.",
        "Two macules of 1.5 cm near the elbow; benign.",
        "Central hematoma with hyperkeratosis.",
        "The patient has marked erythema.",
    ],
)
def test_sentences_without_fault(sentence):
    assert list(text_problems(sentence, SAMPLE)) == []


@pytest.mark.parametrize(
    ("sentence", "check_name"),
    [
        ("Suggestive of melanoma.", "invented diagnosis"),
        ("Nodular basal cell carcinomas are possible.", "invented diagnosis"),
        ("Probably psoriasis.", "invented diagnosis"),
        ("An epidermal nevus.", "invented diagnosis"),
        ("A trichoblastoma.", "invented diagnosis"),
        ("It looks malignant.", "invented diagnosis"),
        ("A 70-year-old patient.", "contradiction with the metadata"),
        ("A man with a spot.", "contradiction with the metadata"),
        ("A spot on the nose.", "contradiction with the metadata"),
        ("Seen on 12.03.2019.", "personal data"),
        ("Seen on 3 March.", "personal data"),
        ("Mr. Smith has a papule.", "personal data"),
        ("The patient Anna Miller was seen.", "personal data"),
        ("Write to anna@example.org.", "personal data"),
        ("Call +49 30 1234567.", "personal data"),
        ("MRN number: 48213.", "personal data"),
        ("Hospital no. A1234 applies.", "personal data"),
        ("Lives at 12 Garden Street.", "personal data"),
    ],
)
def test_sentences_that_are_not_repeated(sentence, check_name):
    checked = check({"expert": described(Report(), f"A papule. {sentence}")}, SAMPLE)
    assert _found(checked) == [(check_name, "description", "drop")]
    assert checked.report.description.text == "A papule."


def test_a_finding_does_not_repeat_personal_data():
    checked = check({"expert": described(Report(), "Mr. Smith, born on 01.02.1950.")}, SAMPLE)
    assert checked.report.description is None
    assert "smith" not in checked.model_dump_json().lower() and "1950" not in checked.model_dump_json()


def test_names_of_one_wide_class_are_not_interchangeable():
    eczema = Sample(image=b"", image_id="a", diagnosis="inflammatory", split="train", original_diagnosis="eczema")
    assert [problem.check for problem in text_problems("This is psoriasis.", eczema)] == ["invented diagnosis"]
    assert list(text_problems("This is eczema.", eczema)) == []


def test_a_diagnosis_that_a_model_made_up_rejects_the_caption():
    report = Report(description=Description(text="A melanoma.", source="vision-language"))
    checked = check({"vision-language": report}, SAMPLE)
    assert checked.rejected and _found(checked) == [("invented diagnosis", "description", "reject")]


def test_a_text_about_another_patient_rejects_the_caption():
    checked = check({"expert": described(Report(), "An 80-year-old man. A papule.")}, SAMPLE)
    assert checked.rejected
    assert [finding.check for finding in checked.findings][-1] == "another patient"


def _case(index, weight):
    finding = CheckFinding(
        check="personal data", writer="expert", entry="description", rule="drop", detail="a date", weight=weight
    )
    return f"image{index:02d}", Checked(report=Report(), findings=(finding,), rejected=index == 0)


def test_counts_of_parts_add_up_to_those_of_the_whole():
    cases = [_case(index, (index % 5) / 5) for index in range(20)]
    whole, first, second = CheckCounts(), CheckCounts(), CheckCounts()
    for index, (image_id, checked) in enumerate(cases):
        whole.add(image_id, checked)
        (first if index % 3 else second).add(image_id, checked)
    assert first + second == whole
    assert (whole.rejected, whole.affected) == (1, 20)
    assert whole.found == {"expert": {"personal data": {"drop": 20}}}
    assert [case.image_id for case in whole.worst["personal data"]][:4] == ["image04", "image09", "image14", "image19"]
    assert len(whole.worst["personal data"]) == KEPT
    assert CheckCounts.model_validate_json(whole.model_dump_json()) == whole
