"""Which of a folder's tables hold ISIC's diagnoses, which hold more about the same images, and the two joined."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from lesiongen.concepts.experts import DERMOSCOPIC_FEATURES
from lesiongen.errors import DataError
from lesiongen.ingestion.likely_format import likely_format
from lesiongen.ingestion.rows import Field, FieldError, Rejection
from lesiongen.ingestion.sources.images import ImageIndex
from lesiongen.ingestion.tables.reading import TableRow, read_table, table_header
from lesiongen.storage import Storage

__all__ = ["EDITIONS", "Edition", "JoinedRow", "Tables", "check_readable", "find_tables", "split_in_name"]

_CC_BY_NC = "CC BY-NC 4.0"


@dataclass(frozen=True)
class Edition:
    """A form in which the ISIC publishes diagnoses.

    Attributes:
        name: What the option ``edition`` calls it.
        key: Column that names the image.
        needs: The columns by which such a table is known.
        licence: Licence of its images; None where each row states its own.
        attribution: Whom to name; None where each row names them.
        classes: Columns of which exactly one is 1; empty where the diagnosis is written out.
    """

    name: str
    key: str
    needs: tuple[str, ...]
    licence: str | None = None
    attribution: str | None = None
    classes: tuple[str, ...] = ()


_2017 = (
    "Codella, N. C. F. et al. Skin lesion analysis toward melanoma detection: a challenge at the 2017 "
    "International Symposium on Biomedical Imaging, hosted by the International Skin Imaging Collaboration (2018)"
)
_2018 = (
    "Codella, N. et al. Skin lesion analysis toward melanoma detection 2018: a challenge hosted by the International "
    "Skin Imaging Collaboration (2019); Tschandl, P., Rosendahl, C. & Kittler, H. The HAM10000 dataset (2018)"
)
_2019 = (
    "BCN_20000 Dataset (Department of Dermatology, Hospital Clinic de Barcelona); HAM10000 Dataset (ViDIR Group, "
    "Department of Dermatology, Medical University of Vienna); MSK Dataset (anonymous)"
)
_2020 = (
    "Rotemberg, V. et al. A patient-centric dataset of images and metadata for identifying melanomas using clinical "
    "context. Sci. Data 8, 34 (2021); ISIC 2020 challenge dataset, https://doi.org/10.34970/2020-ds01"
)
EDITIONS = (
    Edition("2017", "image_id", ("image_id", "dx", "age", "sex"), "CC0-1.0", _2017),
    Edition("2017", "image_id", ("image_id", "melanoma", "seborrheic_keratosis"), "CC0-1.0", _2017),
    Edition(
        "2018",
        "image",
        ("image", "AKIEC", "MEL", "NV"),
        _CC_BY_NC,
        _2018,
        ("MEL", "NV", "BCC", "AKIEC", "BKL", "DF", "VASC"),
    ),
    Edition(
        "2019",
        "image",
        ("image", "AK", "SCC", "MEL", "NV"),
        _CC_BY_NC,
        _2019,
        ("MEL", "NV", "BCC", "AK", "BKL", "DF", "VASC", "SCC", "UNK"),
    ),
    Edition("2020", "image_name", ("image_name", "diagnosis"), _CC_BY_NC, _2020),
    Edition("archive", "isic_id", ("isic_id", "diagnosis")),
    Edition("archive", "isic_id", ("isic_id", "diagnosis_1")),
)
_OF_HAM10000 = {"dx_type", "localization"}
_KEYS = ("image", "image_id", "image_name", "isic_id")
COLUMNS = (
    *dict.fromkeys(column for edition in EDITIONS for column in (*edition.needs, *edition.classes)),
    *("lesion_id", "patient_id", "age_approx", "age_approximate", "fitzpatrick_skin_type", "image_type", "split"),
    *("anatom_site_general", "anatom_site_general_challenge", *(f"anatom_site_{level}" for level in range(1, 6))),
    *(f"diagnosis_{level}" for level in range(2, 6)),
    *("image_manipulation", "copyright_license", "attribution", "image_name_1", "image_name_2"),
    *DERMOSCOPIC_FEATURES,
)
"""Every column that is read, of any edition."""
_ABOUT_IMAGES = {"lesion_id", "patient_id", "age_approx", "age_approximate", "sex", "anatom_site_general"}
_SPLIT_IN_NAME = re.compile(r"(?<![a-z])(training|train|validation|test)(?![a-z])", re.IGNORECASE)


@dataclass
class Tables:
    """The tables of a source: those of diagnoses, and by image what further tables say, and twins."""

    edition: Edition
    labels: list[str]
    about: dict[str, TableRow] = field(default_factory=dict)
    twins: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class JoinedRow:
    """A row of diagnoses with what a further table says of the same image."""

    label: TableRow
    about: TableRow | None

    def field(self, *columns: str) -> Field:
        """Returns the first of the columns that is not blank, of the row of diagnoses before the further one."""
        fields = [row.field(column) for row in self._rows() for column in columns if column in row.cells]
        return next((found for found in fields if found.text), fields[0] if fields else Field(columns[0], ""))

    def reject(self, error: FieldError) -> Rejection:
        """Returns a rejection that names the table which the refused value comes from."""
        row = next((row for row in self._rows() if row.field(error.field.column) == error.field), self.label)
        return row.reject(error.field, error.reason, error.kind)

    def _rows(self) -> Iterator[TableRow]:
        yield self.label
        if self.about:
            yield self.about

    @property
    def published_split(self) -> str | None:
        """The split that a challenge's file name states (``ISIC2018_Task3_Training_GroundTruth.csv``)."""
        return split_in_name(self.label.table)


def split_in_name(table: str) -> str | None:
    """Returns the split that a table's file name states."""
    named = _SPLIT_IN_NAME.search(PurePosixPath(table).name.replace("_", " "))
    return named[1].lower() if named else None


def find_tables(storage: Storage, index: ImageIndex, wanted: str) -> Tables:
    """Finds the tables of diagnoses by their columns, and reads the further ones.

    Args:
        storage: The source.
        index: Its listing; archives in it are looked into where there is no table of diagnoses without them, or not
            every image that it names.
        wanted: Name of an edition, or ``any`` where the source holds one only.

    Raises:
        DataError: No table, or tables of several editions, hold diagnoses.
    """
    headers, found = _diagnoses(storage, index)
    chosen = {key: edition for key, edition in found.items() if wanted in ("any", edition.name)}
    if _lacks_images(storage, index, chosen) and index.look_into_archives():
        headers, found = _diagnoses(storage, index)
        # Tables of diagnoses that lie outside of archives win over those within.
        chosen = chosen or {key: edition for key, edition in found.items() if wanted in ("any", edition.name)}
    if not chosen:
        _no_table(storage, index, headers, wanted)
    if len({edition for edition in chosen.values()}) > 1:
        listed = "; ".join(f"{key} ({edition.name})" for key, edition in chosen.items())
        one = next(iter(chosen.values())).name
        raise DataError(
            f"{storage.uri} holds diagnoses in several forms: {listed}",
            hint=f"Say which to read, for example --option edition={one}, or keep one of them in the source.",
        )
    tables = Tables(next(iter(chosen.values())), _fullest(chosen, headers))
    for key in headers.keys() - found.keys():
        _read_further(storage, key, headers[key], tables)
    return tables


def _diagnoses(storage: Storage, index: ImageIndex) -> tuple[dict[str, list[str]], dict[str, Edition]]:
    """Returns the columns of every table, and the edition of those that hold diagnoses."""
    headers = {
        key: table_header(storage, key, (*COLUMNS, *_OF_HAM10000))
        for key in index.tables
        if PurePosixPath(key).suffix.lower() == ".csv"
    }
    return headers, {key: edition for key, header in headers.items() if (edition := _edition(header))}


def _lacks_images(storage: Storage, index: ImageIndex, labels: Mapping[str, Edition]) -> bool:
    rows = (
        (row, edition) for key, edition in labels.items() for row in read_table(storage, key, edition.needs, COLUMNS)
    )
    stems = (row.field(edition.key).text for row, edition in rows if isinstance(row, TableRow))
    return not labels or index.lacks_any(stems)


def _edition(header: list[str]) -> Edition | None:
    # HAM10000's own table has all that ISIC 2017 needs, but other images under another licence.
    if set(header) >= _OF_HAM10000:
        return None
    return next((edition for edition in EDITIONS if set(edition.needs) <= set(header)), None)


def _fullest(labels: Mapping[str, Edition], headers: Mapping[str, list[str]]) -> list[str]:
    """Leaves out ISIC 2020's first table where its second version, which adds the lesions, is there too."""
    with_lesions = [key for key in labels if "lesion_id" in headers[key]]
    return with_lesions if with_lesions and labels[with_lesions[0]].name == "2020" else list(labels)


def check_readable(storage: Storage, headers: Mapping[str, list[str]]) -> None:
    """Says so where the delimiter or the encoding of a table is the reason why it is not known by its columns.

    Raises:
        DataError: It is.
    """
    for key, header in headers.items():
        if len(header) == 1 or "\ufffd" in "".join(header):
            next(read_table(storage, key, ("image",)), None)


def _no_table(storage: Storage, index: ImageIndex, headers: Mapping[str, list[str]], wanted: str) -> None:
    check_readable(storage, headers)
    likely = likely_format(storage, index.tables, headers)
    held = "; ".join(f"{key} with {', '.join(header)}"[:200] for key, header in headers.items()) or "no CSV table"
    forms = sorted({f"{', '.join(edition.needs)} ({edition.name})" for edition in EDITIONS}, key=lambda form: form[-5:])
    of_edition = "" if wanted == "any" else f" of edition {wanted}"
    question = likely or "Is this the right --format?"
    raise DataError(
        f"{storage.uri} contains no table of diagnoses{of_edition}: {held}",
        hint=f"A table needs the columns {'; or '.join(forms)}.{index.not_read} {question}",
    )


def _read_further(storage: Storage, key: str, header: list[str], tables: Tables) -> None:
    if {"image_name_1", "image_name_2"} <= set(header):
        _read_twins(storage, key, tables)
        return
    name = next((column for column in _KEYS if column in header), None)
    if name is None or not _ABOUT_IMAGES & set(header):
        return
    for row in _good_rows(storage, key, name):
        image = row.field(name).text
        earlier = tables.about.setdefault(image, row)
        if earlier is not row:
            # Two tables may each know a part (2018: lesions; the archive: ages); the first to say something counts.
            cells = {**row.cells, **{column: text for column, text in earlier.cells.items() if text}}
            tables.about[image] = TableRow(earlier.table, earlier.line, cells, earlier.spelled)


def _read_twins(storage: Storage, key: str, tables: Tables) -> None:
    """Gives images that ISIC 2020's list of duplicates binds one name, that of the first in order."""
    for row in _good_rows(storage, key, "image_name_1"):
        first, second = (_root(tables.twins, row.field(f"image_name_{number}").text) for number in (1, 2))
        tables.twins.update({max(first, second): min(first, second), min(first, second): min(first, second)})
    for image in list(tables.twins):
        tables.twins[image] = _root(tables.twins, image)


def _root(twins: dict[str, str], image: str) -> str:
    """Returns the first of an image's twins; those on the way to it lead there directly from now on."""
    passed = []
    while twins.get(image, image) != image:
        passed.append(image)
        image = twins[image]
    twins.update(dict.fromkeys(passed, image))
    return image


def _good_rows(storage: Storage, key: str, name: str) -> Iterator[TableRow]:
    for row in read_table(storage, key, (name,), COLUMNS):
        if isinstance(row, Rejection):
            raise DataError(str(row), hint="Correct the row, or leave this table out of the source.")
        yield row
