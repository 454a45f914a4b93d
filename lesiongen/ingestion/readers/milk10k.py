"""MILK10k (MILK study team 2025): a dermoscopic and a clinical photograph of each lesion."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import ClassVar

from lesiongen.dataset import resolve_diagnosis
from lesiongen.ingestion.config import IngestConfig
from lesiongen.ingestion.readers import fields
from lesiongen.ingestion.readers.isic_tables import JoinedRow
from lesiongen.ingestion.readers.isic_values import image_type, licence, marked_class
from lesiongen.ingestion.rows import NO_TABLE_DIAGNOSES, Field, FieldError, Reader, Rejection, Row
from lesiongen.ingestion.sources.images import ImageIndex
from lesiongen.ingestion.sources.source import Source
from lesiongen.ingestion.tables.reading import TableRow, read_table

__all__ = ["Milk10kReader"]

METADATA, GROUND_TRUTH = "MILK10k_Training_Metadata.csv", "MILK10k_Training_GroundTruth.csv"
SUPPLEMENT, TEST_METADATA = "MILK10k_Training_Supplement.csv", "MILK10k_Test_Metadata.csv"
CLASSES = ("AKIEC", "BCC", "BEN_OTH", "BKL", "DF", "INF", "MAL_OTH", "MEL", "NV", "SCCKA", "VASC")
_NEEDED = ("lesion_id", "isic_id", "image_type")
_KNOWN = (
    *("age_approx", "sex", "skin_tone_class", "site"),
    *("image_manipulation", "attribution", "copyright_license"),
)
_EXACT = "diagnosis_full"
# The taxonomy has one class for what is neither of its own; the challenge distinguishes benign from malignant there.
_OF_THE_CHALLENGE = {"BEN_OTH": "other benign proliferation", "MAL_OTH": "other malignant proliferation"}
_TONES = tuple("012345")


@dataclass
class _Labels:
    """The tables of diagnoses: the class of each lesion, and the exact diagnosis of each image."""

    by_lesion: dict[str, TableRow] = field(default_factory=dict)
    exact: dict[str, TableRow] = field(default_factory=dict)
    broken: list[Rejection] = field(default_factory=list)


class Milk10kReader(Reader):
    """Reads the table of images, the class of each lesion, and the exact diagnoses where they are there.

    How a diagnosis was confirmed and how thick a tumour is are left out: they give the diagnosis away. So are the
    scores of MONET: they are a model's, and no threshold says from which one on a concept is present.
    """

    source = "milk10k"
    title = "MILK10k"
    homepage = "https://doi.org/10.34970/648456"
    licence = "CC BY-NC 4.0"
    attribution = "MILK study team. MILK10k. ISIC Archive (2025), https://doi.org/10.34970/648456"
    expects = (
        f"{METADATA} with {', '.join(_NEEDED)}",
        f"{GROUND_TRUTH} with lesion_id and {', '.join(CLASSES)}",
        f"optional: {SUPPLEMENT} with isic_id and {_EXACT}, {TEST_METADATA}",
        "images named by isic_id in any folder (MILK10k_Training_Input)",
    )
    options: ClassVar = {
        "label": "taxonomy, challenge: the class of the exact diagnosis in the taxonomy, or the challenge's eleven"
    }

    def __init__(self, config: IngestConfig) -> None:
        super().__init__(config)
        self._label = self.choice("label", "taxonomy", "challenge")

    def read(self, storage: Source) -> Iterator[Row | Rejection]:
        """Yields every row of the table of images, then the images without a row."""
        index = ImageIndex(storage)
        metadata = index.find_table(METADATA)
        labels = _read_labels(storage, index)
        yield from labels.broken
        named = set()
        for item in read_table(storage, metadata, _NEEDED, _KNOWN):
            if isinstance(item, TableRow):
                named.add(item.field("lesion_id").text)
            yield item if isinstance(item, Rejection) else self._row(item, labels, index)
        self._note(labels, named)
        yield from index.unnamed(metadata, elsewhere=_of_the_test_part(storage, index))

    def _note(self, labels: _Labels, named: set[str]) -> None:
        if without := len(labels.by_lesion.keys() - named):
            self.notes.append(f"{without:,} lesion{'s' if without > 1 else ''} of {GROUND_TRUTH} not in {METADATA}")
        if self._label == "taxonomy" and not labels.exact:
            self.notes.append(f"No {SUPPLEMENT}: the lesions of BEN_OTH and MAL_OTH are of one class, other")

    def _row(self, row: TableRow, labels: _Labels, index: ImageIndex) -> Row | Rejection:
        image, lesion = row.field("isic_id"), row.field("lesion_id")
        truth = labels.by_lesion.get(lesion.text)
        joined = JoinedRow(row, truth)
        try:
            key = index.of_stem(image)
            if not lesion.text:
                raise FieldError(lesion, "is blank; the two images of a lesion could not be kept together")
            if truth is None:
                raise FieldError(lesion, f"has no row in {GROUND_TRUTH}")
            diagnosis, code = self._diagnosis(truth, labels.exact.get(image.text))
            values = _values(row)
        except FieldError as error:
            return joined.reject(error)
        if code:
            values["diagnosis"] = code
        return Row(row.table, row.line, image, key, image.text, diagnosis, values)

    def _diagnosis(self, truth: TableRow, exact: TableRow | None) -> tuple[Field, str | None]:
        """Returns the label, and its class where the taxonomy does not say it."""
        marked = marked_class(truth, CLASSES)
        if self._label == "challenge":
            return marked, _OF_THE_CHALLENGE.get(marked.text)
        stated = exact.field(_EXACT) if exact else None
        if stated is None or fields.known(stated) is None:
            return marked, None
        return stated, resolve_diagnosis(stated.text) or resolve_diagnosis(marked.text)


def _read_labels(storage: Source, index: ImageIndex) -> _Labels:
    labels = _Labels()
    classes = read_table(storage, index.find_table(GROUND_TRUTH), ("lesion_id", *CLASSES))
    _collect(classes, "lesion_id", labels.by_lesion, labels)
    if index.holds_table(SUPPLEMENT):
        exact = read_table(storage, index.find_table(SUPPLEMENT), ("isic_id", _EXACT))
        _collect(exact, "isic_id", labels.exact, labels)
    return labels


def _collect(rows: Iterable[TableRow | Rejection], column: str, found: dict[str, TableRow], labels: _Labels) -> None:
    """Takes the rows of a table by one column; those that cannot be read, or come twice, are broken."""
    for row in rows:
        if isinstance(row, Rejection):
            labels.broken.append(row)
            continue
        field = row.field(column)
        first = found.setdefault(field.text, row)
        if first is not row:
            labels.broken.append(row.reject(field, f"is there twice, first in row {first.line}"))


def _of_the_test_part(storage: Source, index: ImageIndex) -> dict[str, Rejection]:
    if not index.holds_table(TEST_METADATA):
        return {}
    rows = read_table(storage, index.find_table(TEST_METADATA), ("isic_id",))
    read = (row for row in rows if isinstance(row, TableRow))
    return {row.field("isic_id").text: row.reject(None, NO_TABLE_DIAGNOSES, "excluded") for row in read}


def _values(row: TableRow) -> dict[str, str | float | None]:
    tone = _tone(row.field("skin_tone_class"))
    site = fields.known(row.field("site"))
    kind = image_type(row.field("image_type"))
    if kind is None:
        raise FieldError(row.field("image_type"), "is blank; an image is a close-up or dermoscopic")
    values = {
        "lesion_id": row.field("lesion_id").text,
        "age": fields.age(row.field("age_approx")),
        "sex": fields.sex(row.field("sex")),
        "site": site.replace("_", " ") if site else None,
        "skin_tone": tone,
        "skin_tone_scale": "milk10k" if tone else None,
        "skin_tone_source": "metadata" if tone else None,
        "image_type": kind,
        "provenance": fields.provenance(row.field("image_manipulation")),
    }
    own = {
        "licence": licence(row.field("copyright_license")),
        "attribution": fields.known(row.field("attribution")),
    }
    return values | {name: text for name, text in own.items() if text}


def _tone(tone: Field) -> str | None:
    """Returns the class of skin tone, which is not Fitzpatrick's: 0 is very dark, 5 very light."""
    text = fields.known(tone)
    if text is None:
        return None
    number = text.removesuffix(".0")
    if number not in _TONES:
        raise FieldError(tone, "is not on MILK10k's scale (0, very dark, to 5, very light)")
    return number
