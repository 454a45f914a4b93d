"""SkinCon (Daneshjou et al. 2022): 48 concepts, marked by dermatologists on images of Fitzpatrick17k and DDI."""

from dataclasses import dataclass, field

from lesiongen.concepts.experts import SKINCON_CONCEPTS, skincon_report
from lesiongen.concepts.schema import Report
from lesiongen.ingestion.readers import fields
from lesiongen.ingestion.rows import FieldError, Rejection
from lesiongen.ingestion.sources.images import ImageIndex
from lesiongen.ingestion.tables.reading import TableRow, read_table
from lesiongen.storage import Storage

__all__ = ["SKINCON_COLUMNS", "UNUSABLE_CHOICES", "Annotations", "read_annotations", "skincon_concepts"]

UNUSABLE = "Do not consider this image"
UNUSABLE_CHOICES = f"exclude, keep: what becomes of images that SkinCon marks '{UNUSABLE}'; kept, they have no concepts"
SKINCON_COLUMNS = (*SKINCON_CONCEPTS, UNUSABLE)


@dataclass(frozen=True)
class Annotations:
    """SkinCon's table beside a collection.

    Attributes:
        by_image: Of each image's file name: the concepts, or why its row stays out.
        broken: Rows that name no image.
    """

    by_image: dict[str, Report | Rejection] = field(default_factory=dict)
    broken: list[Rejection] = field(default_factory=list)


def skincon_concepts(row: TableRow, unusable: str) -> Report:
    """Reads SkinCon's columns of a row; a concept that is blank says nothing.

    Args:
        row: The row.
        unusable: ``exclude`` or ``keep`` images that the authors say not to consider.

    Raises:
        FieldError: A mark is neither 1 nor 0, or the image is to be excluded.
    """
    verdict = row.field(UNUSABLE)
    if fields.mark(verdict):
        if unusable == "exclude":
            raise FieldError(verdict, "SkinCon's dermatologists say not to use this image", "excluded")
        return Report()
    marks = {name: fields.mark(row.field(name)) for name in SKINCON_CONCEPTS}
    return skincon_report({name: mark for name, mark in marks.items() if mark is not None})


def read_annotations(storage: Storage, index: ImageIndex, name: str, unusable: str) -> Annotations:
    """Reads SkinCon's table of a collection, if it lies beside it.

    Raises:
        DataError: It lacks one of the concepts.
    """
    found = Annotations()
    if index.holds_table(name):
        for row in read_table(storage, index.find_table(name), ("ImageID", *SKINCON_COLUMNS)):
            if isinstance(row, Rejection):
                found.broken.append(row)
            else:
                _annotate(found, row, unusable)
    return found


def _annotate(found: Annotations, row: TableRow, unusable: str) -> None:
    image = row.field("ImageID")
    if not image.text or image.text in found.by_image:
        found.broken.append(row.reject(image, "is blank, or is a duplicate of an earlier row"))
        return
    try:
        found.by_image[image.text] = skincon_concepts(row, unusable)
    except FieldError as error:
        found.by_image[image.text] = row.reject(error.field, error.reason, error.kind)
