"""Diverse Dermatology Images (Daneshjou et al. 2022): biopsied lesions on light, medium and dark skin."""

from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import ClassVar

from lesiongen.concepts.schema import Report
from lesiongen.dataset import DIAGNOSES, resolve_diagnosis
from lesiongen.ingestion.config import IngestConfig
from lesiongen.ingestion.readers import fields
from lesiongen.ingestion.readers.labels import own_label
from lesiongen.ingestion.readers.skincon import UNUSABLE_CHOICES, Annotations, read_annotations
from lesiongen.ingestion.rows import Field, FieldError, Reader, Rejection, Row
from lesiongen.ingestion.sources.images import ImageIndex
from lesiongen.ingestion.sources.source import Source
from lesiongen.ingestion.tables.reading import TableRow, read_table

__all__ = ["DDI_ATTRIBUTION", "DDI_LICENCE", "DdiReader"]

DDI_LICENCE = "Stanford AIMI research use agreement"
DDI_ATTRIBUTION = (
    "Daneshjou, R. et al. Disparities in dermatology AI performance on a diverse, curated clinical image set. "
    "Sci. Adv. 8, eabq6147 (2022)"
)
MALIGNANCY_COLUMNS = ("malignant", "malignancy(malig=1)")
SKINCON_TABLE = "annotations_ddi.csv"


class DdiReader(Reader):
    """Reads ddi_metadata.csv, SkinCon's annotations_ddi.csv where it is there, and the images in any folder.

    Whether a lesion is malignant is checked against its disease and otherwise left out, for it is the diagnosis.
    """

    source = "ddi"
    title = "Diverse Dermatology Images (DDI)"
    homepage = "https://ddi-dataset.github.io"
    licence = DDI_LICENCE
    attribution = DDI_ATTRIBUTION
    expects = (
        "ddi_metadata.csv with DDI_file, skin_tone, malignant (or malignancy(malig=1)), disease",
        "images named by DDI_file in any folder",
        "optional: SkinCon's annotations_ddi.csv",
    )
    options: ClassVar = {
        "label": "taxonomy, own, malignancy: the class of the disease in the taxonomy, the disease itself, or "
        "malignant and benign",
        "unusable": UNUSABLE_CHOICES,
    }

    def __init__(self, config: IngestConfig) -> None:
        super().__init__(config)
        self.label = self.choice("label", "taxonomy", "own", "malignancy")
        self.unusable = self.choice("unusable", "exclude", "keep")

    def read(self, storage: Source) -> Iterator[Row | Rejection]:
        """Yields every row of the table, then the images without a row."""
        index = ImageIndex(storage)
        table = index.find_table("ddi_metadata.csv")
        skincon = read_annotations(storage, index, SKINCON_TABLE, self.unusable)
        yield from skincon.broken
        for item in read_table(storage, table, ("DDI_file", "skin_tone", "disease"), MALIGNANCY_COLUMNS):
            yield item if isinstance(item, Rejection) else self._row(item, index, skincon)
        yield from index.unnamed(table)

    def _row(self, row: TableRow, index: ImageIndex, skincon: Annotations) -> Row | Rejection:
        image, disease = row.field("DDI_file"), row.field("disease")
        try:
            key = index.of_name(image)
            concepts = skincon.by_image.get(image.text, Report())
            if isinstance(concepts, Rejection):
                return concepts
            tone = fields.skin_tone(row.field("skin_tone"), "ddi")
            values: dict[str, str | float | None] = {
                "skin_tone": tone,
                "skin_tone_scale": "ddi" if tone else None,
                "skin_tone_source": "expert" if tone else None,
                "image_type": "clinical",
                "concepts": concepts.to_text() if list(concepts.entries()) else None,
            }
            malignant = _malignant(row, disease)
            if self.label == "malignancy":
                values["diagnosis"] = "malignant" if malignant else "benign"
            elif self.label == "own" and disease.text:
                values["diagnosis"] = own_label(disease.text)
        except FieldError as error:
            return row.reject(error.field, error.reason, error.kind)
        return Row(row.table, row.line, image, key, PurePosixPath(image.text).stem, disease, values)


def _malignant(row: TableRow, disease: Field) -> bool:
    column = next((name for name in MALIGNANCY_COLUMNS if name in row.cells), MALIGNANCY_COLUMNS[0])
    field = row.field(column)
    malignant = fields.mark(field)
    if malignant is None:
        raise FieldError(field, "is blank; every lesion of DDI was biopsied")
    diagnosis = DIAGNOSES.get(resolve_diagnosis(disease.text) or "")
    # DDI counts actinic keratoses as benign, the taxonomy as pre-malignant: no contradiction.
    if diagnosis and diagnosis.code != "akiec" and diagnosis.malignant not in (None, malignant):
        raise FieldError(field, f"contradicts the disease {disease.text!r}")
    return malignant
