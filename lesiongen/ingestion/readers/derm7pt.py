"""derm7pt, the seven-point checklist dataset (Kawahara et al. 2019): two photographs of each case."""

from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import ClassVar

from lesiongen.concepts.experts import SEVEN_POINT_VALUES, seven_point_report
from lesiongen.errors import DataError
from lesiongen.ingestion.config import IngestConfig
from lesiongen.ingestion.readers import fields
from lesiongen.ingestion.readers.labels import LABEL_CHOICES, own_label
from lesiongen.ingestion.rows import Field, FieldError, Reader, Rejection, Row
from lesiongen.ingestion.sources.images import ImageIndex
from lesiongen.ingestion.sources.source import Source
from lesiongen.ingestion.tables.reading import TableRow, read_table
from lesiongen.storage import Storage

__all__ = ["Derm7ptReader"]

SPLIT_TABLES = {"train": "train_indexes.csv", "validation": "valid_indexes.csv", "test": "test_indexes.csv"}
IMAGE_TYPES = {"clinic": "clinical", "derm": "dermoscopic"}
COLUMNS = ("case_num", "diagnosis", *SEVEN_POINT_VALUES, "elevation", "location", "sex", *IMAGE_TYPES)


class Derm7ptReader(Reader):
    """Reads meta/meta.csv, the photographs below images, and the published split beside the table.

    Left out are ``seven_point_score`` and ``level_of_diagnostic_difficulty``, which are judgements of the diagnosis,
    ``management``, which follows from it, and ``notes``.
    """

    source = "derm7pt"
    title = "derm7pt (Seven-Point Checklist)"
    homepage = "https://derm.cs.sfu.ca"
    licence = "research use only (derm.cs.sfu.ca)"
    attribution = (
        "Kawahara, J., Daneshvar, S., Argenziano, G. & Hamarneh, G. Seven-point checklist and skin lesion "
        "classification using multitask multimodal neural nets. IEEE J. Biomed. Health Inform. 23, 538-546 (2019)"
    )
    expects = (
        "meta/meta.csv with case_num, diagnosis, the seven structures, elevation, location, sex, clinic, derm",
        "meta/train_indexes.csv, valid_indexes.csv, test_indexes.csv with indexes (rows of meta.csv, from 0)",
        "images/ with the photographs that clinic and derm name",
    )
    options: ClassVar = {
        "images": "both, clinic, derm: which photographs of a case",
        "label": LABEL_CHOICES,
    }

    def __init__(self, config: IngestConfig) -> None:
        super().__init__(config)
        images = self.choice("images", "both", *IMAGE_TYPES)
        self.columns = tuple(IMAGE_TYPES) if images == "both" else (images,)
        self.label = self.choice("label", "taxonomy", "own")

    def read(self, storage: Source) -> Iterator[Row | Rejection]:
        """Yields the photographs of every case, then those without a case."""
        index = ImageIndex(storage)
        table = index.find_table("meta.csv")
        folder = (PurePosixPath(table).parent.parent / "images").as_posix()
        splits = _official_splits(storage, index)
        number = -1
        for number, item in enumerate(read_table(storage, table, COLUMNS)):
            if isinstance(item, Rejection):
                yield item
                continue
            for column in self.columns:
                yield self._row(item, column, folder, splits.get(number), index)
        _check_splits(splits, number + 1)
        if len(self.columns) == len(IMAGE_TYPES):
            yield from index.unnamed(table)
        else:
            yield from index.unreadable()

    def _row(self, row: TableRow, column: str, folder: str, split: str | None, index: ImageIndex) -> Row | Rejection:
        image, diagnosis, case = row.field(column), row.field("diagnosis"), row.field("case_num")
        try:
            if not case.text:
                raise FieldError(case, "is blank; the two photographs of a case could not be kept together")
            key = index.of_path(image, folder)
            values: dict[str, str | float | None] = {
                "lesion_id": case.text,
                "case_id": case.text,
                "sex": fields.sex(row.field("sex")),
                "site": fields.known(row.field("location")),
                "image_type": IMAGE_TYPES[column],
                "official_split": split,
                "concepts": _concepts(row, column),
            }
        except FieldError as error:
            return row.reject(error.field, error.reason)
        if self.label == "own" and diagnosis.text:
            values["diagnosis"] = own_label(diagnosis.text)
        # A photograph may belong to two cases of one patient: the name of the case distinguishes its images.
        return Row(row.table, row.line, image, key, f"{case.text}-{column}", diagnosis, values)


def _concepts(row: TableRow, column: str) -> str:
    """Keeps what the experts saw; the seven structures are those of dermoscopy, a clinical photograph lacks them."""
    structures = tuple(SEVEN_POINT_VALUES) if column == "derm" else ()
    values: dict[str, str] = {}
    for name in (*structures, "elevation"):
        values[name] = row.field(name).text
        try:
            seven_point_report({name: values[name]})
        except ValueError as error:
            raise FieldError(row.field(name), str(error)) from error
    return seven_point_report(values).to_text()


def _official_splits(storage: Storage, index: ImageIndex) -> dict[int, str]:
    """Returns the published split of each row of meta.csv; nothing where none of its three tables is there."""
    splits: dict[int, str] = {}
    if not any(map(index.holds_table, SPLIT_TABLES.values())):
        return splits
    for split, name in SPLIT_TABLES.items():
        for row in read_table(storage, index.find_table(name), ("indexes",)):
            number = _index(row, splits)
            splits[number] = split
    return splits


def _index(row: TableRow | Rejection, earlier: dict[int, str]) -> int:
    if isinstance(row, Rejection):
        raise DataError(str(row))
    field: Field = row.field("indexes")
    if not field.text.isdecimal():
        raise DataError(str(row.reject(field, "is not a row number of meta.csv (counted from 0)")))
    if int(field.text) in earlier:
        raise DataError(str(row.reject(field, f"is a row of the {earlier[int(field.text)]} split already")))
    return int(field.text)


def _check_splits(splits: dict[int, str], rows: int) -> None:
    if splits and max(splits) >= rows:
        raise DataError(
            f"{SPLIT_TABLES[splits[max(splits)]]} names row {max(splits)} of meta.csv, which has {rows} rows",
            hint="The rows are counted from 0. Is meta.csv whole, and in its own order?",
        )
