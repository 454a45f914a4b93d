"""A folder of images with a table, in the layout of Hugging Face's ``imagefolder``."""

from collections import Counter
from collections.abc import Iterator
from pathlib import PurePosixPath

from lesiongen.errors import DataError, UsageError
from lesiongen.ingest import fields
from lesiongen.ingest.config import IngestConfig
from lesiongen.ingest.images import ImageIndex
from lesiongen.ingest.rows import Field, FieldError, Reader, Rejection, Row
from lesiongen.ingest.tables import TableRow, read_table
from lesiongen.storage import Storage

__all__ = ["ImageFolderReader"]

TABLES = ("metadata.csv", "metadata.jsonl", "metadata.parquet")
# What a column may be called where the configuration does not name it, the first that a table has.
ALIASES: dict[str, tuple[str, ...]] = {
    "file_name": ("file_name",),
    "image_id": ("image_id",),
    "diagnosis": ("diagnosis", "dx", "label"),
    "lesion_id": ("lesion_id",),
    "patient_id": ("patient_id",),
    "case_id": ("case_id",),
    "age": ("age",),
    "sex": ("sex", "gender"),
    "site": ("site", "localization"),
    "skin_tone": ("skin_tone",),
    "skin_tone_scale": ("skin_tone_scale",),
    "image_type": ("image_type",),
    "device": ("device",),
    "official_split": ("split", "official_split"),
    "caption": ("caption", "text"),
    "concepts": ("concepts",),
}


class ImageFolderReader(Reader):
    """Reads metadata.csv, .jsonl or .parquet, at the top or in one folder for each split, and the images it names.

    Raises:
        UsageError: A canonical column does not exist.
    """

    title = "A folder of images with a table"
    licence = None
    attribution = None
    homepage = "https://huggingface.co/docs/datasets/image_dataset"
    expects = (
        "metadata.csv, metadata.jsonl or metadata.parquet, at the top or in one folder for each split",
        "columns file_name and diagnosis, others as --column says",
        "images at the paths that file_name gives",
    )

    def __init__(self, config: IngestConfig) -> None:
        super().__init__(config)
        self.columns = config.columns
        if unknown := sorted(set(self.columns) - set(ALIASES)):
            raise UsageError(f"columns: {unknown[0]!r} is no canonical column", hint=f"Known: {', '.join(ALIASES)}.")
        self.source = config.source_name or "image_folder"
        self.licence = config.licence
        self.attribution = config.attribution

    def read(self, storage: Storage) -> Iterator[Row | Rejection]:
        """Yields every row of every table, then the images without a row."""
        index = ImageIndex(storage)
        tables = _find_tables(storage, index)
        for table in tables:
            required = [self.columns.get("file_name", "file_name")]
            for item in read_table(storage, table, required):
                yield item if isinstance(item, Rejection) else self._row(item, index)
        yield from index.unnamed(" or ".join(tables))

    def _row(self, row: TableRow, index: ImageIndex) -> Row | Rejection:
        image = self._field(row, "file_name")
        folder = PurePosixPath(row.table).parent.as_posix()
        try:
            key = index.of_path(image, folder)
            diagnosis = self._field(row, "diagnosis")
            values = self._values(row, folder)
        except FieldError as error:
            return row.reject(error.field, error.reason)
        image_id = self._field(row, "image_id").text or PurePosixPath(key).with_suffix("").as_posix()
        return Row(row.table, row.line, image, key, image_id, diagnosis, values)

    def _values(self, row: TableRow, folder: str) -> dict[str, str | float | None]:
        scale = (fields.known(self._field(row, "skin_tone_scale")) or "").lower() or None
        tone = fields.skin_tone(self._field(row, "skin_tone"), scale)
        split = self._field(row, "official_split")
        plain = ("lesion_id", "patient_id", "case_id", "site", "device", "caption")
        return {
            **{name: fields.known(self._field(row, name)) for name in plain},
            "age": fields.age(self._field(row, "age")),
            "sex": fields.sex(self._field(row, "sex")),
            "skin_tone": tone,
            "skin_tone_scale": scale if tone else None,
            "skin_tone_source": "metadata" if tone else None,
            "image_type": fields.image_type(self._field(row, "image_type")),
            "official_split": fields.official_split(split) or _split_of_folder(folder),
            "concepts": fields.report(self._field(row, "concepts")),
        }

    def _field(self, row: TableRow, name: str) -> Field:
        if name in self.columns:
            if self.columns[name] not in row.cells:
                raise DataError(
                    f"{row.table} has no column {self.columns[name]!r}, which was given for {name!r}",
                    hint=f"It has: {', '.join(row.cells)}.",
                )
            return row.field(self.columns[name])
        present = (alias for alias in ALIASES[name] if alias in row.cells)
        return row.field(next(present, name))


def _find_tables(storage: Storage, index: ImageIndex) -> list[str]:
    tables = [key for key in index.tables if PurePosixPath(key).name in TABLES]
    if not tables:
        held = ", ".join(index.tables[:5]) or "no table at all"
        raise DataError(
            f"{storage.uri} holds none of {', '.join(TABLES)}",
            hint=f"It holds: {held}. An image folder needs a table with a column file_name. Is --format right?",
        )
    folder, count = Counter(PurePosixPath(key).parent for key in tables).most_common(1)[0]
    if count > 1:
        raise DataError(f"{storage.uri}/{folder} holds {count} tables", hint=f"Keep one of {', '.join(TABLES)}.")
    return tables


def _split_of_folder(folder: str) -> str | None:
    try:
        return fields.official_split(Field("folder", PurePosixPath(folder).name))
    except FieldError:
        return None
