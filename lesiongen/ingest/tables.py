"""Tables as streams of rows: CSV, JSON lines, Parquet and Excel workbooks."""

import codecs
import csv
import json
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import IO, Any, AnyStr, TextIO
from zipfile import ZipFile

from lesiongen import limits
from lesiongen.errors import DataError
from lesiongen.ingest.archive_headers import check_zip_directory
from lesiongen.ingest.rows import Field, Kind, Rejection, is_unicode
from lesiongen.storage import Storage

__all__ = ["TableRow", "read_table", "table_header"]

HEADER_SOUGHT_IN = 10
"""Rows of a workbook among which the header is sought; spreadsheets put titles above it."""
_HEADER_BYTES = 1 << 16
_PARQUET_ROWS, _SHEET_ROWS = 256, 1024
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
    """Yields the rows of a table; a row with a cell that no dataset can hold is a rejection.

    Args:
        storage: Where the table lies.
        key: Its key; ``.jsonl``, ``.parquet`` and ``.xlsx`` say the format, ``.tab`` and ``.tsv`` are separated by
            tabs, anything else is CSV (a name without suffix, as the Harvard Dataverse gives, may be either).
        required: Columns that must be there.
        remedy: What to do where one is not; by default the format is asked after.

    Raises:
        DataError: The table is no such file, beyond a limit, or a required column is missing.
    """
    with storage.fetch(key) as path:
        _check_size(path, key)
        readers: dict[str, Callable[..., Iterator[TableRow | Rejection]]] = {
            ".jsonl": _read_json_lines,
            ".parquet": _read_parquet,
            ".xlsx": _read_workbook,
        }
        try:
            rows = readers.get(path.suffix.lower(), _read_csv)(path, key, required)
            for number, row in enumerate(rows):
                if number == limits.MAX_ROWS:
                    raise _too_long(key, f"{limits.MAX_ROWS:,} rows (MAX_ROWS)")
                yield _checked(row) if isinstance(row, TableRow) else row
        except _MissingColumn as error:
            raise DataError(
                str(error.args[0]), hint=f"{error.hint} {remedy or 'Is this the right --format?'}"
            ) from error


def _check_size(path: Path, key: str) -> None:
    if (size := path.stat().st_size) > limits.MAX_TABLE_BYTES:
        raise DataError(f"{key} has {size:,} bytes, more than the {limits.MAX_TABLE_BYTES:,} allowed (MAX_TABLE_BYTES)")


def _too_long(key: str, what: str) -> DataError:
    return DataError(f"{key} has more than {what}", hint="Is this the right table? If it is, give a part of it.")


def _checked(row: TableRow) -> TableRow | Rejection:
    """Returns the row, or why no dataset can hold one of its cells."""
    for column, cell in row.cells.items():
        if len(cell) > limits.MAX_CELL_CHARACTERS:
            reason = f"has {len(cell):,} characters, more than the {limits.MAX_CELL_CHARACTERS:,} allowed"
            return row.reject(Field(column[:80], cell), f"{reason} (MAX_CELL_CHARACTERS)")
        if not is_unicode(column) or not is_unicode(cell):
            shown = Field(*(text[:80].encode("utf-8", "backslashreplace").decode() for text in (column, cell)))
            return row.reject(shown, "holds half of a surrogate pair, which is not a character")
    return row


def _lines(file: IO[AnyStr], key: str) -> Iterator[AnyStr]:
    """Yields the lines of a file as iterating over it does.

    Raises:
        DataError: A line is longer than allowed.
    """
    while line := file.readline(limits.MAX_LINE + 1):
        if len(line) > limits.MAX_LINE:
            raise _too_long(key, f"{limits.MAX_LINE:,} characters in one line (MAX_LINE)")
        yield line


def table_header(storage: Storage, key: str) -> list[str]:
    """Returns the names of a CSV table's columns; nothing where it is no text.

    Raises:
        StorageError: There is no such table.
    """
    with storage.fetch(key) as path, path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
        try:
            return _named_columns(next(csv.reader(_lines(file, key), delimiter=_delimiter(path)), []))
        except (csv.Error, DataError):
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
    rows, line = csv.reader(_lines(file, key), delimiter=delimiter, strict=True), 1
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
        header = file.readline(_HEADER_BYTES)
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
        for number, raw in enumerate(_lines(file, key), start=1):
            if raw.strip():
                row = _json_row(key, number, raw)
                if not seen and isinstance(row, TableRow):
                    _check_header(key, list(row.cells), required)
                    seen = True
                yield row


def _json_row(key: str, number: int, raw: bytes) -> TableRow | Rejection:
    try:
        values = json.loads(raw.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        return Rejection(key, number, None, None, f"is not UTF-8 text: {error}")
    except (ValueError, RecursionError) as error:
        return Rejection(key, number, None, None, f"is not JSON: {error}")
    if not isinstance(values, dict):
        return Rejection(key, number, None, None, "is not a JSON object")
    return _row_of(key, number, values)


def _row_of(key: str, number: int, values: Mapping[str, object]) -> TableRow | Rejection:
    try:
        return TableRow(key, number, {name: _text(value) for name, value in values.items()})
    except (ValueError, TypeError, OverflowError, RecursionError) as error:
        return Rejection(key, number, None, None, f"holds a value that cannot be written as text: {error}")


def _read_parquet(path: Path, key: str, required: Sequence[str]) -> Iterator[TableRow | Rejection]:
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            _check_parquet(file.metadata, key)
            _check_header(key, file.schema_arrow.names, required)
            number = 0
            for batch in file.iter_batches(batch_size=_PARQUET_ROWS):
                yield from _rows_of(batch, key, number)
                number += batch.num_rows
    except DataError:
        raise
    # Arrow's own errors, and for a damaged page an OSError, a ValueError or what codecs and thrift say.
    except Exception as error:
        raise DataError(
            f"{key} is not a Parquet file, or is damaged: {error}", hint="Save or copy it again."
        ) from error


def _check_parquet(metadata: Any, key: str) -> None:
    if metadata.num_rows > limits.MAX_ROWS:
        raise _too_long(key, f"{limits.MAX_ROWS:,} rows (MAX_ROWS)")
    size = sum(metadata.row_group(number).total_byte_size for number in range(metadata.num_row_groups))
    if size > limits.MAX_TABLE_BYTES:
        unpacked = f"unpacks to {size:,} bytes, more than the {limits.MAX_TABLE_BYTES:,} allowed (MAX_TABLE_BYTES)"
        raise DataError(f"{key} {unpacked}")


def _rows_of(batch: Any, key: str, before: int) -> Iterator[TableRow | Rejection]:
    """Yields the rows of a batch; of one that holds a value without meaning to Python, the others all the same."""
    try:
        rows = batch.to_pylist()
    except (ValueError, OverflowError) as error:  # a date beyond the year 9999, text that is not UTF-8
        if batch.num_rows > 1:
            for place in range(batch.num_rows):
                yield from _rows_of(batch.slice(place, 1), key, before + place)
            return
        yield Rejection(key, before + 1, None, None, f"holds a value that cannot be read: {error}")
        return
    yield from (_row_of(key, number, values) for number, values in enumerate(rows, start=before + 1))


def _read_workbook(path: Path, key: str, required: Sequence[str]) -> Iterator[TableRow | Rejection]:
    """Reads the first sheet, row by row; the header is the first row that names every required column."""
    try:
        with path.open("rb") as file:
            check_zip_directory(key, file)
        with ZipFile(path) as parts:
            size = sum(part.file_size for part in parts.infolist())
        if size > limits.MAX_WORKBOOK_BYTES:
            allowed = f"more than the {limits.MAX_WORKBOOK_BYTES:,} allowed (MAX_WORKBOOK_BYTES)"
            raise DataError(f"{key} unpacks to {size:,} bytes, {allowed}")
        yield from _sheet_rows(path, key, required)
    except DataError:
        raise
    except Exception as error:  # a damaged workbook fails in any of three libraries, each in its own way
        raise DataError(f"{key} is not an Excel workbook: {error}", hint="Save the table again, or as CSV.") from error


def _sheet_rows(path: Path, key: str, required: Sequence[str]) -> Iterator[TableRow]:
    import openpyxl

    # Opened here: a workbook that fails to load would leave its file open.
    with path.open("rb") as file:
        with _unwarned():
            sheet = openpyxl.load_workbook(file, read_only=True, data_only=True).worksheets[0]
        sheet.reset_dimensions()  # what a workbook says of its own size is often wrong
        rows = enumerate(([_text(cell) for cell in row] for row in _sheet(sheet, key)), start=1)
        first = list(islice(rows, HEADER_SOUGHT_IN))
        at = next((at for at, (_, cells) in enumerate(first) if set(required) <= {cell.strip() for cell in cells}), 0)
        header = [cell.strip() for cell in first[at][1]] if first else []
        _check_header(key, [name for name in header if name], required)
        for number, cells in chain(first[at + 1 :], rows):
            if any(cells):
                yield TableRow(key, number, {name: cell for name, cell in zip(header, cells, strict=False) if name})


def _sheet(sheet: Any, key: str) -> Iterator[tuple[object, ...]]:
    """Yields the rows of a sheet; openpyxl gives a row for every number that is left out, however many."""
    rows = sheet.iter_rows(values_only=True)
    for _ in range(0, limits.MAX_WORKBOOK_ROWS, _SHEET_ROWS):
        with _unwarned():
            some = list(islice(rows, _SHEET_ROWS))
        yield from some
        if len(some) < _SHEET_ROWS:
            return
    raise _too_long(key, f"{limits.MAX_WORKBOOK_ROWS:,} rows by their numbers (MAX_WORKBOOK_ROWS)")


@contextmanager
def _unwarned() -> Iterator[None]:
    """Silences openpyxl, which warns of what it cannot show, such as a date without meaning, and reads the rest."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _text(value: object) -> str:
    if value is None or value != value:  # a missing number in Parquet is NaN
        return ""
    if isinstance(value, bytes):  # what writers without UTF-8 columns make of text
        return value.decode("utf-8")
    if isinstance(value, dict | list):
        return json.dumps(value, ensure_ascii=False, default=_text)
    return str(value)


def _check_header(key: str, header: Sequence[str], required: Sequence[str]) -> None:
    missing = [name for name in required if name not in header]
    if not missing:
        if len(header) > limits.MAX_COLUMNS:
            raise _too_long(key, f"{limits.MAX_COLUMNS:,} columns (MAX_COLUMNS)")
        counts = Counter(name for name in header if name)
        if twice := next((name for name, count in counts.items() if count > 1), None):
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
