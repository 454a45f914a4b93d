"""The ISIC's challenges of 2017 to 2020, and its archive's metadata."""

from collections.abc import Iterator
from dataclasses import dataclass

from lesiongen.concepts import dermoscopic_report
from lesiongen.concepts.experts import DERMOSCOPIC_FEATURES
from lesiongen.dataset import FIRST_LEVELS, MALIGNANCY, resolve_diagnosis
from lesiongen.ingestion.config import IngestConfig
from lesiongen.ingestion.readers import fields
from lesiongen.ingestion.readers.isic_tables import COLUMNS, EDITIONS, Edition, JoinedRow, Tables, find_tables
from lesiongen.ingestion.readers.isic_values import image_type, licence, marked_class
from lesiongen.ingestion.rows import NO_TABLE_DIAGNOSES, NOT_DIAGNOSED, Field, FieldError, Reader, Rejection, Row
from lesiongen.ingestion.sources.images import ImageIndex
from lesiongen.ingestion.sources.source import Source
from lesiongen.ingestion.tables.reading import TableRow, read_table

__all__ = ["IsicReader"]

_SITES = (
    "anatom_site_general",
    "anatom_site_general_challenge",
    *(f"anatom_site_{level}" for level in range(5, 0, -1)),
)
_DIAGNOSES = ("diagnosis", *(f"diagnosis_{level}" for level in range(5, 0, -1)))


@dataclass(frozen=True)
class _Diagnosis:
    field: Field
    code: str | None


class IsicReader(Reader):
    """Reads ISIC's tables of diagnoses, known by their columns, and further tables of the same images beside them.

    How a diagnosis was confirmed, whether a lesion is benign, and what a pathologist measured are left out: they give
    the diagnosis away.
    """

    source = "isic"
    title = "ISIC challenges 2017 to 2020 and ISIC archive"
    licence = "CC0-1.0 (2017), CC BY-NC 4.0 (2018 to 2020), each image's own (archive)"
    attribution = "International Skin Imaging Collaboration (ISIC); each row names the contributors"
    homepage = "https://challenge.isic-archive.com/data"
    expects = (
        "one edition's table of diagnoses in any folder, known by its columns:",
        "2017: image_id, melanoma, seborrheic_keratosis (or image_id, dx, age, sex); 2018: image and MEL to VASC;",
        "2019: image and MEL to UNK; 2020: image_name, diagnosis; archive: isic_id, diagnosis or diagnosis_1 to _5",
        "further tables of the same images (metadata, LesionGroupings, duplicates) beside it",
        "images named by that column in any folder",
    )
    options = {"edition": "any, 2017, 2018, 2019, 2020 or archive: which tables to read where there are several"}

    def __init__(self, config: IngestConfig) -> None:
        super().__init__(config)
        self._edition = self.choice("edition", "any", *dict.fromkeys(edition.name for edition in EDITIONS))

    def read(self, storage: Source) -> Iterator[Row | Rejection]:
        """Yields every row of the tables of diagnoses, then the images without a row."""
        index = ImageIndex(storage, ignore=("_segmentation", "_superpixels"))
        tables = find_tables(storage, index, self._edition)
        for table in tables.labels:
            for item in read_table(storage, table, tables.edition.needs, COLUMNS):
                yield item if isinstance(item, Rejection) else self._row(item, tables, index)
        # A challenge's test images come with a table of patients, and no diagnosis to score them by.
        undiagnosed = {
            image: about.reject(None, NO_TABLE_DIAGNOSES, "excluded") for image, about in tables.about.items()
        }
        yield from index.unnamed(" or ".join(tables.labels), elsewhere=undiagnosed)

    def _row(self, label: TableRow, tables: Tables, index: ImageIndex) -> Row | Rejection:
        image = label.field(tables.edition.key)
        row = JoinedRow(label, tables.about.get(image.text))
        try:
            key = index.of_stem(image)
            diagnosis = self._diagnosis(row, tables.edition)
            values = _values(row, tables.edition)
        except FieldError as error:
            return row.reject(error)
        values["case_id"] = tables.twins.get(image.text)
        if diagnosis.code:
            values["diagnosis"] = diagnosis.code
        return Row(label.table, label.line, image, key, image.text, diagnosis.field, values)

    def _diagnosis(self, row: JoinedRow, edition: Edition) -> _Diagnosis:
        if edition.classes:
            found = marked_class(row.label, edition.classes)
        elif "melanoma" in edition.needs:
            found = _part_3(row.label)
        elif edition.name == "archive":
            return self._archive_diagnosis(row.label)
        else:
            found = row.label.field("dx" if "dx" in row.label.cells else "diagnosis")
        return _Diagnosis(self._not_unknown(found), None)

    def _archive_diagnosis(self, row: TableRow) -> _Diagnosis:
        """Takes the most exact diagnosis, and the class of the most exact one that the taxonomy knows."""
        stated = [found for column in _DIAGNOSES if fields.known(found := row.field(column))]
        below = [found.text for found in stated if found.text.lower() not in FIRST_LEVELS]
        codes = [code for text in below if (code := resolve_diagnosis(text)) and code not in MALIGNANCY]
        exact = stated[0] if stated else row.field("diagnosis" if "diagnosis" in row.cells else "diagnosis_1")
        # What lies above the first level with a class says no more than benign or malignant.
        only_malignancy = exact.text.lower() in FIRST_LEVELS
        blank = Field(exact.column, "" if only_malignancy else exact.text)
        self._not_unknown(blank, exact)
        return _Diagnosis(exact, codes[0] if codes else None)

    def _not_unknown(self, found: Field, shown: Field | None = None) -> Field:
        if fields.known(found) is None and self.config.unknown_diagnosis == "reject":
            raise FieldError(shown or found, NOT_DIAGNOSED, "excluded")
        return found


def _part_3(row: TableRow) -> Field:
    """Returns ISIC 2017's class: what is neither melanoma nor seborrheic keratosis is a nevus."""
    melanoma, keratosis = row.field("melanoma"), row.field("seborrheic_keratosis")
    marks = fields.mark(melanoma), fields.mark(keratosis)
    if None in marks:
        raise FieldError(melanoma if marks[0] is None else keratosis, "is blank; it has to be 1 or 0")
    if all(marks):
        raise FieldError(keratosis, "is 1, and so is melanoma; a lesion is one of them")
    return Field("melanoma", "melanoma" if marks[0] else "seborrheic keratosis" if marks[1] else "nevus")


def _values(row: JoinedRow, edition: Edition) -> dict[str, str | float | None]:
    tone = fields.skin_tone(row.field("fitzpatrick_skin_type"), "fitzpatrick")
    split = row.label.field("split")
    return {
        "lesion_id": fields.known(row.field("lesion_id")),
        "patient_id": fields.known(row.field("patient_id")),
        "age": fields.age(row.field("age_approx", "age_approximate", "age")),
        "sex": fields.sex(row.field("sex")),
        "site": fields.known(row.field(*_SITES)),
        "skin_tone": tone,
        "skin_tone_scale": "fitzpatrick" if tone else None,
        "skin_tone_source": "metadata" if tone else None,
        "image_type": image_type(row.field("image_type")) if edition.licence is None else "dermoscopic",
        "official_split": fields.official_split(split if split.text else Field("file", row.published_split or "")),
        "concepts": _concepts(row.label),
        "provenance": fields.provenance(row.field("image_manipulation")),
        "source": f"isic_{edition.name}" if edition.licence is None else f"isic{edition.name}",
        "licence": edition.licence or licence(row.label.field("copyright_license")),
        "attribution": edition.attribution or fields.known(row.label.field("attribution")),
    }


def _concepts(row: TableRow) -> str | None:
    """Keeps the experts' marks of a row as a report; a feature that was not annotated is left out."""
    marks = {name: mark for name in DERMOSCOPIC_FEATURES if (mark := fields.mark(row.field(name))) is not None}
    return dermoscopic_report(marks).to_text() if marks else None
