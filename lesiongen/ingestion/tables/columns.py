"""The columns of a table: known ones by any usual spelling, and what is wrong where one is missing."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from lesiongen import limits
from lesiongen.errors import DataError

__all__ = ["Columns", "MissingColumn", "check_header", "check_no_title", "too_long"]

_DELIMITERS = {";": "semicolons", "\t": "tabs", "|": "bars"}


class MissingColumn(DataError):
    """A table lacks a column that it needs."""


@dataclass(frozen=True)
class Columns:
    """The columns that a reader knows, and what of a workbook it reads."""

    required: Sequence[str]
    optional: Sequence[str] = ()
    sheet: str | None = None
    header: Sequence[str] | None = None
    """The names of the columns, where the table has no line with them."""
    notes: list[str] = field(default_factory=list)
    spelled: dict[str, str] = field(default_factory=dict)
    """The table's own names of columns that have a known one, once its header has been read."""

    def has_all(self, header: Sequence[str]) -> bool:
        """Tells whether a row names every required column."""
        return set(self.required) <= set(self.matched([name.strip() for name in header]))

    def matched(self, header: Sequence[str]) -> list[str]:
        """Returns a header with known names for columns that differ from one in case, blanks, hyphens or underscores.

        Several columns may match one name.
        """
        known = {_plain(name): name for name in reversed((*self.required, *self.optional))}
        exact = {*self.required, *self.optional}
        return [name if name in exact else known.get(_plain(name), name) for name in header]

    def named(self, key: str, header: Sequence[str]) -> list[str]:
        """Returns a header as `matched` does.

        Raises:
            DataError: Two columns match one name.
        """
        names = self.matched(header)
        for name in {*self.required, *self.optional} & set(names):
            own = list(dict.fromkeys(own for own, found in zip(header, names, strict=True) if found == name))
            if len(own) > 1:
                listed = " and ".join(map(repr, own))
                raise DataError(f"{key} has two columns for {name!r}: {listed}", hint="Rename or remove one of them.")
        self.spelled.update((name, own) for name, own in zip(names, header, strict=True) if name != own)
        return names


def _plain(name: str) -> str:
    """Reduces a column's name to what spreadsheets and people leave of it: case, blanks and signs between vary."""
    return re.sub(r"[\s_-]+", "", name).casefold()


def too_long(key: str, what: str) -> DataError:
    """Returns the error of a table beyond a limit."""
    return DataError(f"{key} has more than {what}", hint="Is this the right table? If it is, give a part of it.")


def check_no_title(key: str, rows: Sequence[tuple[int, list[str]]], columns: Columns) -> None:
    """Refuses a table with a title above its header, whose rows would be counted from the title's columns."""
    at = next((at for at, (_, cells) in enumerate(rows) if columns.has_all(cells)), 0)
    if at:
        line, title = rows[at][0], " ".join(filter(None, rows[0][1]))[:80]
        raise DataError(
            f"{key}: the header was not found in the first line, which reads {title!r}",
            hint=f"Row {line} holds the columns {', '.join(columns.required)}: remove the rows above it.",
        )


def check_header(key: str, own: Sequence[str], columns: Columns) -> list[str]:
    """Returns the header with the known names of its columns."""
    header = columns.named(key, own)
    missing = [name for name in columns.required if name not in header]
    if not missing:
        if len(header) > limits.MAX_COLUMNS:
            raise too_long(key, f"{limits.MAX_COLUMNS:,} columns (MAX_COLUMNS)")
        counts = Counter(name for name in header if name)
        if twice := next((name for name, count in counts.items() if count > 1), None):
            raise DataError(f"{key} has two columns named {twice!r}", hint="Rename or remove one of them.")
        return header
    for delimiter, words in _DELIMITERS.items():
        if len(header) == 1 and delimiter in header[0]:
            stated = "" if delimiter == "\t" else f", or write the line sep={delimiter} above its header"
            raise DataError(
                f"{key} is separated by {words}, not by commas: its header reads {header[0][:80]!r}",
                hint=f"Save the table with commas{stated}.",
            )
    others = "".join(f" {note}." for note in columns.notes if note.startswith(key))
    raise MissingColumn(
        f"{key} has no column {', '.join(repr(name) for name in missing)}",
        hint=f"It has: {', '.join(name for name in own if name) or 'nothing at all'}.{others}",
    )
