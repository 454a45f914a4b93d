"""Tables in CSV whose cells come from strangers, and that people open in a spreadsheet."""

import csv
import io
import re
from collections.abc import Iterable, Sequence

from lesiongen.redaction import printable

__all__ = ["csv_table"]

# What begins a formula in Excel, LibreOffice or Google Sheets, in its full width too, behind blanks or quotes.
_BEGINNING = "[\\s\"'\ufeff\u200b]*[=+\\-@\uff1d\uff0b\uff0d\uff20\u2212|%]"
_FORMULA = re.compile(f"{_BEGINNING}|[\t\r\n]")
# Where the comma is the decimal sign a spreadsheet divides the line at semicolons, quoted or not.
_NEXT_FORMULA = re.compile(f"(?<=[;\t\n])(?={_BEGINNING})")
_NUMBER = re.compile(r"-?\d+(\.\d+)?")


def csv_table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Returns a table that no spreadsheet runs anything of.

    A text that could begin a formula gets an apostrophe in front, by which spreadsheets know a text, and so does a
    part of it behind a semicolon, a tab or an end of line, where a spreadsheet may divide it; numbers stay.
    Characters that a terminal obeys are spelled out (`lesiongen.redaction.printable`). None is an empty cell.

    >>> csv_table(["file"], [["=cmd"]]).splitlines()
    ['file', "'=cmd"]
    """
    text = io.StringIO()
    table = csv.writer(text)
    table.writerow(header)
    table.writerows(map(_inert, row) for row in rows)
    return text.getvalue()


def _inert(cell: object) -> object:
    if not isinstance(cell, str):
        return cell
    cell = _NEXT_FORMULA.sub("'", printable(cell))
    return f"'{cell}" if _FORMULA.match(cell) and not _NUMBER.fullmatch(cell) else cell
