"""The images that a source holds, by name."""

import unicodedata
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import PurePosixPath

from lesiongen.errors import DataError
from lesiongen.ingest.rows import Field, FieldError, Kind, Rejection
from lesiongen.storage import Storage, StoredObject

__all__ = ["ImageIndex"]

SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp", ".gif"}
# Photographs that are not read: telling of them is better than taking them for something else.
_UNREAD = {".heic", ".heif", ".avif", ".jp2", ".jxl", ".dcm", ".dng", ".cr2", ".nef", ".arw"}
_ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".7z", ".rar")
LARGEST_FILE = 256 << 20


class ImageIndex:
    """The listing of a source, read once; it remembers which images a row has named.

    Args:
        storage: The source.
        ignore: Endings of the names, without suffix, of what is no photograph.
        ignore_folders: Names of folders whose images are not to be used.
    """

    def __init__(self, storage: Storage, *, ignore: tuple[str, ...] = (), ignore_folders: tuple[str, ...] = ()) -> None:
        listing = list(storage.list())
        pictures = SUFFIXES | _UNREAD
        self.tables = [item.key for item in listing if PurePosixPath(item.key).suffix.lower() not in pictures]
        self._storage = storage
        self._images: dict[str, StoredObject] = {}
        self._by_stem: dict[str, list[str]] = {}
        for item in listing:
            path = PurePosixPath(item.key)
            usable = not path.stem.endswith(ignore) and not set(path.parts[:-1]) & set(ignore_folders)
            if path.suffix.lower() in pictures and usable:
                self._images[_composed(item.key)] = item
                self._by_stem.setdefault(_composed(path.stem), []).append(_composed(item.key))
        self._named: set[str] = set()

    @property
    def keys(self) -> list[str]:
        """Keys of all images."""
        return [item.key for item in self._images.values()]

    def find_table(self, storage: Storage, *names: str) -> str:
        """Returns the key of the one table that has one of these names, wherever it lies.

        Raises:
            DataError: There is none, or there are several.
        """
        found = [key for key in self.tables if PurePosixPath(key).name in names]
        if len(found) == 1:
            return found[0]
        what = f"{len(found)} tables named {names[0]}: {', '.join(found)}" if found else f"no table {names[0]}"
        held = ", ".join(self.tables[:5]) or f"{len(self._images)} images and no table"
        raise DataError(f"{storage.uri} holds {what}", hint=f"It holds: {held}. Is this the right --format?")

    def holds_table(self, name: str) -> bool:
        """Tells whether there is a table of this name, wherever it lies."""
        return any(PurePosixPath(key).name == name for key in self.tables)

    def of_stem(self, field: Field, *, absent: Kind = "rejected") -> str:
        """Returns the key of the image whose name without suffix is the field's text.

        Args:
            field: The column that names the image.
            absent: What it means that there is none: ``missing`` where that is usual for the collection.
        """
        return self._only(field, self._by_stem.get(_composed(field.text), []), absent)

    def of_name(self, field: Field) -> str:
        """Returns the key of the image whose file name is the field's text, in any folder."""
        return self._only(field, self._of_name(field), "rejected")

    def elsewhere(self, field: Field) -> str | None:
        """Returns the key of an image that `of_name` would find, and that is not at the path that the field gives."""
        return next((key for key in self._of_name(field) if key != _composed(field.text)), None)

    def _of_name(self, field: Field) -> list[str]:
        name = _composed(field.text)
        keys = self._by_stem.get(PurePosixPath(name).stem, [])
        alike = [key for key in keys if _ending(key) == _ending(name)]
        return [key for key in alike if PurePosixPath(key).name == name] or alike

    def _only(self, field: Field, keys: list[str], absent: Kind) -> str:
        self._named.update(keys)
        if not keys:
            raise FieldError(field, f"there is no image of this name{self._not_looked_into}", absent)
        # HAM10000 is handed on with its folders doubled; copies of one size are one image.
        if len({self._images[key].size for key in keys}) > 1:
            raise FieldError(field, f"several different images have this name: {', '.join(keys[:3])}")
        return self._checked(field, keys[0])

    def of_path(self, field: Field, folder: str) -> str:
        """Returns the key of the image at a path relative to a folder of the source."""
        path = PurePosixPath(field.text)
        if path.is_absolute() or ".." in path.parts or "\\" in field.text or ":" in field.text:
            raise FieldError(field, "leaves the folder of its table; give a path inside it")
        key = _composed((PurePosixPath(folder) / path).as_posix())
        if key not in self._images:
            beside = self._by_stem.get(PurePosixPath(key).stem, [])
            where = PurePosixPath(key).parent
            alike = [item for item in beside if _ending(item) == _ending(key) and PurePosixPath(item).parent == where]
            if len(alike) != 1:
                raise FieldError(field, f"there is no such image{self._not_looked_into}")
            key = alike[0]
        self._named.add(key)
        return self._checked(field, key)

    @cached_property
    def _not_looked_into(self) -> str:
        """Says where else an image may be: some collections are handed out as archives within a folder."""
        archives = [key for key in self.tables if key.lower().endswith(_ARCHIVES)]
        closed = [*archives, *self._storage.closed_folders()]
        if not closed:
            return ""
        more = f" and {len(closed) - 2} more" if len(closed) > 2 else ""
        what = "unpack it there" if archives else "a link to a folder is not followed"
        return f" outside {', '.join(closed[:2])}{more}, which is not looked into: {what}"

    def _checked(self, field: Field, key: str) -> str:
        size, suffix = self._images[key].size, PurePosixPath(key).suffix.lower()
        if suffix in _UNREAD:
            raise FieldError(field, f"the image {key} is no JPEG, PNG, TIFF, BMP, WebP or GIF file: convert it")
        if size == 0:
            raise FieldError(field, "the image file is empty (0 bytes)")
        if size > LARGEST_FILE:
            raise FieldError(field, f"the image file has {size} bytes, more than the {LARGEST_FILE} allowed")
        return self._images[key].key

    def unnamed(self, table: str, elsewhere: Mapping[str, Rejection] | None = None) -> Iterator[Rejection]:
        """Yields the images that no row has named.

        Args:
            table: Where such rows would be.
            elsewhere: What it means for an image, by its name without suffix, that another table names it.
        """
        for key, item in self._images.items():
            if key not in self._named:
                stray = Rejection(item.key, None, None, None, f"no row of {table} names this image")
                yield (elsewhere or {}).get(PurePosixPath(key).stem, stray)


def _composed(text: str) -> str:
    """Writes accented letters as one character each: macOS takes them apart in file names, tables do not."""
    return unicodedata.normalize("NFC", text)


def _ending(name: str) -> str:
    """Returns a name's suffix in lower case: cameras write .JPG where a table has .jpg, and mean the same file.

    The rest of a name keeps its case: derm7pt has NEL025.JPG and Nel025.jpg, which are two photographs.
    """
    return PurePosixPath(name).suffix.lower()
