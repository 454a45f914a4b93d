"""ISIC 2017 (Codella et al. 2018): one table of diagnoses, patients and dermoscopic concepts."""

import json
from collections.abc import Iterator

from lesiongen.concepts import read_report
from lesiongen.ingest import fields
from lesiongen.ingest.images import ImageIndex
from lesiongen.ingest.rows import FieldError, Reader, Rejection, Row
from lesiongen.ingest.tables import TableRow, read_table
from lesiongen.storage import Storage

__all__ = ["CONCEPTS", "IsicReader"]

TABLE = "metadata.csv"
CONCEPTS = ("pigment_network", "negative_network", "streaks", "milia_like_cyst", "globules")


class IsicReader(Reader):
    """Reads metadata.csv (image_id, split, dx, age, sex, five dermoscopic concepts) and the images below it."""

    source = "isic2017"
    title = "ISIC challenges and archive"
    homepage = "https://challenge.isic-archive.com/data"
    expects = (
        "metadata.csv in any folder",
        "columns image_id, dx, age, sex",
        "images named by image_id in any folder",
    )
    licence = "CC0-1.0"
    attribution = (
        "Codella, N. C. F. et al. Skin lesion analysis toward melanoma detection: a challenge at the 2017 "
        "International Symposium on Biomedical Imaging, hosted by the International Skin Imaging Collaboration (2018)"
    )

    def read(self, storage: Storage) -> Iterator[Row | Rejection]:
        """Yields every row of the table, then the images without a row."""
        index = ImageIndex(storage, ignore=("_segmentation", "_superpixels"))
        table = index.find_table(storage, TABLE)
        for item in read_table(storage, table, ("image_id", "dx", "age", "sex")):
            yield item if isinstance(item, Rejection) else self._row(item, index)
        yield from index.unnamed(table)

    def _row(self, row: TableRow, index: ImageIndex) -> Row | Rejection:
        image = row.field("image_id")
        try:
            key = index.of_stem(image)
            values = {
                "lesion_id": fields.known(row.field("lesion_id")),
                "patient_id": fields.known(row.field("patient_id")),
                "age": fields.age(row.field("age")),
                "sex": fields.sex(row.field("sex")),
                "official_split": fields.official_split(row.field("split")),
                "image_type": "dermoscopic",
                "concepts": _concepts(row),
            }
        except FieldError as error:
            return row.reject(error.field, error.reason)
        return Row(row.table, row.line, image, key, image.text, row.field("dx"), values)


def _concepts(row: TableRow) -> str | None:
    """Keeps the experts' marks of a row as a report; a concept that was not annotated is left out."""
    marks = {name: _mark(row, name) for name in CONCEPTS}
    found = {name: mark for name, mark in marks.items() if mark is not None}
    return read_report(json.dumps(found)).to_text() if found else None


def _mark(row: TableRow, name: str) -> int | None:
    field = row.field(name)
    if field.text in ("", "0", "1", "0.0", "1.0"):
        return int(float(field.text)) if field.text else None
    raise FieldError(field, "is neither 1 nor 0 nor blank")
