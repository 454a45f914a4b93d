"""What happens to rows that cannot be used."""

import csv
import io
from collections.abc import Sequence
from dataclasses import astuple, fields

from lesiongen.errors import DataError
from lesiongen.ingest.config import IngestConfig
from lesiongen.ingest.rows import Rejection
from lesiongen.storage import Storage

__all__ = ["REJECTED_NAME", "check_rejections", "write_rejections"]

REJECTED_NAME = "rejected.csv"
LISTED = 20


def check_rejections(config: IngestConfig, source: str, accepted: int, rejected: Sequence[Rejection]) -> None:
    """Fails where the configuration allows no rejected row, or fewer than there are.

    Raises:
        DataError: The message lists the first rejected rows.
    """
    total = accepted + len(rejected)
    if total == 0:
        raise DataError(f"{source} holds no row", hint="The table has a header and nothing below it.")
    if not rejected:
        return
    listed = "".join(f"\n  {item}" for item in rejected[:LISTED])
    more = f"\n  and {len(rejected) - LISTED:,} more" if len(rejected) > LISTED else ""
    message = f"{len(rejected):,} of {total:,} rows of {source} cannot be used:{listed}{more}"
    if config.on_error == "fail":
        raise DataError(message, hint="Correct them, or leave such rows out with --on-error reject.")
    if accepted == 0 or len(rejected) / total > config.max_rejected:
        raise DataError(
            message, hint=f"At most {config.max_rejected:.0%} may be rejected (--max-rejected): correct the source."
        )


def write_rejections(storage: Storage, rejected: Sequence[Rejection]) -> None:
    """Lists the rejected rows in a table beside the dataset."""
    text = io.StringIO()
    table = csv.writer(text)
    table.writerow([field.name for field in fields(Rejection)])
    table.writerows(map(_inert, astuple(item)) for item in rejected)
    storage.write_text(REJECTED_NAME, text.getvalue())


def _inert(cell: str | int | None) -> str | int | None:
    """Keeps a spreadsheet from running what a stranger's table holds: a formula gets an apostrophe in front."""
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(("=", "+", "-", "@")) else cell
