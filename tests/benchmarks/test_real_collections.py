"""The benchmark of real collections runs at its smallest size; what it prints is what the documentation claims."""

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]


def test_every_real_collection_is_ingested_and_validated(shared_data):
    command = [sys.executable, str(ROOT / "benchmarks" / "real_collections.py"), "--data", str(shared_data)]
    printed = subprocess.run([*command, "--limit", "40"], capture_output=True, text=True, check=True).stdout
    header, _, *lines = [line for line in printed.splitlines() if line.startswith("|")]
    found = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert [(count, outcome) for _, count, outcome, *_ in found] == [("40", "passed")] * 5
    warnings = {name: of_severity[1] for name, _, _, *of_severity in found}
    assert ["`split_has_images` 1" in each for each in warnings.values()] == [True, False, False, False, False]
    assert all("`held_out_large_enough` 1" in each for each in warnings.values())
    page = (ROOT / "docs" / "reference" / "validation.md").read_text()
    assert header.replace(" ", "") in page.replace(" ", "")
    assert all(f"\n| {name} |" in page for name, *_ in found)
