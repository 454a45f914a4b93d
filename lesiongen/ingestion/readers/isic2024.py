"""ISIC 2024 (SLICE-3D, Kurtansky et al. 2024): tiles of total-body photographs, most of them benign and no more."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import PurePosixPath
from typing import ClassVar

from lesiongen.dataset import FIRST_LEVELS, resolve_diagnosis
from lesiongen.errors import DataError
from lesiongen.ingestion.config import IngestConfig
from lesiongen.ingestion.likely_format import likely_format
from lesiongen.ingestion.readers import fields
from lesiongen.ingestion.readers.isic_tables import JoinedRow, check_readable
from lesiongen.ingestion.readers.isic_values import image_type, licence
from lesiongen.ingestion.rows import NO_TABLE_DIAGNOSES, NOT_DIAGNOSED, Field, FieldError, Reader, Rejection, Row
from lesiongen.ingestion.sources.archive_opening import ARCHIVES
from lesiongen.ingestion.sources.hdf5_images import NEEDS_H5PY, has_h5py, open_hdf5_images
from lesiongen.ingestion.sources.images import NO_ROW, SUFFIXES, ImageIndex
from lesiongen.ingestion.sources.source import Source
from lesiongen.ingestion.tables.reading import TableRow, read_table, table_header

__all__ = ["Isic2024Reader"]

_HDF5 = ("train-image.hdf5", "train-image.h5")
_LEVELS = tuple(f"iddx_{level}" for level in range(1, 6))
_MALIGNANT = ("target", "malignant")
_ABOUT = (
    *("patient_id", "lesion_id", "age_approx", "sex", "anatom_site_general", "image_type"),
    *("attribution", "copyright_license"),
)
_LABELS = ("iddx_full", *_LEVELS, *_MALIGNANT)
_KNOWN = ("isic_id", *_LABELS, *_ABOUT)


class Isic2024Reader(Reader):
    """Reads the table of diagnoses, further tables of the same images, and the images in HDF5 or as JPEG files.

    Most lesions are benign by the look of them and have no diagnosis: they are of the class benign. What the camera's
    software measured (``tbp_lv_…``) and a pathologist found (``mel_thick_mm``, ``mel_mitotic_index``) is left out.
    """

    source = "isic2024"
    title = "ISIC 2024 (SLICE-3D)"
    homepage = "https://challenge.isic-archive.com/data/#2024"
    licence = "CC BY-NC 4.0"
    attribution = (
        "International Skin Imaging Collaboration. SLICE-3D 2024 challenge dataset (2024), "
        "https://doi.org/10.34970/2024-slice-3d"
    )
    expects = (
        "train-metadata.csv with isic_id, target, iddx_full, patient_id (Kaggle),",
        "or the challenge's tables with isic_id, known by their columns: Supplement, GroundTruth, metadata.csv",
        "images in train-image.hdf5 (which need the extra hdf5), or JPEG files named by isic_id in any folder",
    )
    options: ClassVar = {
        "label": "taxonomy, malignancy: the most exact diagnosis, or benign and malignant without one; or "
        "benign and malignant for all"
    }

    def __init__(self, config: IngestConfig) -> None:
        super().__init__(config)
        self._label = self.choice("label", "taxonomy", "malignancy")
        self._images = self._without_patient = self._with_id = 0

    def read(self, storage: Source) -> Iterator[Row | Rejection]:
        """Yields every row of the table of diagnoses, then the images without a row."""
        index = ImageIndex(storage)
        hdf5 = _add_hdf5_images(storage, index)
        headers = _headers(storage, index)
        labels = _tables_of_diagnoses(headers)
        if not labels and index.look_into_archives():
            headers = _headers(storage, index)
            labels = _tables_of_diagnoses(headers)
        if not labels:
            raise _no_table(storage, index, headers)
        if hdf5 is None:
            hdf5 = _add_packed_hdf5_images(storage, index, labels)
        about = _about(storage, {key: header for key, header in headers.items() if key not in labels})
        for table in labels:
            for item in read_table(storage, table, ("isic_id",), _KNOWN):
                if isinstance(item, Rejection):
                    yield item
                else:
                    yield self._row(JoinedRow(item, about.pop(item.field("isic_id").text, None)), index)
        self._note_patients()
        undiagnosed = {image: row.reject(None, NO_TABLE_DIAGNOSES, "excluded") for image, row in about.items()}
        yield from self._unnamed(index.unnamed(" or ".join(labels), elsewhere=undiagnosed), hdf5 or set())

    def _row(self, row: JoinedRow, index: ImageIndex) -> Row | Rejection:
        image = row.label.field("isic_id")
        try:
            key = index.of_stem(image)
            diagnosis, code = self._diagnosis(row)
            values = _values(row)
        except FieldError as error:
            return row.reject(error)
        if code:
            values["diagnosis"] = code
        self._images += 1
        self._without_patient += values["patient_id"] is None
        self._with_id += bool(values["patient_id"] or values["lesion_id"])
        return Row(row.label.table, row.label.line, image, key, image.text, diagnosis, values)

    def _note_patients(self) -> None:
        """Notes how many images are of an unknown patient; images without any id are reported for all formats."""
        if self._without_patient and self._with_id:
            self.notes.append(
                f"{self._without_patient:,} of {self._images:,} images have no patient_id: photographs of one patient "
                "may be in train and test; the challenge's metadata.csv names the patients"
            )

    def _unnamed(self, unnamed: Iterator[Rejection], hdf5: Collection[str]) -> Iterator[Rejection]:
        """Yields the images without a row; those of the HDF5 file, which cannot be taken out of it, are a note."""
        strays, unreadable = 0, []
        for item in unnamed:
            if item.file not in hdf5:
                yield item
            elif item.reason.endswith(NO_ROW):
                strays += 1
            else:
                unreadable.append(item)
        if strays:
            self.notes.append(f"The HDF5 file holds {strays:,} image{'s' if strays > 1 else ''} that no row names")
        if unreadable:
            what = "1 dataset" if len(unreadable) == 1 else f"{len(unreadable):,} datasets"
            first = f"{unreadable[0].file} {unreadable[0].reason}"
            self.notes.append(f"The HDF5 file holds {what} that no row names and that cannot be read: {first}")

    def _diagnosis(self, row: JoinedRow) -> tuple[Field, str | None]:
        """Returns the label, and its class where the taxonomy does not say it."""
        full, malignancy = row.field("iddx_full", *reversed(_LEVELS)), _malignancy(row)
        if self._label == "malignancy" or not fields.known(full):
            if not malignancy.text and self.config.unknown_diagnosis == "reject":
                raise FieldError(malignancy, NOT_DIAGNOSED, "excluded")
            return malignancy, None
        return full, resolve_diagnosis(full.text) or resolve_diagnosis(full.text.partition(":")[0])


def _malignancy(row: JoinedRow) -> Field:
    """Returns benign or malignant: the challenge's target, or the first level of the diagnosis."""
    target = row.field(*_MALIGNANT)
    mark = fields.mark(target)
    if mark is not None:
        return Field(target.column, "malignant" if mark else "benign")
    first = row.field("iddx_1")
    text = (first.text or row.field("iddx_full").text.partition(":")[0]).lower()
    return Field(first.column, text if text in FIRST_LEVELS else "")


def _values(row: JoinedRow) -> dict[str, str | float | None]:
    kind = row.field("image_type")
    values = {
        "lesion_id": fields.known(row.field("lesion_id")),
        "patient_id": fields.known(row.field("patient_id")),
        "age": fields.age(row.field("age_approx")),
        "sex": fields.sex(row.field("sex")),
        "site": fields.known(row.field("anatom_site_general")),
        "image_type": image_type(kind) or "clinical",
    }
    own = {
        "licence": licence(row.field("copyright_license")),
        "attribution": fields.known(row.field("attribution")),
    }
    return values | {name: text for name, text in own.items() if text}


def _headers(storage: Source, index: ImageIndex) -> dict[str, list[str]]:
    tables = (key for key in index.tables if PurePosixPath(key).suffix.lower() == ".csv")
    return {key: table_header(storage, key, _KNOWN) for key in tables}


def _tables_of_diagnoses(headers: Mapping[str, list[str]]) -> list[str]:
    """Returns the tables with diagnoses, or else those with benign and malignant."""
    with_id = {key: set(header) for key, header in headers.items() if "isic_id" in header}
    exact = [key for key, header in with_id.items() if header & {"iddx_full", *_LEVELS}]
    return exact or [key for key, header in with_id.items() if header & set(_MALIGNANT)]


def _about(storage: Source, headers: Mapping[str, list[str]]) -> dict[str, TableRow]:
    """Returns what further tables say of an image, by its name; of many columns only those that are read are kept."""
    about: dict[str, TableRow] = {}
    for key, header in headers.items():
        wanted = [column for column in (*_MALIGNANT, *_ABOUT) if column in header]
        if "isic_id" not in header or not set(wanted) - {"target"}:  # an example of a submission
            continue
        for row in read_table(storage, key, ("isic_id",), _KNOWN):
            if isinstance(row, Rejection):
                raise DataError(str(row), hint="Correct the row, or leave this table out of the source.")
            image, cells = row.field("isic_id").text, {column: row.cells[column] for column in wanted}
            earlier = about.get(image)
            about[image] = TableRow(key, row.line, cells | (dict(earlier.cells) if earlier else {}), row.spelled)
    return about


def _no_table(storage: Source, index: ImageIndex, headers: Mapping[str, list[str]]) -> DataError:
    check_readable(storage, headers)
    held = ", ".join(index.tables[:5]) or "no table at all"
    likely = likely_format(storage, index.tables, headers)
    other = likely if likely and "isic2024" not in likely else "Is this the right --format?"
    return DataError(
        f"{storage.uri} contains no table with isic_id and iddx_full, target or malignant",
        hint=f"It holds: {held}.{index.not_read} {other}",
    )


def _add_packed_hdf5_images(storage: Source, index: ImageIndex, labels: Iterable[str]) -> set[str] | None:
    """Adds the images of an HDF5 file that lies in an archive, where images are lacking without it."""
    if not storage.closed.keys().isdisjoint(_hdf5_files(storage)):
        return None
    rows = (row for table in labels for row in read_table(storage, table, ("isic_id",), _KNOWN))
    if index.lacks_any(row.field("isic_id").text for row in rows if isinstance(row, TableRow)):
        index.look_into_archives()
    return _add_hdf5_images(storage, index)


def _add_hdf5_images(storage: Source, index: ImageIndex) -> set[str] | None:
    """Adds the images of the HDF5 file that no other file holds, and returns their keys, None without such a file.

    Without h5py the file stays closed where there are other images, and is an error where there are none.
    """
    files = _hdf5_files(storage)
    if not files:
        return None
    if len(files) > 1:
        raise DataError(
            f"{storage.uri} holds {len(files)} HDF5 files of images: {', '.join(files[:3])}",
            hint="Keep one of them in the source.",
        )
    paths = [PurePosixPath(item.key) for item in storage.list()]
    stems = {path.stem for path in paths if path.suffix.lower() in SUFFIXES}
    elsewhere = stems or any(path.name.lower().endswith(ARCHIVES) for path in paths)
    if elsewhere and not has_h5py():
        storage.closed[files[0]] = NEEDS_H5PY
        return None
    folder = str(PurePosixPath(files[0]).with_suffix(""))
    return index.add_folder(folder, open_hdf5_images(storage, files[0]), without=stems)


def _hdf5_files(storage: Source) -> list[str]:
    return [item.key for item in storage.list() if PurePosixPath(item.key).name.lower() in _HDF5]
