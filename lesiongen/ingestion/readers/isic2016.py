"""ISIC 2016, part 3 (Gutman et al. 2016): benign and malignant lesions, in tables without a header."""

import re
from collections.abc import Iterator
from pathlib import PurePosixPath

from lesiongen.errors import DataError
from lesiongen.ingestion.likely_format import is_isic2016, likely_format
from lesiongen.ingestion.readers import fields
from lesiongen.ingestion.readers.isic_tables import split_in_name
from lesiongen.ingestion.rows import Field, FieldError, Reader, Rejection, Row
from lesiongen.ingestion.sources.images import ImageIndex
from lesiongen.ingestion.sources.source import Source
from lesiongen.ingestion.tables.reading import TableRow, read_table, table_header

__all__ = ["Isic2016Reader"]

_COLUMNS = ("image", "class")
_LABELS = {
    **dict.fromkeys(("malignant", "1", "1.0"), "malignant"),
    **dict.fromkeys(("benign", "0", "0.0"), "benign"),
}
_NAME = re.compile(r"isbi2016_isic_part3b?_\w*groundtruth\.csv", re.IGNORECASE)


class Isic2016Reader(Reader):
    """Reads the tables of part 3, the training's words and the test's numbers, and the images that they name."""

    source = "isic2016"
    title = "ISIC 2016 (part 3)"
    homepage = "https://challenge.isic-archive.com/data/#2016"
    licence = "CC0-1.0"
    attribution = (
        "Gutman, D. et al. Skin lesion analysis toward melanoma detection: a challenge at the International Symposium "
        "on Biomedical Imaging (ISBI) 2016, hosted by the International Skin Imaging Collaboration (ISIC) (2016)"
    )
    expects = (
        "ISBI2016_ISIC_Part3_Training_GroundTruth.csv, ISBI2016_ISIC_Part3_Test_GroundTruth.csv, or both",
        "no header; two columns: the image, and benign or malignant (in the test part 0.0 or 1.0)",
        "images named by the first column in any folder (ISBI2016_ISIC_Part3_Training_Data, …_Test_Data)",
    )

    def read(self, storage: Source) -> Iterator[Row | Rejection]:
        """Yields every row of the tables, then the images without a row."""
        index = ImageIndex(storage, ignore=("_Segmentation", "_segmentation"))
        tables = _tables(storage, index)
        if not tables and index.look_into_archives():
            tables = _tables(storage, index)
        if not tables:
            raise _no_table(storage, index)
        for table in tables:
            for item in read_table(storage, table, _COLUMNS, header=_COLUMNS):
                yield item if isinstance(item, Rejection) else _row(item, index)
        yield from index.unnamed(" or ".join(tables))


def _tables(storage: Source, index: ImageIndex) -> list[str]:
    """Returns the tables that are named so, or that have an image and a class where others have a header."""
    tables = [key for key in index.tables if PurePosixPath(key).suffix.lower() == ".csv"]
    named = [key for key in tables if _NAME.fullmatch(PurePosixPath(key).name)]
    return named or [key for key in tables if is_isic2016(table_header(storage, key))]


def _no_table(storage: Source, index: ImageIndex) -> DataError:
    held = ", ".join(index.tables[:5]) or "no table at all"
    likely = likely_format(storage, index.tables)
    return DataError(
        f"{storage.uri} contains no table of ISIC 2016, part 3",
        hint=f"It holds: {held}.{index.not_read} {likely or 'Is this the right --format?'}",
    )


def _row(row: TableRow, index: ImageIndex) -> Row | Rejection:
    image, label = row.field("image"), row.field("class")
    try:
        key = index.of_stem(image)
        name = _LABELS.get(label.text.lower())
        if name is None:
            raise FieldError(label, "is neither benign nor malignant (in the test part 0.0 or 1.0)")
    except FieldError as error:
        return row.reject(error.field, error.reason, error.kind)
    split = split_in_name(row.table)
    values: dict[str, str | float | None] = {
        "image_type": "dermoscopic",
        "official_split": fields.official_split(Field("file", split or "")),
    }
    return Row(row.table, row.line, image, key, image.text, Field(label.column, name), values)
