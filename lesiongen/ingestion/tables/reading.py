"""Tables as streams of rows: CSV, JSON lines, Parquet and Excel workbooks."""

import codecs
import csv
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain, islice
from pathlib import Path
from typing import IO, Any, AnyStr, TextIO

from lesiongen import limits
from lesiongen.errors import DataError
from lesiongen.ingestion.rows import Field, Kind, Rejection, is_unicode
from lesiongen.ingestion.tables.cells import text_of
from lesiongen.ingestion.tables.columns import Columns, MissingColumn, check_header, check_no_title, too_long
from lesiongen.ingestion.tables.workbooks import NO_VALUE, check_workbook, sheet_rows
from lesiongen.storage import Storage

__all__ = ["TableRow", "read_table", "table_header"]

HEADER_SOUGHT_IN = 10
"""Rows of a workbook among which the header is sought; spreadsheets put titles above it."""
_HEADER_BYTES = 1 << 16
_PARQUET_ROWS = 256
_SEPARATOR = re.compile(r'"?sep=([,;|:\t])"?\s*', re.IGNORECASE)
"""A first line that names the separator of the cells to Excel."""


@dataclass(frozen=True)
class TableRow:
    """One row as text; blank cells are empty."""

    table: str
    line: int
    cells: Mapping[str, str]
    spelled: Mapping[str, str] = field(default_factory=dict, compare=False, repr=False)
    """The table's own names of columns that have a known one."""

    @property
    def header(self) -> str:
        """The names of the columns as the table spells them, for a message."""
        return ", ".join(self.spelled.get(column, column) for column in self.cells)

    def field(self, column: str) -> Field:
        """Returns a cell with its column's name; a column that the table lacks is blank."""
        return Field(column, self.cells.get(column, "").strip())

    def reject(self, field: Field | None, reason: str, kind: Kind = "rejected") -> Rejection:
        """Returns a rejection of this row."""
        column, text = (self.spelled.get(field.column, field.column), field.text[:80]) if field else (None, None)
        return Rejection(self.table, self.line, column, text, reason, kind)


def read_table(
    storage: Storage,
    key: str,
    required: Sequence[str],
    optional: Sequence[str] = (),
    *,
    remedy: str | None = None,
    sheet: str | None = None,
    header: Sequence[str] | None = None,
    notes: list[str] | None = None,
) -> Iterator[TableRow | Rejection]:
    """Yields the rows of a table; a row with a cell that no dataset can hold is a rejection.

    A column whose name differs from a known one only in case, blanks, hyphens or underscores has the known name.

    Args:
        storage: Where the table lies.
        key: Its key; ``.jsonl``, ``.parquet`` and ``.xlsx`` say the format, ``.tab`` and ``.tsv`` are separated by
            tabs, anything else is CSV (a name without suffix, as the Harvard Dataverse gives, may be either).
        required: Columns that must be there.
        optional: Further columns that are known.
        remedy: What to do where a required column is not there; by default the format is asked after.
        sheet: Name of the sheet of a workbook; by default the first visible one is read.
        header: Names of the columns of a CSV table that has no line with them.
        notes: Takes what a user should know of how the table was read.

    Raises:
        DataError: The table is not such a file, beyond a limit, or a required column is missing.
    """
    with storage.fetch(key) as path:
        _check_size(path, key)
        readers: dict[str, Callable[..., Iterator[TableRow | Rejection]]] = {
            ".jsonl": _read_json_lines,
            ".parquet": _read_parquet,
            ".xlsx": _read_workbook,
        }
        if sheet is not None and path.suffix.lower() != ".xlsx":
            raise DataError(f"{key} is not an Excel file: --option sheet has no effect", hint="Leave it out.")
        try:
            columns = Columns(required, optional, sheet, header, [] if notes is None else notes)
            rows = readers.get(path.suffix.lower(), _read_csv)(path, key, columns)
            for number, row in enumerate(rows):
                if number == limits.MAX_ROWS:
                    raise too_long(key, f"{limits.MAX_ROWS:,} rows (MAX_ROWS)")
                yield _checked(replace(row, spelled=columns.spelled)) if isinstance(row, TableRow) else row
        except MissingColumn as error:
            raise DataError(
                str(error.args[0]), hint=f"{error.hint} {remedy or 'Is this the right --format?'}"
            ) from error


def _check_size(path: Path, key: str) -> None:
    if (size := path.stat().st_size) > limits.MAX_TABLE_BYTES:
        raise DataError(f"{key} has {size:,} bytes, more than the {limits.MAX_TABLE_BYTES:,} allowed (MAX_TABLE_BYTES)")


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
            raise too_long(key, f"{limits.MAX_LINE:,} characters in one line (MAX_LINE)")
        yield line


def table_header(storage: Storage, key: str, known: Sequence[str] = ()) -> list[str]:
    """Returns the names of a CSV table's columns, as `read_table` names them; empty where the file is not text.

    Two columns may match one known name, which `read_table` refuses: nobody may mean to read this table.

    Raises:
        StorageError: The table is missing.
    """
    with storage.fetch(key) as path, path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
        try:
            header = _named_columns(next(_filled(_csv_rows(key, file, _delimiter(path))), (1, []))[1])
        except DataError:
            return []
    return Columns((), known).matched(header)


def _named_columns(cells: Sequence[str]) -> list[str]:
    """Returns a header without the blank cells at its end, which spreadsheets leave as trailing commas."""
    header = [name.strip() for name in cells]
    while header and not header[-1]:
        header.pop()
    return header


def _read_csv(path: Path, key: str, columns: Columns) -> Iterator[TableRow | Rejection]:
    try:
        # utf-8-sig: spreadsheets put a byte order mark before the first column's name.
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = _filled(_csv_rows(key, file, _delimiter(path)))
            if columns.header is not None:
                yield from (_csv_row(key, line, list(columns.header), cells) for line, cells in rows)
                return
            first = list(islice(rows, HEADER_SOUGHT_IN))
            check_no_title(key, first, columns)
            header = check_header(key, _named_columns(first[0][1] if first else []), columns)
            for line, cells in chain(first[1:], rows):
                yield _csv_row(key, line, header, cells)
    except UnicodeDecodeError as error:
        raise _not_utf8(path, key) from error


def _filled(rows: Iterator[tuple[int, list[str]]]) -> Iterator[tuple[int, list[str]]]:
    """Leaves out rows without text: spreadsheets save blank rows as commas."""
    return (row for row in rows if any(map(str.strip, row[1])))


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
    lines, before = _lines(file, key), 0
    first = next(lines, "")
    if stated := _SEPARATOR.fullmatch(first):
        delimiter, before = stated[1], 1
    else:
        lines = chain([first], lines)
    rows, line = csv.reader(lines, delimiter=delimiter, strict=True), before + 1
    try:
        for cells in rows:
            yield line, cells
            line = before + rows.line_num + 1
    except csv.Error as error:
        last = before + rows.line_num
        if last <= line and "end of data" not in str(error):
            raise DataError(f"{key}, row {line}: {error}", hint="Save the table as plain CSV.") from error
        raise DataError(
            f"{key}, row {line}: a quote opens in this row and no quote closes the cell (row {last}: {error})",
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


def _read_json_lines(path: Path, key: str, columns: Columns) -> Iterator[TableRow | Rejection]:
    seen: tuple[str, ...] = ()
    header: list[str] = []
    with path.open("rb") as file:
        for number, raw in enumerate(_lines(file, key), start=1):
            if raw.strip():
                row = _json_row(key, number, raw)
                if isinstance(row, TableRow):
                    own = tuple(row.cells)
                    if own != seen:
                        header = columns.named(key, own) if seen else check_header(key, own, columns)
                        seen = own
                    row = TableRow(key, number, dict(zip(header, row.cells.values(), strict=True)))
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
        return TableRow(key, number, {name: text_of(value) for name, value in values.items()})
    except (ValueError, TypeError, OverflowError, RecursionError) as error:
        return Rejection(key, number, None, None, f"holds a value that cannot be written as text: {error}")


def _read_parquet(path: Path, key: str, columns: Columns) -> Iterator[TableRow | Rejection]:
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            _check_parquet(file.metadata, key)
            header = check_header(key, file.schema_arrow.names, columns)
            number = 0
            for batch in file.iter_batches(batch_size=_PARQUET_ROWS):
                yield from _rows_of(batch.rename_columns(header), key, number)
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
        raise too_long(key, f"{limits.MAX_ROWS:,} rows (MAX_ROWS)")
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


def _read_workbook(path: Path, key: str, columns: Columns) -> Iterator[TableRow | Rejection]:
    """Reads one sheet, row by row; the header is the first row that names every required column."""
    try:
        check_workbook(path, key)
        yield from _sheet_rows(path, key, columns)
    except DataError:
        raise
    except Exception as error:  # a damaged workbook fails in any of three libraries, each in its own way
        raise DataError(f"{key} is not an Excel workbook: {error}", hint="Save the table again, or as CSV.") from error


def _sheet_rows(path: Path, key: str, columns: Columns) -> Iterator[TableRow]:
    rows = enumerate(sheet_rows(path, key, columns), start=1)
    first = list(islice(rows, HEADER_SOUGHT_IN))
    filled = next((at for at, (_, cells) in enumerate(first) if any(map(str.strip, cells))), 0)
    at = next((at for at, (_, cells) in enumerate(first) if columns.has_all(cells)), filled)
    header = check_header(key, _named_columns(first[at][1]) if first else [], columns)
    for number, cells in chain(first[at + 1 :], rows):
        if any(cells):
            row = {name: cell for name, cell in zip(header, cells, strict=False) if name}
            yield TableRow(key, number, _with_values(key, number, row, columns) if NO_VALUE in cells else row)


def _with_values(key: str, number: int, row: Mapping[str, str], columns: Columns) -> dict[str, str]:
    """Returns a row with blanks for formulas without a value, which may be only in columns that nobody reads."""
    read = {*columns.required, *columns.optional}
    if lost := next((name for name, cell in row.items() if cell == NO_VALUE and name in read), None):
        raise DataError(
            f"{key}, column {columns.spelled.get(lost, lost)!r}, row {number}: a formula without a stored value",
            hint="Open and save the workbook in Excel, or save the table as CSV.",
        )
    return {name: "" if cell == NO_VALUE else cell for name, cell in row.items()}
