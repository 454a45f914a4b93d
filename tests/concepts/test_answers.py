"""What a model may answer."""

import json

import pytest

from lesiongen.concepts import ENTRIES, VISUAL_ENTRIES, Entry, Report, answer_schema


def test_every_answer_that_fits_is_a_report_of_a_vision_language_model():
    schema = answer_schema()
    assert set(schema["properties"]) == set(schema["required"]) == set(VISUAL_ENTRIES) == set(ENTRIES) - {"patient"}
    assert schema["additionalProperties"] is False
    for name, asked in schema["properties"].items():
        for word in asked["items"]["enum"]:
            Report(**{name: Entry(value=(word,), source="vision-language")})


def test_there_is_no_place_for_a_source_or_a_recorded_type():
    text = json.dumps(answer_schema())
    for word in ("source", "evidence", "confidence", "Fitzpatrick", "diagnosis"):
        assert word not in text


def test_only_what_can_be_seen_can_be_asked_for():
    assert list(answer_schema(["size", "colour"])["properties"]) == ["size", "colour"]
    with pytest.raises(ValueError, match="'patient' cannot be seen"):
        answer_schema(["patient"])
