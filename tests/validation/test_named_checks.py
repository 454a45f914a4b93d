"""The named checks: names, defaults, and the page that documents them."""

import re
from pathlib import Path

import pytest
import yaml

from lesiongen.config import parse_config
from lesiongen.errors import UsageError
from lesiongen.validation import ALL_CHECKS, CHECK_NAMES, ValidateConfig, default_checks

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "validation.md"


def test_names_are_unique():
    assert len(set(CHECK_NAMES)) == len(CHECK_NAMES)


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("duplicates_across_split", "duplicate_across_splits"),
        ("ham10000.sites", "ham10000.site"),
        ("licence", "licence_present"),
    ],
)
def test_a_misspelt_check_is_refused_with_the_nearest_name(name, meant):
    with pytest.raises(UsageError, match=rf"unknown check '{name}'; did you mean {meant}\?"):
        parse_config(ValidateConfig, {"severities": {name: "off"}})


def test_a_misspelt_field_is_refused_with_the_nearest_name():
    with pytest.raises(UsageError, match=r"unknown field min_sides of a checks file; did you mean min_side\?"):
        parse_config(ValidateConfig, {"min_sides": 3})


def test_an_unknown_severity_is_refused():
    with pytest.raises(UsageError, match="severities.licence_present = 'fatal'"):
        parse_config(ValidateConfig, {"severities": {"licence_present": "fatal"}})


def test_the_default_checks_reads_back_as_the_defaults():
    values = yaml.safe_load(default_checks())
    read = parse_config(ValidateConfig, values)
    assert read.severities == {check.name: check.severity for check in ALL_CHECKS}
    assert read.changed(severities={}) == ValidateConfig()
    assert set(values) == set(ValidateConfig.model_fields)


def test_the_page_lists_every_check_with_its_severity():
    rows = re.findall(r"^\| `([\w.]+)` \| (error|warning|info|off) \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert rows == [(check.name, check.severity) for check in ALL_CHECKS]


def test_the_page_lists_every_threshold_with_its_default():
    rows = re.findall(r"^\| `(min_\w+|max_\w+)` \| ([\d.,]+) \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    fields = {name: field.default for name, field in ValidateConfig.model_fields.items() if name.startswith("m")}
    assert {name: float(value) for name, value in rows} == fields
