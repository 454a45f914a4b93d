"""The report's JSON Schema, and what the types refuse."""

import json
from pathlib import Path

import pytest
from pydantic import ValidationError

from lesiongen.concepts import Entry, Report, read_report, report_json_schema
from lesiongen.concepts.schema import Description
from lesiongen.concepts.vocabulary import FITZPATRICK_TYPES, SKIN_TYPES, TONES, VOCABULARIES, recorded_skin_type

REFERENCE = Path(__file__).parents[2] / "docs" / "reference"


def _entry(*words, source="expert", **values):
    return Entry(value=words, source=source, **values)


def test_the_published_schema_is_the_one_that_the_code_makes():
    published = json.loads((REFERENCE / "report.schema.json").read_text(encoding="utf-8"))
    assert published == report_json_schema(), "docs/reference/report.md says how to write it anew"


def test_the_published_schema_accepts_reports_and_refuses_what_the_types_refuse():
    jsonschema = pytest.importorskip("jsonschema")
    validator = jsonschema.Draft202012Validator(report_json_schema())
    report = Report(colour=_entry("red", confidence=0.5), description=Description(text="A papule.", source="expert"))
    validator.validate(json.loads(report.to_text()))
    for wrong in (
        {"colour": {"value": ["pinkish"], "source": "expert"}},
        {"colour": {"value": ["red", "red"], "source": "expert"}},
        {"colour": {"value": ["red"], "source": "rumour"}},
        {"colour": {"value": ["red"], "source": "expert", "confidence": 2}},
        {"schema_version": 1},
        {"shininess": {"value": ["red"], "source": "expert"}},
    ):
        assert not validator.is_valid(wrong), wrong
        with pytest.raises(ValidationError):
            Report.model_validate(wrong)


def test_every_word_of_the_vocabularies_is_in_the_reference():
    text = (REFERENCE / "report.md").read_text(encoding="utf-8")
    assert [word for words in VOCABULARIES.values() for word in words if word not in text] == []


@pytest.mark.parametrize("word", SKIN_TYPES)
def test_a_measured_tone_is_never_a_recorded_type(word):
    for source in ("measured", "vision-language"):
        with pytest.raises(ValidationError, match="recorded skin type"):
            Report(skin_tone=_entry(word, source=source))
    assert Report(skin_tone=_entry(word, source="metadata"))


@pytest.mark.parametrize("word", TONES)
def test_a_table_does_not_state_the_tone_of_a_picture(word):
    for source in ("metadata", "expert"):
        with pytest.raises(ValidationError, match="tone of an image"):
            Report(skin_tone=_entry(word, source=source))


@pytest.mark.parametrize(
    ("tone", "scale", "word"),
    [
        ("3", "fitzpatrick", "Fitzpatrick III"),
        ("vi", "Fitzpatrick", "Fitzpatrick VI"),
        ("56", "ddi", "Fitzpatrick V-VI"),
        ("56", "fitzpatrick", None),
        ("3", "monk", None),
        ("3", None, None),
        (None, "fitzpatrick", None),
    ],
)
def test_what_is_recorded_of_the_skin(tone, scale, word):
    assert recorded_skin_type(tone, scale) == word


def test_the_types_are_in_order():
    assert [recorded_skin_type(str(number), "fitzpatrick") for number in range(1, 7)] == list(FITZPATRICK_TYPES)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"patient": _entry("65 years", "66 years")}, "more than one age"),
        ({"patient": _entry("male", "female")}, "more than one sex"),
        ({"patient": _entry("back", "nose")}, "more than one site"),
        ({"size": _entry("huge")}, "unknown word 'huge' for size"),
        ({"skin_tone": _entry("light", "tan", source="measured")}, "more than one word"),
    ],
)
def test_an_entry_keeps_to_its_form(values, message):
    with pytest.raises(ValidationError, match=message):
        Report(**values)


def test_a_confidence_is_a_probability_or_nothing():
    for wrong in (-0.1, 1.1, float("nan")):
        with pytest.raises(ValidationError):
            _entry("red", confidence=wrong)
    with pytest.raises(ValidationError):
        _entry("red", evidence={"red": float("inf")})
    assert read_report(Report(colour=_entry("red")).to_text()).colour.confidence is None


def test_free_text_comes_in_sentences():
    text = "Dr. Miller saw a papule. It is red, approx. 3 mm; Scaly! No. 7 follows."
    assert Description(text=text, source="expert").sentences() == (
        "Dr. Miller saw a papule.", "It is red, approx. 3 mm;", "Scaly!", "No. 7 follows.",
    )  # fmt: skip
