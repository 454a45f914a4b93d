"""The published JSON Schemas are those of the records, and accept what is written."""

import json
from pathlib import Path

import pytest

from lesiongen.records.schemas import SCHEMAS, json_schema

ROOT = Path(__file__).parents[2]
REFERENCE = ROOT / "docs" / "reference"


@pytest.mark.parametrize("name", SCHEMAS)
def test_a_published_schema_is_the_one_that_the_code_makes(name):
    published = json.loads((REFERENCE / f"{name}.schema.json").read_text(encoding="utf-8"))
    assert published == json_schema(name), "docs/reference/records.md says how to write it again"


def test_the_schema_of_an_evaluation_accepts_one_and_refuses_another_shape():
    jsonschema = pytest.importorskip("jsonschema")
    validator = jsonschema.Draft202012Validator(json_schema("evaluation"))
    document = json.loads(Path(__file__).with_name("evaluation.json").read_bytes())
    validator.validate(document)
    for wrong in ({"classes": "nv"}, {"utility": []}, {"schema_version": 2}, {"counts": {"test": 3}}):
        assert not validator.is_valid(document | wrong), wrong
