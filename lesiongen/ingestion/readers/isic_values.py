"""What the ISIC's tables write in words of their own: licences, types of images, marked classes."""

from collections.abc import Sequence

from lesiongen.ingestion.readers import fields
from lesiongen.ingestion.rows import Field, FieldError
from lesiongen.ingestion.tables.reading import TableRow

__all__ = ["image_type", "licence", "marked_class"]

_LICENCES = {"cc-0": "CC0-1.0", "cc-by": "CC BY 4.0", "cc-by-nc": "CC BY-NC 4.0"}
_IMAGE_TYPES = {
    "tbp tile: close-up": "clinical",
    "tbp tile: overview": "clinical",
}


def image_type(field: Field) -> str | None:
    """Returns ``dermoscopic`` or ``clinical``, which tiles of total-body photographs are too."""
    if field.text.startswith("RCM"):
        raise FieldError(field, "is confocal microscopy, no photograph of the skin", "excluded")
    return _IMAGE_TYPES.get(field.text.lower()) or fields.image_type(field)


def licence(field: Field) -> str | None:
    """Returns an image's own licence."""
    return _LICENCES.get(field.text.lower()) or fields.known(field)


def marked_class(row: TableRow, classes: Sequence[str]) -> Field:
    """Returns the one class that a row marks with 1."""
    marks = {name: fields.mark(row.field(name)) for name in classes if name in row.cells}
    marked = [name for name, mark in marks.items() if mark]
    if len(marked) != 1:
        at = Field(marked[1] if marked else next(iter(marks)), "1" if marked else "0")
        what = f"{' and '.join(marked)} are 1" if marked else "none is 1"
        raise FieldError(row.field(at.column), f"exactly one of {', '.join(marks)} has to be 1, but {what}")
    return Field(marked[0], marked[0])
