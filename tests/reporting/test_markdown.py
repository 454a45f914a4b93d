"""A page as Markdown holds what the page holds, and no text of it is markup."""

import pytest

from lesiongen.reporting import Callout, Facts, Page, Section, Table, Text, render_markdown


def body(*blocks):
    return render_markdown(Page("T", sections=[Section("S", blocks)])).split("## S\n\n")[1]


def test_the_blocks_of_a_page_are_written_in_their_order():
    page = Page("Title", "Subtitle", [Section("One", [Text("a"), Facts({"n": 1234})], note="small")])
    assert render_markdown(page) == "# Title\n\nSubtitle\n\n## One (small)\n\na\n\n- n: 1,234\n"
    assert body(Callout("warning", "Look.")) == "> **Warning:** Look.\n"
    assert body(Table(("a", "b"), [(1, None), ("x", 0.5)])) == "| a | b |\n| --- | --- |\n| 1 | – |\n| x | 0.500 |\n"


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("a|b", "a\\|b"),
        ("<img src=x>", "\\<img src=x\\>"),
        ("[here](javascript:x)", "\\[here\\](javascript:x)"),
        ("- no list", "\\- no list"),
        ("1. no list", "1\\. no list"),
        ("0.908 is a number", "0.908 is a number"),
        ("*a* _b_ `c`", "\\*a\\* \\_b\\_ \\`c\\`"),
        ("# no heading", "\\# no heading"),
        ("    no code", "no code"),
    ],
)
def test_no_text_is_markup(text, written):
    assert body(Text(text)) == f"{written}\n"


def test_a_cell_stays_in_its_line():
    assert body(Table(("a",), [("one\ntwo | three",)])).splitlines()[-1] == "| one two \\| three |"


def test_no_text_holds_a_secret(monkeypatch):
    monkeypatch.setenv("LESIONGEN_VLM_API_KEY", "0aB1" * 4)
    assert body(Text(f"key {'0aB1' * 4}")) == "key \\*\\*\\*\n"
