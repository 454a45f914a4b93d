"""What a report page is made of."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from PIL import Image

__all__ = ["Block", "Callout", "Facts", "Page", "Figure", "Section", "Table", "Text"]


@dataclass(frozen=True)
class Table:
    """A table. Numbers are formatted and set flush right; ``None`` is shown as a dash.

    Attributes:
        columns: The heads.
        rows: One sequence of cells per row, as many cells as heads.
        caption: A line above the table.
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[object]]
    caption: str = ""

    def __post_init__(self) -> None:
        for number, row in enumerate(self.rows):
            if len(row) != len(self.columns):
                raise ValueError(f"row {number} has {len(row)} cells for {len(self.columns)} columns")


@dataclass(frozen=True)
class Figure:
    """An image that is kept inside the page. Consecutive small ones are shown side by side."""

    image: Image.Image
    alt: str
    caption: str = ""


@dataclass(frozen=True)
class Text:
    """Plain text; a blank line starts a new paragraph."""

    text: str


@dataclass(frozen=True)
class Facts:
    """Named values, shown as a row of figures."""

    values: Mapping[str, object]


@dataclass(frozen=True)
class Callout:
    """A sentence or two that must not be overlooked."""

    kind: Literal["good", "info", "warning", "error"]
    text: str


Block = Table | Figure | Text | Facts | Callout


@dataclass(frozen=True)
class Section:
    """A titled part of a page.

    Attributes:
        title: The heading, which the contents name too.
        blocks: What follows.
        note: Small beside the heading, such as the name by which the part is known elsewhere.
    """

    title: str
    blocks: Sequence[Block]
    note: str = ""


@dataclass
class Page:
    """A report page."""

    title: str
    subtitle: str = ""
    sections: list[Section] = field(default_factory=list)

    def add(self, section: Section) -> "Page":
        """Appends a section and returns the page."""
        self.sections.append(section)
        return self
