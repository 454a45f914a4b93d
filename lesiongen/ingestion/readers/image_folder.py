"""A folder of images with a table, in the layout of Hugging Face's ``imagefolder``."""

from collections import Counter
from collections.abc import Iterator, Mapping
from functools import lru_cache
from itertools import chain
from pathlib import PurePosixPath
from urllib.parse import unquote, urlsplit

from lesiongen.dataset import resolve_diagnosis
from lesiongen.errors import DataError, UsageError
from lesiongen.ingestion.config import IngestConfig
from lesiongen.ingestion.likely_format import likely_format
from lesiongen.ingestion.notes import looks_like_ids
from lesiongen.ingestion.readers import fields
from lesiongen.ingestion.rows import Field, FieldError, Reader, Rejection, Row
from lesiongen.ingestion.sources.file_names import composed
from lesiongen.ingestion.sources.images import ABSOLUTE, NOT_THERE, ImageIndex
from lesiongen.ingestion.sources.source import Source
from lesiongen.ingestion.tables.reading import TableRow, read_table
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
    "split": ("split", "official_split"),
    "caption": ("caption", "text"),
    "concepts": ("concepts",),
    "licence": ("licence", "license"),
    "attribution": ("attribution",),
    "image_manipulation": ("image_manipulation",),
}


_NAME_FILES = "Name the column with the images' files: --column file_name=NAME."


class ImageFolderReader(Reader):
    """Reads the tables of a folder and the images that they name, or a folder's images by the folders they lie in.

    Tables are metadata.csv, .jsonl or .parquet, at the top or in one folder for each split, or of a name that is
    given. Without any table, an image's folder is its diagnosis, and a folder above it may be its split
    (``train/melanoma/1.jpg``).

    Raises:
        UsageError: A canonical column does not exist.
    """

    title = "A folder of images, with or without a table"
    licence = None
    attribution = None
    homepage = "https://huggingface.co/docs/datasets/image_dataset"
    expects = (
        "metadata.csv, metadata.jsonl or metadata.parquet, at the top or in one folder for each split,",
        "or a table of any name (--option table=NAME), with columns file_name and diagnosis, others as --column says",
        "images at the paths that file_name gives, from the table's folder",
        "or no table, and images in folders named by diagnosis: melanoma/1.jpg, train/melanoma/1.jpg",
    )
    options = {
        "table": "metadata.csv, metadata.jsonl, metadata.parquet, or another CSV, JSONL, Parquet or Excel file",
        "sheet": "the first that is visible, or the name of another sheet of an Excel file",
        "skin_tone_scale": "blank, fitzpatrick, ddi or another name: the scale of skin_tone where no column says it",
        "match": "path, name or stem: whether file_name is a path, a file's name in any folder, or that without ending",
    }

    def __init__(self, config: IngestConfig) -> None:
        super().__init__(config)
        self.columns = config.columns
        if unknown := sorted(set(self.columns) - set(ALIASES)):
            raise UsageError(f"columns: unknown canonical column {unknown[0]!r}", hint=f"Known: {', '.join(ALIASES)}.")
        self.source = config.source_name or "image_folder"
        self.licence = config.licence
        self.attribution = config.attribution
        self._scale = config.options.get("skin_tone_scale", "").lower()
        self._stems: dict[str, str] = {}
        self._keeps_split = config.keep_official_split
        self._match = self.choice("match", "path", "name", "stem")

    def read(self, storage: Source) -> Iterator[Row | Rejection]:
        """Yields every row of every table, then the images without a row; or every image, without a table."""
        index = ImageIndex(storage)
        name = self.config.options.get("table")
        names = (name,) if name else TABLES
        tables = _tables_named(index, *names)
        by_folder = not name and _folders_are_labels(index)
        if not tables and not by_folder:
            packed = not index.keys
            if index.look_into_archives():
                tables = _tables_named(index, *names)
                by_folder = packed and not name and _folders_are_labels(index)
        if not tables and by_folder:
            _check_folders(storage, index)
            yield from (_row_of_image(key, index) for key in index.take_all())
            yield from index.unreadable()
            return
        _check_tables(storage, index, tables, *names)
        for table in tables:
            yield from self._rows(storage, table, index)
        yield from index.unnamed(" or ".join(tables))

    def _rows(self, storage: Storage, table: str, index: ImageIndex) -> Iterator[Row | Rejection]:
        checked = table.endswith(".jsonl")  # each of whose lines names its own columns
        files = self.columns.get("file_name", "file_name")
        known = (*self.columns.values(), *chain.from_iterable(ALIASES.values()))
        unread: dict[str, None] = {}
        names_read: set[str] = set()
        columns: tuple[tuple[str, ...], Mapping[str, str]] | None = None
        for item in read_table(
            storage, table, [files], known, remedy=_NAME_FILES, sheet=self.config.options.get("sheet"), notes=self.notes
        ):
            if isinstance(item, TableRow):
                if not checked:
                    self._check_labelled(item)
                    checked = True
                if (named := (tuple(item.cells), item.spelled)) != columns:  # in a CSV file all rows have the same
                    columns = named
                    used = {name: self._field(item, name).column for name in ALIASES}
                    names_read |= {name for name, column in used.items() if column in item.cells}
                    read = {column for name, column in used.items() if name != "split" or self._keeps_split}
                    unread |= dict.fromkeys(item.spelled.get(name, name) for name in item.cells if name not in read)
            yield item if isinstance(item, Rejection) else self._row(item, index)
        if unread:
            self.notes.append(f"{table}: columns that are not read: {', '.join(unread)}")
            self.notes += looks_like_ids(unread, names_read)
            if "split" in names_read and not self._keeps_split:
                self.notes.append(f"{table}: the column with a split is not read: --keep-official-split keeps it")

    def _check_labelled(self, row: TableRow) -> None:
        if self._field(row, "diagnosis").column not in row.cells:
            raise DataError(
                f"{row.table} has no column {' or '.join(map(repr, ALIASES['diagnosis']))}",
                hint=f"It has: {row.header}. Name the one with the diagnosis: --column diagnosis=NAME.",
            )

    def _row(self, row: TableRow, index: ImageIndex) -> Row | Rejection:
        image = self._field(row, "file_name")
        folder = _folder_of(row.table)
        try:
            key = self._key(row, image, folder, index)
            diagnosis = self._field(row, "diagnosis")
            values = self._values(row, folder)
        except FieldError as error:
            return row.reject(error.field, error.reason)
        image_id = self._field(row, "image_id").text or index.image_id(key)
        return Row(row.table, row.line, image, key, image_id, diagnosis, values)

    def _key(self, row: TableRow, image: Field, folder: str, index: ImageIndex) -> str:
        named = _named_by_address(image) if "://" in image.text else image
        try:
            if named is not image or self._match == "name":
                return index.of_name(named, any_ending=self._match == "stem")
            return index.of_stem(named) if self._match == "stem" else index.of_path(named, folder)
        except FieldError as error:
            if error.reason == ABSOLUTE and (elsewhere := index.elsewhere(named)):
                reason = f"{ABSOLUTE}, or add --option match=name, which finds {elsewhere} by its name"
                raise FieldError(image, reason) from error
            found = self._found_otherwise(row, named, index) if error.reason == NOT_THERE else None
            raise FieldError(image, f"{error.reason}, but {found}" if found else error.reason) from error

    def _found_otherwise(self, row: TableRow, image: Field, index: ImageIndex) -> str | None:
        """Returns where an image of a row is that was not found, and which options find it there."""
        if self._match == "path" and (elsewhere := index.elsewhere(image)):
            return f"{elsewhere} is there: add --option match=name"
        if not self._stems:
            self._stems = {PurePosixPath(key).stem: key for key in index.keys}
        if self._match != "stem" and (key := self._stems.get(PurePosixPath(image.text).name)):
            return f"{key} is there: add --option match=stem"
        for column, text in row.cells.items():
            key = self._stems.get(PurePosixPath(text.strip()).stem)
            if key and column != image.column:
                suffix = PurePosixPath(text.strip()).suffix.lower() == PurePosixPath(key).suffix.lower()
                match = "name" if suffix else "stem"
                return f"column {column} names {key}: add --column file_name={column} --option match={match}"
        return None

    def _values(self, row: TableRow, folder: str) -> dict[str, str | float | None]:
        recorded = self._field(row, "skin_tone")
        scale = (fields.known(self._field(row, "skin_tone_scale")) or self._scale).lower() or None
        tone = fields.skin_tone(recorded, scale)
        if tone and not scale:
            raise FieldError(recorded, "has no scale: add --option skin_tone_scale=fitzpatrick, or ddi")
        plain = ("lesion_id", "patient_id", "case_id", "site", "device", "caption")
        return {
            **{name: fields.known(self._field(row, name)) for name in plain},
            "age": fields.age(self._field(row, "age")),
            "sex": fields.sex(self._field(row, "sex")),
            "skin_tone": tone,
            "skin_tone_scale": scale if tone else None,
            "skin_tone_source": "metadata" if tone else None,
            "image_type": fields.image_type(self._field(row, "image_type")),
            "official_split": self._split(row) or _split_of_folder(folder),
            "concepts": fields.report(self._field(row, "concepts")),
            "provenance": fields.provenance(self._field(row, "image_manipulation")),
            "licence": fields.known(self._field(row, "licence")) or self.licence,
            "attribution": fields.known(self._field(row, "attribution")) or self.attribution,
        }

    def _split(self, row: TableRow) -> str | None:
        # Not asked for, a column of that name may hold anything: the folds of a cross-validation, for one.
        split = self._field(row, "split")
        return fields.official_split(split) if self._keeps_split else None

    def _field(self, row: TableRow, name: str) -> Field:
        if name in self.columns:
            if self.columns[name] not in row.cells:
                raise DataError(
                    f"{row.table} has no column {self.columns[name]!r}, which was given for {name!r}",
                    hint=f"It has: {row.header}.",
                )
            return row.field(self.columns[name])
        for alias in ALIASES[name]:
            if alias in row.cells:
                return row.field(alias)
        return row.field(name)


def _named_by_address(image: Field) -> Field:
    """Returns the file's name in an address on the web, which is the last part of its path."""
    try:
        path = urlsplit(image.text).path
    except ValueError as error:
        raise FieldError(image, "is not a valid web address") from error
    return Field(image.column, unquote(PurePosixPath(path).name))


@lru_cache(maxsize=1)
def _folder_of(table: str) -> str:
    """Returns the folder of a table, which is asked for at each of its rows."""
    return PurePosixPath(table).parent.as_posix()


def _tables_named(index: ImageIndex, *names: str) -> list[str]:
    return [key for key in index.tables if key in names or PurePosixPath(key).name in names]


def _check_tables(storage: Storage, index: ImageIndex, tables: list[str], *names: str) -> None:
    if not tables:
        likely = likely_format(storage, index.tables)
        held = ", ".join(index.tables[:5]) or "no table at all"
        raise DataError(
            f"{storage.uri} contains none of {', '.join(names)}",
            hint=f"It holds: {held}.{index.not_read} A table needs a column file_name (--option table=NAME says "
            f"which it is); without one, images are in folders named by diagnosis. {likely or 'Is --format right?'}",
        )
    folder, count = Counter(PurePosixPath(key).parent for key in tables).most_common(1)[0]
    if count > 1:
        raise DataError(f"{storage.uri}/{folder} holds {count} tables", hint=f"Keep one of {', '.join(names)}.")


def _folders_are_labels(index: ImageIndex) -> bool:
    """Tells whether images lie in several folders or in one that names a diagnosis; ``images`` alone does not."""
    labels = {PurePosixPath(key).parent.name for key in index.keys}
    return len(labels) > 1 or any(resolve_diagnosis(label) for label in labels)


def _check_folders(storage: Storage, index: ImageIndex) -> None:
    """Refuses a collection that has a format of its own and folders that name no diagnosis."""
    labels = {PurePosixPath(key).parent.name for key in index.keys}
    likely = None if any(map(resolve_diagnosis, labels)) else likely_format(storage, index.tables)
    if likely:
        raise DataError(f"{storage.uri}: no folder of images is named by a diagnosis", hint=likely)


def _row_of_image(key: str, index: ImageIndex) -> Row | Rejection:
    path = PurePosixPath(key)
    # macOS takes accented letters apart in names of folders, which are the classes here.
    image, label = Field("file", path.name), Field("folder", composed(path.parent.name))
    if not label.text:
        return Rejection(key, None, None, None, "lies in no folder, which would be its diagnosis")
    try:
        index.of_path(image, path.parent.as_posix())
    except FieldError as error:
        return Rejection(key, None, None, None, error.reason)
    split = next((found for part in path.parts[:-2] if (found := _split_of_folder(part))), None)
    values: dict[str, str | float | None] = {"official_split": split}
    return Row(key, None, image, key, index.image_id(key), label, values)


def _split_of_folder(folder: str) -> str | None:
    try:
        return fields.official_split(Field("folder", PurePosixPath(folder).name))
    except FieldError:
        return None
