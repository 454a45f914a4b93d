"""Tables that are opened in a spreadsheet run nothing, and hold nothing that a terminal obeys."""

import csv
import io
import re
from pathlib import Path

import pytest

import lesiongen
from lesiongen.safe_csv import csv_table


@pytest.mark.parametrize(
    "cell",
    [
        "=cmd|'/C calc'!A0", "+1+cmd", "-2+3", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "  =1", "\u00a0=1", "\u3000=1",
        "＝1", "＋1", "－1", "＠SUM(1)", "\ufeff=1", '"=1', "'=1", "\u22121", "|calc", "%0a=1", "\x00=1",
    ],
)  # fmt: skip
def test_what_could_begin_a_formula_is_a_text(cell):
    [[found]] = list(csv.reader(io.StringIO(csv_table(["column"], [[cell]]), newline="")))[1:]
    assert found.startswith("'") or found.startswith("\\")
    assert "\x00" not in found and "\r" not in found


@pytest.mark.parametrize(
    ("cell", "written"),
    [
        ("nevus;=cmd|'/C calc'!A0", "nevus;'=cmd|'/C calc'!A0"),
        ('a, b; "=1+1', """a, b;' "=1+1"""),
        ("one\n@SUM(A1)", "one\n'@SUM(A1)"),
        ("x\t＝1", "x\t'＝1"),
        ("a;b;+1", "a;b;'+1"),
    ],
)
def test_a_spreadsheet_that_divides_at_semicolons_finds_no_formula_either(cell, written):
    """As those do whose language writes the comma in numbers, whatever is quoted."""
    assert list(csv.reader(io.StringIO(csv_table(["column"], [[cell]]), newline="")))[1:] == [[written]]


def test_other_cells_stay_as_they_are():
    row = ["nevus, left arm; a-b", "a=b", "é", "-12.5", 7, None, "", "ISIC_0000001.jpg"]
    [found] = list(csv.reader(io.StringIO(csv_table(["x"], [row]))))[1:]
    assert found == ["nevus, left arm; a-b", "a=b", "é", "-12.5", "7", "", "", "ISIC_0000001.jpg"]


def test_escapes_are_spelled_out():
    assert "\\x1b[2J\\u202e" in csv_table(["x"], [["\x1b[2J\u202e"]])


def test_there_is_no_other_way_to_write_a_table():
    written = re.compile(r"csv\.writer|DictWriter|to_csv|write_csv")
    found = {path.name for path in Path(lesiongen.__file__).parent.rglob("*.py") if written.search(path.read_text())}
    assert found == {"safe_csv.py", "write.py"}  # of phantoms, which are no stranger's
