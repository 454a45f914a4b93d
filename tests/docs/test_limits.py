"""The page of limits states each limit as it is."""

import re
from pathlib import Path

from lesiongen import limits

PAGE = Path(__file__).parent.parent.parent / "docs" / "reference" / "limits.md"


def written(value: int) -> str:
    for size, unit in ((1 << 20, " MiB"), (1 << 10, " KiB")):
        if value >= size and value % size == 0:
            return f"{value // size:,}{unit}"
    return f"{value:,}"


def test_the_page_of_limits_states_every_limit():
    stated = dict(re.findall(r"^\| `(\w+)` \| ([^|]+) \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE))
    values = {name: value for name, value in vars(limits).items() if name.isupper()}
    expected = {name: written(value) for name, value in values.items()}
    expected |= {"MAX_COLUMNS": "16,384", "MAX_CELL_CHARACTERS": "131,072", "MAX_WORKBOOK_ROWS": "1,048,576"}
    expected["MAX_LINE"] = "8,388,608"
    assert stated == expected
