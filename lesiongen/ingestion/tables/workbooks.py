"""Sheets of Excel workbooks as rows of text."""

import re
import shlex
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any
from zipfile import ZipFile

from lesiongen import limits
from lesiongen.errors import DataError
from lesiongen.ingestion.sources.archive_headers import check_zip_directory
from lesiongen.ingestion.tables.cells import text_of
from lesiongen.ingestion.tables.columns import Columns, too_long

__all__ = ["NO_VALUE", "check_workbook", "sheet_rows"]

NO_VALUE = "\0"
"""What a cell reads that holds a formula and not its value; no text of a workbook can hold it."""
_SHEET_ROWS = 1024
_FORMULA = re.compile(rb"<(\w+:)?f[\s/>]")
_PIECE, _OVERLAP = 1 << 20, 64


def check_workbook(path: Path, key: str) -> None:
    """Refuses a workbook that would unpack to more than is allowed.

    Raises:
        DataError: It would.
    """
    with path.open("rb") as file:
        check_zip_directory(key, file)
    with ZipFile(path) as parts:
        size = sum(part.file_size for part in parts.infolist())
    if size > limits.MAX_WORKBOOK_BYTES:
        allowed = f"more than the {limits.MAX_WORKBOOK_BYTES:,} allowed (MAX_WORKBOOK_BYTES)"
        raise DataError(f"{key} unpacks to {size:,} bytes, {allowed}")


def sheet_rows(path: Path, key: str, columns: Columns) -> Iterator[list[str]]:
    """Yields the rows of the sheet that is read, blank ones too; a formula without its value is `NO_VALUE`.

    Programs other than Excel may save formulas alone; read as blank, the ids of all patients would be missing.

    Raises:
        DataError: The sheet is missing, or it is beyond a limit.
    """
    import openpyxl

    # Opened here: a workbook that fails to load would leave its file open.
    with path.open("rb") as file:
        with _unwarned():
            sheets = openpyxl.load_workbook(file, read_only=True, data_only=True).worksheets
        if not sheets:
            raise DataError(f"{key} has no sheet with cells, only charts", hint="Save the table as a sheet, or as CSV.")
        at = _chosen_sheet(sheets, key, columns)
        if not _has_formulas(path):
            yield from ([text_of(cell) for cell in row] for row in _rows(sheets[at], key, values_only=True))
            return
        with path.open("rb") as again:
            with _unwarned():
                formulas = openpyxl.load_workbook(again, read_only=True).worksheets[at]
            pairs = zip(_rows(sheets[at], key), _rows(formulas, key), strict=True)
            yield from (list(map(_text, row, originals)) for row, originals in pairs)


def _text(cell: Any, original: Any) -> str:
    # A formula may well have a blank result, which is stored as text without characters.
    without = cell.value is None and cell.data_type == "n" and original.data_type == "f"
    return NO_VALUE if without else text_of(cell.value)


def _has_formulas(path: Path) -> bool:
    """Tells whether any sheet of a workbook has a formula, without reading its cells."""
    with ZipFile(path) as parts:
        for name in parts.namelist():
            if name.startswith("xl/worksheets/"):
                with parts.open(name) as part:
                    before = b""
                    while piece := part.read(_PIECE):
                        if _FORMULA.search(before + piece):
                            return True
                        before = piece[-_OVERLAP:]
    return False


def _chosen_sheet(sheets: Sequence[Any], key: str, columns: Columns) -> int:
    """Returns the place of the sheet of the wanted name, or of the first visible one, and notes the others."""
    names = [str(sheet.title) for sheet in sheets]
    if columns.sheet is not None and columns.sheet not in names:
        raise DataError(f"{key} has no sheet {columns.sheet!r}", hint=f"It has: {', '.join(names)}.")
    visible = next((at for at, sheet in enumerate(sheets) if sheet.sheet_state == "visible"), 0)
    chosen = names.index(columns.sheet) if columns.sheet is not None else visible
    others = [name for name in names if name != names[chosen]]
    hidden = {name for name, sheet in zip(names, sheets, strict=True) if sheet.sheet_state != "visible"}
    if others and columns.sheet is None:
        shown = [f"{name} (hidden)" if name in hidden else name for name in others[:5]]
        listed = f"{', '.join(shown)}{f' and {len(others) - 5} more' if len(others) > 5 else ''}"
        option = shlex.quote(f"sheet={others[0]}") if len(others) == 1 else "sheet=NAME"
        columns.notes.append(
            f"{key}: read the first {'visible ' if chosen else ''}sheet, {names[chosen]!r}; not read: {listed} "
            f"(--option {option} reads {'it' if len(others) == 1 else 'another'})"
        )
    return chosen


def _rows(sheet: Any, key: str, *, values_only: bool = False) -> Iterator[tuple[Any, ...]]:
    """Yields the rows of a sheet; openpyxl gives a row for every number that is left out, however many."""
    sheet.reset_dimensions()  # what a workbook says of its own size is often wrong
    rows = sheet.iter_rows(values_only=values_only)
    for _ in range(0, limits.MAX_WORKBOOK_ROWS, _SHEET_ROWS):
        with _unwarned():
            some = list(islice(rows, _SHEET_ROWS))
        yield from some
        if len(some) < _SHEET_ROWS:
            return
    raise too_long(key, f"{limits.MAX_WORKBOOK_ROWS:,} rows by their numbers (MAX_WORKBOOK_ROWS)")


@contextmanager
def _unwarned() -> Iterator[None]:
    """Silences openpyxl, which warns of what it cannot show, such as a date without meaning, and reads the rest."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
