"""What a reader yields: rows that can be used, and rows that cannot with the reason."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

from lesiongen.errors import UsageError
from lesiongen.ingestion.config import IngestConfig
from lesiongen.ingestion.sources.source import Source

__all__ = [
    "NOT_DIAGNOSED",
    "NO_TABLE_DIAGNOSES",
    "UNKNOWN_DIAGNOSIS",
    "Field",
    "FieldError",
    "Kind",
    "Reader",
    "Rejection",
    "Row",
    "is_unicode",
]

Kind = Literal["rejected", "missing", "excluded"]
"""Why a row stays out: it cannot be used; its image is not at hand, as is usual for the collection; the collection's
own authors say that it is not to be used, or do not know its diagnosis."""
UNKNOWN_DIAGNOSIS = "unknown diagnosis"
NOT_DIAGNOSED = "states no diagnosis"
"""Why a row is left out by ``--unknown-diagnosis reject``."""
NO_TABLE_DIAGNOSES = "names an image of which no table states the diagnosis"
"""Why a row is left out that a challenge's test images come with."""


def is_unicode(text: str) -> bool:
    """Tells whether a text can be written as UTF-8: JSON and file names may hold half of a surrogate pair."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


@dataclass(frozen=True)
class Rejection:
    """A row or an image that stays out of the dataset.

    Attributes:
        file: The table, or the image where no table names it.
        row: Line of the file (the header is line 1); None without a row.
        column: Column, or None for the row as a whole.
        value: The value there, cut to a readable length.
        reason: What is wrong with it.
        kind: Whether that is an error, or usual for the collection.
    """

    file: str
    row: int | None
    column: str | None
    value: str | None
    reason: str
    kind: Kind = "rejected"

    def __str__(self) -> str:
        where = self.file if self.row is None else f"{self.file}, row {self.row}"
        what = f", {self.column} = {self.value!r}" if self.column else ""
        return f"{where}{what}: {self.reason}"


@dataclass(frozen=True, slots=True)
class Field:
    """A column's name and what a row holds in it."""

    column: str
    text: str


class FieldError(Exception):
    """A value of a row is refused."""

    def __init__(self, field: Field, reason: str, kind: Kind = "rejected") -> None:
        super().__init__(reason)
        self.field = field
        self.reason = reason
        self.kind = kind


@dataclass(frozen=True, slots=True)
class Row:
    """A row that its reader found in order; its image has not been opened yet.

    Attributes:
        table: Key of the table.
        line: Line of the table; None without a table, and then ``table`` is the image.
        image_field: The column that names the image.
        image_key: Key of the image in the source.
        image_id: Name of the image in the dataset.
        diagnosis: The source's own label, and its column.
        values: Further columns of the dataset's schema; ``diagnosis`` among them is taken as it is, in place of
            the taxonomy's class of the label.
    """

    table: str
    line: int | None
    image_field: Field
    image_key: str
    image_id: str
    diagnosis: Field
    values: dict[str, str | float | None]

    def reject(self, field: Field | None, reason: str, kind: Kind = "rejected") -> Rejection:
        """Returns a rejection of this row."""
        column, text = (field.column, field.text) if field else (None, None)
        return Rejection(self.table, self.line, column, text[:80] if text else text, reason, kind)


class Reader(ABC):
    """Understands one public collection.

    Args:
        config: How to read it.

    Raises:
        UsageError: The configuration has an option that this reader does not know, or refuses a value.

    Attributes:
        source: Name of the collection, in the dataset's column of that name.
        title: The collection's name as its authors write it.
        licence: Its licence; a row's own wins over it.
        attribution: Whom to name; a row's own wins over it.
        homepage: Where it is to be had.
        expects: Which table, which columns, and where the images lie, in short lines.
        options: What can be chosen, each with its choices, the default first.
        notes: What a user should know of how the source was read, once it has been.
    """

    source: str
    title: ClassVar[str]
    licence: str | None
    attribution: str | None
    homepage: ClassVar[str]
    expects: ClassVar[tuple[str, ...]]
    options: ClassVar[Mapping[str, str]] = {}

    def __init__(self, config: IngestConfig) -> None:
        if unknown := sorted(config.options.keys() - self.options.keys()):
            known = ", ".join(self.options) or "none"
            raise UsageError(
                f"option {unknown[0]!r}: the format {config.format} does not have it; its options: {known}"
            )
        self.config = config
        self.notes: list[str] = []

    def choice(self, option: str, *choices: str) -> str:
        """Returns the value given for an option, the first of the choices where none is given.

        Raises:
            UsageError: The value is not one of the choices.
        """
        value = self.config.options.get(option, choices[0])
        if value not in choices:
            raise UsageError(f"option {option} = {value!r} is not one of {', '.join(choices)}")
        return value

    @abstractmethod
    def read(self, storage: Source) -> Iterator[Row | Rejection]:
        """Yields every row of the source, in order; opens no image.

        Raises:
            DataError: The source as a whole cannot be understood: a table or a column is missing.
        """
