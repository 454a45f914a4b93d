"""PAD-UFES-20 (Pacheco et al. 2020): photographs by phones, with a table of patients and lesions."""

from collections.abc import Iterator
from pathlib import PurePosixPath

from lesiongen.ingestion.readers import fields
from lesiongen.ingestion.rows import Field, FieldError, Reader, Rejection, Row
from lesiongen.ingestion.sources.images import ImageIndex
from lesiongen.ingestion.sources.source import Source
from lesiongen.ingestion.tables.reading import TableRow, read_table

__all__ = ["PadUfes20Reader"]

_NEEDED = ("patient_id", "lesion_id", "age", "gender", "fitspatrick", "region", "diagnostic", "img_id")


class PadUfes20Reader(Reader):
    """Reads metadata.csv and the photographs that it names, in imgs_part_1 to imgs_part_3 or any other folder.

    ``biopsed``, the interview (``smoke`` to ``has_sewage_system``) and the complaints (``itch`` to ``elevation``) are
    left out: every cancer was biopsied, and the interview is blank for patients without one only.
    """

    source = "pad_ufes_20"
    title = "PAD-UFES-20"
    licence = "CC BY 4.0"
    attribution = (
        "Pacheco, A. G. C. et al. PAD-UFES-20: a skin lesion dataset composed of patient data and clinical images "
        "collected from smartphones. Data in Brief 32, 106221 (2020)"
    )
    homepage = "https://doi.org/10.17632/zr7vgbcyr2.1"
    expects = (
        "metadata.csv in any folder",
        f"columns {', '.join(_NEEDED)}",
        "images named by img_id in any folder (imgs_part_1 to imgs_part_3)",
    )

    def read(self, storage: Source) -> Iterator[Row | Rejection]:
        """Yields every row of the table, then the images without a row."""
        index = ImageIndex(storage)
        table = index.find_table("metadata.csv")
        for item in read_table(storage, table, _NEEDED, ("file",)):
            yield item if isinstance(item, Rejection) else self._row(item, index)
        yield from index.unnamed(table)

    def _row(self, row: TableRow, index: ImageIndex) -> Row | Rejection:
        # Copies of a part of the collection, converted to JPEG, name their files in a column of their own.
        image = row.field("file") if row.field("file").text else row.field("img_id")
        try:
            key = index.of_name(image, any_ending=True)
            values = _values(row)
        except FieldError as error:
            return row.reject(error.field, error.reason, error.kind)
        image_id = PurePosixPath(row.field("img_id").text or image.text).stem
        return Row(row.table, row.line, image, key, image_id, row.field("diagnostic"), values)


def _values(row: TableRow) -> dict[str, str | float | None]:
    patient, lesion = _identified(row.field("patient_id")), _identified(row.field("lesion_id"))
    # The column is spelled so; some rows say UNK where others are blank.
    tone = fields.skin_tone(row.field("fitspatrick"), "fitzpatrick")
    site = fields.known(row.field("region"))
    return {
        "patient_id": patient,
        # Lesions are numbered by patient: a number occurs with several of them.
        "lesion_id": f"{patient}/{lesion}",
        "age": fields.age(row.field("age")),
        "sex": fields.sex(row.field("gender")),
        "site": site.lower() if site else None,
        "skin_tone": tone,
        "skin_tone_scale": "fitzpatrick" if tone else None,
        "skin_tone_source": "metadata" if tone else None,
        "image_type": "clinical",
    }


def _identified(field: Field) -> str:
    if not field.text:
        raise FieldError(field, "is blank; images of one patient and lesion could not be kept together")
    return field.text
