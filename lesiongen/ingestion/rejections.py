"""What happens to rows that stay out of the dataset."""

import hashlib
import re
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import astuple, fields
from pathlib import Path, PurePosixPath
from typing import get_args

from lesiongen.errors import DataError
from lesiongen.ingestion.config import IngestConfig
from lesiongen.ingestion.rows import NOT_DIAGNOSED, UNKNOWN_DIAGNOSIS, Kind, Rejection
from lesiongen.ingestion.sources.images import NO_ROW, NOT_THERE, SUFFIXES
from lesiongen.ingestion.sources.source import Source
from lesiongen.safe_csv import csv_table
from lesiongen.storage import temporary_space

__all__ = ["LEFT_OUT_NAMES", "check_rejections", "counted", "forget_kept_aside", "left_out_tables"]

LEFT_OUT_NAMES: dict[Kind, str] = {kind: f"{kind}.csv" for kind in get_args(Kind)}
"""The tables beside a dataset that list what is not in it."""
LISTED, SHOWN = 20, 5
_BY_VALUE = (UNKNOWN_DIAGNOSIS, NOT_DIAGNOSED)
_SHORTENED = re.compile(r"\d([.,]\d+)?E\+\d+(\.\w+)?", re.IGNORECASE)
_AS_TEXT = "Format the column as text in the spreadsheet, enter the names again and save the table."
_KEEP_LABELS = "If these labels are right, --unknown-diagnosis keep makes each a class of its own."
_COLUMNS = [field.name for field in fields(Rejection) if field.name != "kind"]


def check_rejections(config: IngestConfig, source: Source, accepted: int, left_out: Sequence[Rejection]) -> None:
    """Fails where the configuration allows no rejected row, or fewer than there are, or fewer missing images.

    Args:
        config: What it allows.
        source: Where the rows come from; what of it was not looked into may hold images that were not found.
        accepted: How many rows can be used.
        left_out: Those that cannot.

    Raises:
        DataError: The message lists the first of the rows.
    """
    rejected = [item for item in left_out if item.kind == "rejected"]
    if accepted + len(left_out) == 0:
        raise DataError(f"{source.uri} contains no row", hint="The table has a header and nothing below it.")
    if rejected:
        _check_rejected(config, source, accepted, rejected)
    missing = [item for item in left_out if item.kind == "missing"]
    if missing and (accepted == 0 or len(missing) / (accepted + len(missing)) > config.max_missing):
        raise DataError(
            f"{_listed(source, accepted, missing)}",
            hint=f"At most {config.max_missing:.0%} may lack their image (--set max_missing=1 allows more): is this "
            "the folder that holds the images?",
        )
    if accepted == 0 and left_out and not rejected:
        raise DataError(_listed(source, accepted, left_out), hint="The collection's authors exclude every row.")


def _check_rejected(config: IngestConfig, source: Source, accepted: int, rejected: Sequence[Rejection]) -> None:
    of_rows = [item for item in rejected if item.row is not None or not item.reason.endswith(NO_ROW)]
    # Where every row failed, no image has a row that could name it: the rows are what is wrong.
    message = _listed(source, accepted, of_rows if accepted == 0 and of_rows else rejected)
    if config.on_error == "fail":
        raise DataError(message, hint="Correct them, or leave such rows out with --on-error reject.")
    if accepted == 0 or len(rejected) / (accepted + len(rejected)) > config.max_rejected:
        raise DataError(
            message, hint=f"At most {config.max_rejected:.0%} may be rejected (--max-rejected): correct the source."
        )


def _listed(source: Source, accepted: int, rows: Sequence[Rejection]) -> str:
    lines, shown = _lines(rows)
    listed = "".join(f"\n  {line}" for line in lines)
    more = f"\n  and {len(rows) - shown:,} more; {_kept_aside(source, rows)} lists all" if len(rows) > shown else ""
    keep = f"\n{_KEEP_LABELS}" if any(item.reason in _BY_VALUE for item in rows) else ""
    hints = f"{keep}{_by_spreadsheet(source, rows)}{_closed(source, rows)}"
    return f"{counted(rows, accepted)} of {source.uri} cannot be used:{listed}{more}{hints}"


def _by_spreadsheet(source: Source, rows: Sequence[Rejection]) -> str:
    """Says where a spreadsheet may have changed the names of images that were not found."""
    names = [PurePosixPath(item.value) for item in rows if item.reason.startswith(NOT_THERE) and item.value]
    if shortened := next((str(name) for name in names if _SHORTENED.fullmatch(str(name))), None):
        return f"\n{shortened!r} is a long number as Excel shortens it. {_AS_TEXT}"
    numbers = {name.name if name.suffix not in SUFFIXES else name.stem for name in names}
    if not any(map(str.isdigit, numbers)):
        return ""
    files = (PurePosixPath(item.key) for item in source.list())
    zeros = (file for file in files if file.stem.startswith("0") and file.stem.lstrip("0") in numbers)
    if file := next(zeros, None):
        return f"\n'{file.stem.lstrip('0')}' may be {file.name}: Excel removes zeros before a number. {_AS_TEXT}"
    return ""


def _lines(rows: Sequence[Rejection]) -> tuple[list[str], int]:
    """Returns the lines that are shown, and of how many rows they are; rows with one wrong value share a line."""
    groups: dict[object, list[Rejection]] = {}
    for item in rows:
        same = (item.file, item.column, item.value, item.reason) if item.value else id(item)
        groups.setdefault(same, []).append(item)
    shown = sorted(groups.values(), key=len, reverse=True)[:LISTED] if len(groups) > LISTED else list(groups.values())
    lines = [f"{items[0]} ({len(items):,} rows)" if len(items) > 1 else str(items[0]) for items in shown]
    return lines, sum(map(len, shown))


def _closed(source: Source, rows: Sequence[Rejection]) -> str:
    """Says where images that were not found may be."""
    if not source.closed or not any(item.reason.startswith(NOT_THERE) for item in rows):
        return ""
    closed = [f"\n  {key}: {why}" for key, why in source.closed.items()]
    more = f"\n  and {len(closed) - SHOWN:,} more" if len(closed) > SHOWN else ""
    return f"\nThey may lie in what was not looked into:{''.join(closed[:SHOWN])}{more}"


def counted(left_out: Sequence[Rejection], accepted: int | None = None) -> str:
    """Returns the number of a table's rows apart from that of images and folders which no row names.

    Args:
        left_out: The rows, images and folders.
        accepted: How many rows can be used, where the number of all rows is to be reported too.
    """
    rows = sum(item.row is not None for item in left_out)
    folders = sum(item.row is None and item.file.endswith("/") for item in left_out)
    counted = [_number(len(left_out) - rows - folders, "image"), _number(folders, "folder")]
    counted.insert(0, _number(rows, "row") if accepted is None or not rows else f"{rows:,} of {accepted + rows:,} rows")
    return " and ".join(filter(None, counted))


def _number(count: int, what: str) -> str:
    return f"{count:,} {what}{'s' if count > 1 else ''}" if count else ""


def _kept_aside(source: Source, rows: Sequence[Rejection]) -> str:
    """Writes the table of rows that end a run, which has no dataset that the table could lie beside."""
    with temporary_space():
        handle, path = tempfile.mkstemp(prefix=_aside_prefix(source.uri), suffix=".csv")
        with open(handle, "w", encoding="utf-8", newline="") as file:
            file.write(_table(rows))
    return path


def forget_kept_aside(source: Source) -> None:
    """Removes the tables that earlier runs of a source have kept aside: the run that begins makes its own."""
    for path in Path(tempfile.gettempdir()).glob(f"{_aside_prefix(source.uri)}*.csv"):
        with suppress(OSError):  # another user's
            path.unlink()


def _aside_prefix(source: str) -> str:
    return f"lesiongen-rows-{hashlib.sha256(source.encode()).hexdigest()[:16]}-"


def left_out_tables(left_out: Sequence[Rejection]) -> dict[str, str | None]:
    """Returns the tables of the rows that stay out, by the names of `LEFT_OUT_NAMES`; None if no row does."""
    by_kind = {name: [item for item in left_out if item.kind == kind] for kind, name in LEFT_OUT_NAMES.items()}
    return {name: _table(rows) if rows else None for name, rows in by_kind.items()}


def _table(rows: Sequence[Rejection]) -> str:
    return csv_table(_COLUMNS, (astuple(item)[: len(_COLUMNS)] for item in rows))
