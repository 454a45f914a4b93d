"""Tables as streams of rows: CSV, JSON lines, Parquet and Excel workbooks."""

import codecs
import csv
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import TextIO
from zipfile import ZipFile

from lesiongen.errors import DataError
from lesiongen.ingest.rows import Field, Kind, Rejection
from lesiongen.storage import Storage

__all__ = ["TableRow", "read_table", "table_header"]

HEADER_SOUGHT_IN = 10
"""Rows of a workbook among which the header is sought; spreadsheets put titles above it."""
LARGEST_WORKBOOK = 1 << 30
LONGEST_HEADER = 1 << 16
_DELIMITERS = {";": "semicolons", "\t": "tabs", "|": "bars"}


@dataclass(frozen=True)
class TableRow:
    """One row as text; blank cells are empty."""

    table: str
    line: int
    cells: Mapping[str, str]

    def field(self, column: str) -> Field:
        """Returns a cell with its column's name; a column that the table lacks is blank."""
        return Field(column, self.cells.get(column, "").strip())

    def reject(self, field: Field | None, reason: str, kind: Kind = "rejected") -> Rejection:
        """Returns a rejection of this row."""
        column, text = (field.column, field.text[:80]) if field else (None, None)
        return Rejection(self.table, self.line, column, text, reason, kind)


class _MissingColumn(DataError):
    """A table lacks a column that it needs."""


def read_table(
    storage: Storage, key: str, required: Sequence[str], *, remedy: str | None = None
) -> Iterator[TableRow | Rejection]:
    """Yields the rows of a table.

    Args:
        storage: Where the table lies.
        key: Its key; ``.jsonl``, ``.parquet`` and ``.xlsx`` say the format, ``.tab`` and ``.tsv`` are separated by
            tabs, anything else is CSV (a name without suffix, as the Harvard Dataverse gives, may be either).
        required: Columns that must be there.
        remedy: What to do where one is not; by default the format is asked after.

    Raises:
        DataError: The table is no such file, or a required column is missing.
    """
    with storage.fetch(key) as path:
        readers: dict[str, Callable[..., Iterator[TableRow | Rejection]]] = {
            ".jsonl": _read_json_lines,
            ".parquet": _read_parquet,
            ".xlsx": _read_workbook,
        }
        try:
            yield from readers.get(path.suffix.lower(), _read_csv)(path, key, required)
        except _MissingColumn as error:
            raise DataError(
                str(error.args[0]), hint=f"{error.hint} {remedy or 'Is this the right --format?'}"
            ) from error


def table_header(storage: Storage, key: str) -> list[str]:
    """Returns the names of a CSV table's columns; nothing where it is no text.

    Raises:
        StorageError: There is no such table.
    """
    with storage.fetch(key) as path, path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
        try:
            return _named_columns(next(csv.reader(file, delimiter=_delimiter(path)), []))
        except csv.Error:
            return []


def _named_columns(cells: Sequence[str]) -> list[str]:
    """Returns a header without the blank cells at its end, which spreadsheets leave as trailing commas."""
    header = [name.strip() for name in cells]
    while header and not header[-1]:
        header.pop()
    return header


def _read_csv(path: Path, key: str, required: Sequence[str]) -> Iterator[TableRow | Rejection]:
    try:
        # utf-8-sig: spreadsheets put a byte order mark before the first column's name.
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = _csv_rows(key, file, _delimiter(path))
            header = _named_columns(next(rows, (1, []))[1])
            _check_header(key, header, required)
            for line, cells in rows:
                if any(map(str.strip, cells)):  # spreadsheets save blank rows as commas
                    yield _csv_row(key, line, header, cells)
    except UnicodeDecodeError as error:
        raise _not_utf8(path, key) from error


def _not_utf8(path: Path, key: str) -> DataError:
    """Says where a table stops being UTF-8; the decoder knows only the place within the piece that it was given."""
    with path.open("rb") as file:
        if file.read(2) in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
            return DataError(f"{key} is UTF-16 text, not UTF-8", hint="Save the table as CSV in UTF-8.")
        file.seek(0)
        for number, raw in enumerate(file, start=1):
            try:
                raw.decode("utf-8")
            except UnicodeDecodeError as error:
                shown = raw[max(0, error.start - 20) : error.start + 20].decode("latin-1").strip()
                return DataError(
                    f"{key}, row {number}: not UTF-8 text: byte {raw[error.start]:#04x} in {shown!r}",
                    hint="Save the table as CSV in UTF-8.",
                )
    return DataError(f"{key} is not UTF-8 text", hint="Save the table as CSV in UTF-8.")


def _csv_rows(key: str, file: TextIO, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Yields the cells of every row and the line where it begins; a quoted cell may have several lines.

    Raises:
        DataError: A quote is not closed, or closed within a cell: rows that follow would be taken for a part of it.
    """
    rows, line = csv.reader(file, delimiter=delimiter, strict=True), 1
    try:
        for cells in rows:
            yield line, cells
            line = rows.line_num + 1
    except csv.Error as error:
        if rows.line_num <= line and "end of data" not in str(error):
            raise DataError(f"{key}, row {line}: {error}", hint="Save the table as plain CSV.") from error
        raise DataError(
            f"{key}, row {line}: a quote opens in this row and no quote closes the cell (row {rows.line_num}: {error})",
            hint="Close it at the end of its cell; a quote that is meant is written twice.",
        ) from error


def _delimiter(path: Path) -> str:
    if path.suffix:
        return "\t" if path.suffix.lower() in (".tab", ".tsv") else ","
    with path.open("rb") as file:
        header = file.readline(LONGEST_HEADER)
    return "\t" if b"\t" in header and b"," not in header else ","


def _csv_row(key: str, line: int, header: list[str], cells: list[str]) -> TableRow | Rejection:
    # A spreadsheet ends every row, or some, with the commas of blank columns.
    if len(cells) == len(header) or (len(cells) > len(header) and not any(map(str.strip, cells[len(header) :]))):
        return TableRow(key, line, dict(zip(header, cells, strict=False)))
    reason = f"has {len(cells)} cells, the header has {len(header)} columns"
    return Rejection(key, line, None, None, reason)


def _read_json_lines(path: Path, key: str, required: Sequence[str]) -> Iterator[TableRow | Rejection]:
    seen = False
    with path.open("rb") as file:
        for number, raw in enumerate(file, start=1):
            line = raw.decode("utf-8-sig", errors="replace").strip()
            if line:
                row = _json_row(key, number, line)
                if not seen and isinstance(row, TableRow):
                    _check_header(key, list(row.cells), required)
                    seen = True
                yield row


def _json_row(key: str, number: int, line: str) -> TableRow | Rejection:
    try:
        values = json.loads(line)
    except (ValueError, RecursionError) as error:
        return Rejection(key, number, None, None, f"is not JSON: {error}")
    if not isinstance(values, dict):
        return Rejection(key, number, None, None, "is not a JSON object")
    return TableRow(key, number, {name: _text(value) for name, value in values.items()})


def _read_parquet(path: Path, key: str, required: Sequence[str]) -> Iterator[TableRow | Rejection]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            _check_header(key, file.schema_arrow.names, required)
            number = 0
            for batch in file.iter_batches(batch_size=1024):
                for values in batch.to_pylist():
                    number += 1
                    yield TableRow(key, number, {name: _text(value) for name, value in values.items()})
    except pa.ArrowException as error:
        raise DataError(f"{key} is not a Parquet file: {error}") from error


def _read_workbook(path: Path, key: str, required: Sequence[str]) -> Iterator[TableRow | Rejection]:
    """Reads the first sheet, row by row; the header is the first row that names every required column."""
    try:
        with ZipFile(path) as parts:
            size = sum(part.file_size for part in parts.infolist())
        if size > LARGEST_WORKBOOK:
            raise DataError(f"{key} unpacks to {size} bytes, more than the {LARGEST_WORKBOOK} allowed")
        yield from _sheet_rows(path, key, required)
    except DataError:
        raise
    except Exception as error:  # a damaged workbook fails in any of three libraries, each in its own way
        raise DataError(f"{key} is not an Excel workbook: {error}", hint="Save the table anew, or as CSV.") from error


def _sheet_rows(path: Path, key: str, required: Sequence[str]) -> Iterator[TableRow]:
    import openpyxl

    # Opened here: a workbook that fails to load would leave its file open.
    with path.open("rb") as file:
        sheet = openpyxl.load_workbook(file, read_only=True, data_only=True).worksheets[0]
        sheet.reset_dimensions()  # what a workbook says of its own size is often wrong
        rows = enumerate(([_text(cell) for cell in row] for row in sheet.iter_rows(values_only=True)), start=1)
        first = list(islice(rows, HEADER_SOUGHT_IN))
        at = next((at for at, (_, cells) in enumerate(first) if set(required) <= {cell.strip() for cell in cells}), 0)
        header = [cell.strip() for cell in first[at][1]] if first else []
        _check_header(key, [name for name in header if name], required)
        for number, cells in chain(first[at + 1 :], rows):
            if any(cells):
                yield TableRow(key, number, {name: cell for name, cell in zip(header, cells, strict=False) if name})


def _text(value: object) -> str:
    if value is None or value != value:  # a missing number in Parquet is NaN
        return ""
    if isinstance(value, dict | list):
        return json.dumps(value, ensure_ascii=False)
    return str(value)


def _check_header(key: str, header: Sequence[str], required: Sequence[str]) -> None:
    missing = [name for name in required if name not in header]
    if not missing:
        named = [name for name in header if name]
        if twice := next((name for name in named if named.count(name) > 1), None):
            raise DataError(f"{key} has two columns named {twice!r}", hint="Rename or remove one of them.")
        return
    for delimiter, words in _DELIMITERS.items():
        if len(header) == 1 and delimiter in header[0]:
            raise DataError(
                f"{key} is separated by {words}, not by commas: its header reads {header[0][:80]!r}",
                hint="Save the table with commas.",
            )
    raise _MissingColumn(
        f"{key} has no column {', '.join(repr(name) for name in missing)}",
        hint=f"It has: {', '.join(header) or 'nothing at all'}.",
    )
