"""HAM10000 (Tschandl et al. 2018), as Kaggle and the Harvard Dataverse hand it out."""

from collections.abc import Iterator

from lesiongen.ingestion.readers import fields
from lesiongen.ingestion.rows import FieldError, Reader, Rejection, Row
from lesiongen.ingestion.sources.images import ImageIndex
from lesiongen.ingestion.sources.source import Source
from lesiongen.ingestion.tables.reading import TableRow, read_table

__all__ = ["Ham10000Reader"]

# Kaggle names it so; the Harvard Dataverse leaves the suffix out, or separates by tabs.
TABLES = ("HAM10000_metadata.csv", "HAM10000_metadata", "HAM10000_metadata.tab")
COLUMNS = ("lesion_id", "image_id", "dx", "age", "sex", "localization")
# The Dataverse hands out the test images of ISIC 2018 with the collection, but they are not part of it.
OTHERS = ("ISIC2018_Task3_Test_Images", "ISIC2018_Task3_Test_Input")


class Ham10000Reader(Reader):
    """Reads HAM10000_metadata.csv and the images beside or below it.

    ``dx_type`` is left out: how a diagnosis was confirmed gives the diagnosis away.
    """

    source = "ham10000"
    title = "HAM10000"
    homepage = "https://doi.org/10.7910/DVN/DBW86T"
    expects = (
        "HAM10000_metadata.csv (HAM10000_metadata, HAM10000_metadata.tab) in any folder",
        "columns lesion_id, image_id, dx, age, sex, localization",
        "images named by image_id in any folder",
    )
    licence = "CC BY-NC 4.0"
    attribution = (
        "Tschandl, P., Rosendahl, C. & Kittler, H. The HAM10000 dataset, a large collection of multi-source "
        "dermatoscopic images of common pigmented skin lesions. Sci. Data 5, 180161 (2018)"
    )

    def read(self, storage: Source) -> Iterator[Row | Rejection]:
        """Yields every row of the table, then the images without a row."""
        index = ImageIndex(storage, ignore=("_segmentation",), ignore_folders=OTHERS)
        table = index.find_table(*TABLES)
        for item in read_table(storage, table, COLUMNS, ("dataset",)):
            yield item if isinstance(item, Rejection) else self._row(item, index)
        yield from index.unnamed(table)

    def _row(self, row: TableRow, index: ImageIndex) -> Row | Rejection:
        image = row.field("image_id")
        try:
            key = index.of_stem(image)
            lesion = row.field("lesion_id")
            if not lesion.text:
                raise FieldError(lesion, "is blank; images of one lesion could not be kept together")
            values = {
                "lesion_id": lesion.text,
                "age": fields.age(row.field("age")),
                "sex": fields.sex(row.field("sex")),
                "site": fields.known(row.field("localization")),
                "image_type": "dermoscopic",
                "device": fields.known(row.field("dataset")),
            }
        except FieldError as error:
            return row.reject(error.field, error.reason)
        return Row(row.table, row.line, image, key, image.text, row.field("dx"), values)
