"""The images that a source holds, by name."""

import re
from collections.abc import Container, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from functools import lru_cache
from pathlib import PurePosixPath

import xxhash

from lesiongen import limits
from lesiongen.errors import DataError
from lesiongen.ingestion.likely_format import likely_format
from lesiongen.ingestion.rows import Field, FieldError, Kind, Rejection
from lesiongen.ingestion.sources.file_names import composed
from lesiongen.ingestion.sources.hdf5_images import Hdf5Images
from lesiongen.ingestion.sources.source import NOT_READ, Source
from lesiongen.ingestion.sources.unreadable import Unreadable
from lesiongen.storage import StoredObject

__all__ = ["ABSOLUTE", "NOT_THERE", "NO_ROW", "ImageIndex"]

SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp", ".gif"}
# Images of one size make files of one size.
_UNCOMPRESSED = {".bmp", ".tif", ".tiff"}
# Photographs that are not read: telling of them is better than taking them for something else.
_UNREAD = {".heic", ".heif", ".avif", ".jp2", ".jxl", ".dcm", ".dng", ".cr2", ".nef", ".arw"}
# Files without which no image is missing; a table that is wanted and cannot be read says so when it is opened.
_DOCUMENTS = {
    *(".csv", ".tsv", ".tab", ".jsonl", ".parquet", ".xlsx", ".xls", ".json", ".yaml", ".yml", ".xml"),
    *(".txt", ".md", ".rst", ".pdf", ".html", ".docx", ".log", ".py", ".ipynb", ".sh"),
}
# Files that a collection brings along without an ending.
_DOCUMENT_NAMES = {
    *("readme", "license", "licence", "copying", "notice", "authors", "citation", "changelog", "contributing"),
    *("version", "manifest", "checksums", "md5sums", "sha256sums", "makefile", "dockerfile"),
}
NOT_THERE = "image not found"
"""Why a row is refused whose image is not found."""
ABSOLUTE = "is an absolute path; give a path from the folder of the table"
"""Why a row is refused whose image is named by its place on some machine."""
NO_ROW = "names this image"
"""How the reason ends why an image is refused that no row of a table names."""
_DRIVE = re.compile(r"[A-Za-z]:(?=[/\\])")


class ImageIndex:
    """The listing of a source, read once; it remembers which images a row has named.

    Archives within the source are looked into when a table or an image is not found without them.

    Args:
        source: Where the collection lies.
        ignore: Endings of the names, without suffix, of what is not a photograph.
        ignore_folders: Names of folders whose images are not to be used.
    """

    def __init__(self, source: Source, *, ignore: tuple[str, ...] = (), ignore_folders: tuple[str, ...] = ()) -> None:
        self.tables: list[str] = []
        """Keys of all files that are not images."""
        self._source = source
        self._ignore = ignore
        self._ignore_folders = set(ignore_folders)
        self._images: dict[str, StoredObject] = {}
        self._by_stem: dict[str, list[str]] = {}
        self._by_plain_path: dict[str, list[str]] = {}
        self._of_other_ending: dict[str, list[str]] = {}
        self._from_archive: dict[str, list[str]] = {}
        self._archive_of: dict[str, str] = {}
        self._unpacked_here: dict[str, str] = {}
        self._named: set[str] = set()
        self._stems_named: set[str] = set()
        self._stems_named_outside: set[str] = set()
        self._looked_into_archives = False
        self._unreadable = Unreadable()
        for item in source.list():
            self._add(item)
        for key, reason in source.unreadable.items():
            self._add_unreadable(key, reason)

    def _add(self, item: StoredObject) -> str | None:
        """Adds a file; returns the key of an image that can be used."""
        path, key = PurePosixPath(item.key), composed(item.key)
        if path.suffix.lower() not in SUFFIXES | _UNREAD:
            self.tables.append(item.key)
            return None
        if self._is_ignored(path):
            return None
        if key in self._images:
            reason = "has the same name as another file but for how its accents are stored: rename one"
            self._unreadable.add(key, reason)
            return None
        self._images[key] = item
        self._by_stem.setdefault(PurePosixPath(key).stem, []).append(key)
        self._by_plain_path.setdefault(_without_ending(key), []).append(key)
        if (lower := _lower_ending(key)) != key:
            self._of_other_ending.setdefault(lower, []).append(key)
        return key

    def _add_unreadable(self, key: str, reason: str) -> None:
        path = PurePosixPath(key)
        image = path.suffix.lower() in SUFFIXES | _UNREAD
        if not image and not key.endswith("/"):
            self.tables.append(key)
        # A broken link may have led to a folder: everything but a document counts.
        document = path.suffix.lower() in _DOCUMENTS or (not image and path.stem.lower() in _DOCUMENT_NAMES)
        if not self._is_ignored(path) and (key.endswith("/") or not document):
            self._unreadable.add(composed(key), reason)

    def _is_ignored(self, path: PurePosixPath) -> bool:
        return path.stem.endswith(self._ignore) or not self._ignore_folders.isdisjoint(path.parts[:-1])

    def look_into_archives(self) -> bool:
        """Adds what lies in archives within the source; tells whether that is anything, the first time.

        A table of the name of one that lies outside of them is left out.
        """
        if self._looked_into_archives:
            return False
        self._looked_into_archives = True
        outside = list(self.tables)
        found = self._source.open_archives()
        for folder, listing in found.items():
            for item in listing:
                if key := self._add(item):
                    self._archive_of[key] = folder
                    here = PurePosixPath(folder).parent / PurePosixPath(key).relative_to(composed(folder))
                    self._unpacked_here[key] = _lower_ending(here.as_posix())
                    self._from_archive.setdefault(self._unpacked_here[key], []).append(key)
        names = {PurePosixPath(key).name for key in outside}
        self.tables = outside + [key for key in self.tables[len(outside) :] if PurePosixPath(key).name not in names]
        return bool(found)

    def add_folder(
        self, folder: str, opening: AbstractContextManager[Hdf5Images], *, without: Container[str]
    ) -> set[str]:
        """Adds the images of an HDF5 file to the source (`Source.add_folder`).

        Returns:
            The keys of those that are new, and of those that cannot be read.
        """
        found, unreadable = self._source.add_folder(folder, opening, without=without)
        for item in found:
            self._add(item)
        for key, reason in unreadable.items():
            self._add_unreadable(key, reason)
        return {*(item.key for item in found), *unreadable}

    def lacks_any(self, stems: Iterable[str]) -> bool:
        """Tells whether of some of these names, without suffix, there is no image that an archive might hold."""
        return self._source.has_archives and any(composed(stem) not in self._by_stem for stem in stems)

    def take_all(self) -> list[str]:
        """Returns the keys of all images that are to be read.

        Of an image in a format that is not read, beside one of the same name that is, the source is told that it is
        not used (`Source.unused`).
        """
        for key in self._images:
            if self._is_beside_another(key):
                self._source.unused[self._images[key].key] = None
        return self.keys

    @property
    def keys(self) -> list[str]:
        """Keys of all images, but for those in formats that are not read beside one of the same name that is."""
        return [item.key for key, item in self._images.items() if not self._is_beside_another(key)]

    @property
    def not_read(self) -> str:
        """A sentence on what of the source cannot be read, to be put behind what it holds; blank where all can be."""
        unreadable = f" It also holds {self._unreadable.first}." if self._unreadable.first else ""
        packed = "".join(f" {key}: {NOT_READ}." for key in self._source.other_archives[:1])
        return unreadable + packed

    def image_id(self, key: str) -> str:
        """Returns the id of an image that has none in a table: its path without the ending.

        Where two images differ in nothing but their ending (``2.jpg``, ``2.png``), both ids keep it, and so does one
        whose path without the ending is another image's (``2.jpg.png``).
        """
        path = composed(key)
        plain = _without_ending(path)
        several = sum(_ending(other) in SUFFIXES for other in self._by_plain_path.get(plain, [])) > 1
        return path if several or plain in self._images else plain

    def _is_beside_another(self, key: str) -> bool:
        """Tells whether a file is in a format that is not read, and another was taken for it.

        That is one of the same path but for the ending, or one that a row has named by its name alone.
        """
        if _ending(key) not in _UNREAD:
            return False
        beside = any(_ending(other) in SUFFIXES for other in self._by_plain_path[_without_ending(key)])
        return beside or PurePosixPath(key).stem in self._stems_named

    def find_table(self, *names: str) -> str:
        """Returns the key of the one table that has one of these names, wherever it lies.

        Raises:
            DataError: No image has the name, or several have.
        """
        found = [key for key in self.tables if PurePosixPath(key).name in names]
        if len(found) == 1:
            return found[0]
        if not found and self.look_into_archives():
            return self.find_table(*names)
        if found:
            raise DataError(
                f"{self._source.uri} holds {len(found)} tables named {names[0]}: {', '.join(found)}",
                hint="Keep one of them in the source.",
            )
        likely = likely_format(self._source, self.tables)
        held = ", ".join(self.tables[:5]) or f"{len(self._images)} images and no table"
        raise DataError(
            f"{self._source.uri} contains no table {names[0]}",
            hint=f"It holds: {held}.{self.not_read} {likely or 'Is this the right --format?'}",
        )

    def holds_table(self, name: str) -> bool:
        """Tells whether there is a table of this name, wherever it lies."""
        if not self._images:  # they lie in archives, and the table may lie beside them
            self.look_into_archives()
        return any(PurePosixPath(key).name == name for key in self.tables)

    def of_stem(self, field: Field, *, absent: Kind = "rejected") -> str:
        """Returns the key of the image whose name without suffix is the field's text.

        Args:
            field: The column that names the image.
            absent: What it means that there is none: ``missing`` where that is usual for the collection.
        """
        stem = composed(field.text)
        if stem not in self._by_stem:
            self.look_into_archives()
        if stem not in self._by_stem:
            self._unreadable.check(field, self._unreadable.of_stem(stem))
        return self._only(field, self._by_stem.get(stem, []), absent)

    def of_name(self, field: Field, *, any_ending: bool = False) -> str:
        """Returns the key of the image whose file name is the field's text, in any folder.

        Args:
            field: The column that names the image.
            any_ending: Takes an image of another format if none has this ending.
        """
        keys = self._of_name(field)
        if not keys and self.look_into_archives():
            keys = self._of_name(field)
        if not keys and any_ending:
            keys = self._by_stem.get(PurePosixPath(_name(field)).stem, [])
        if not keys:
            self._unreadable.check(field, self._unreadable.of_name(_name(field)))
        return self._only(field, keys, "rejected")

    def elsewhere(self, field: Field) -> str | None:
        """Returns the key of an image that `of_name` would find, and that is not at the path that the field gives."""
        return next((key for key in self._of_name(field) if key != composed(field.text)), None)

    def _of_name(self, field: Field) -> list[str]:
        name = _name(field)
        keys = self._by_stem.get(PurePosixPath(name).stem, [])
        alike = [key for key in keys if _ending(key) == _ending(name)]
        return [key for key in alike if PurePosixPath(key).name == name] or alike

    def _only(self, field: Field, keys: list[str], absent: Kind) -> str:
        if not keys:
            raise FieldError(field, NOT_THERE, absent)
        keys = [key for key in keys if key not in self._archive_of] or keys
        stems = {PurePosixPath(key).stem for key in keys}
        self._named.update(keys)
        self._stems_named |= stems
        if keys[0] not in self._archive_of:
            self._stems_named_outside |= stems
        if read := [key for key in keys if _ending(key) in SUFFIXES]:
            self._source.unused |= dict.fromkeys(self._images[key].key for key in keys if key not in read)
            keys = read
        # HAM10000 is handed on with its folders doubled; copies of one size are one image.
        if not self._are_copies(field, keys):
            raise FieldError(field, f"several different images have this name: {', '.join(keys[:3])}")
        return self._checked(field, keys[0])

    def _are_copies(self, field: Field, keys: list[str]) -> bool:
        items = [self._images[key] for key in keys]
        if len({item.size for item in items}) > 1:
            return False
        if len(items) == 1 or not any(_ending(item.key) in _UNCOMPRESSED for item in items):
            return True
        try:
            return len({xxhash.xxh3_128_digest(self._source.read_bytes(item.key)) for item in items}) == 1
        except DataError as error:
            raise FieldError(field, f"one of several images of this name cannot be read: {error.args[0]}") from error

    def of_path(self, field: Field, folder: str) -> str:
        """Returns the key of the image at a path relative to a folder of the source.

        An archive's images are also found where they would lie had it been unpacked into no folder of its own.
        """
        path = PurePosixPath(_with_slashes(field.text))
        if ".." in path.parts:
            raise FieldError(field, "leaves the folder of its table; give a path inside it")
        if path.is_absolute() or _DRIVE.match(field.text):
            raise FieldError(field, ABSOLUTE)
        # A backslash separates folders, but may on Unix also be a character of the name.
        names = dict.fromkeys((field.text, path.as_posix()))
        wanted = [composed((PurePosixPath(folder) / name).as_posix()) for name in names]
        key = self._found(wanted)
        if key is None and self.look_into_archives():
            key = self._found(wanted)
        if key is None:
            self._unreadable.check(field, wanted)
            raise FieldError(field, NOT_THERE)
        self._named.add(key)
        return self._checked(field, key)

    def _found(self, paths: Iterable[str]) -> str | None:
        found = (self._at(path) or self._at(self._source.behind_links(path)) for path in paths)
        return next(filter(None, found), None)

    def _at(self, path: str) -> str | None:
        if path in self._images:
            return path
        lower = _lower_ending(path)
        there = [*([lower] if lower in self._images else []), *self._of_other_ending.get(lower, [])]
        alike = there or self._from_archive.get(lower, [])
        return alike[0] if len(alike) == 1 else None

    def _checked(self, field: Field, key: str) -> str:
        size, suffix = self._images[key].size, _ending(key)
        if suffix in _UNREAD:
            raise FieldError(field, f"the image {key} is not a JPEG, PNG, TIFF, BMP, WebP or GIF file: convert it")
        if size == 0:
            raise FieldError(field, "the image file is empty (0 bytes)")
        if size > limits.MAX_FILE_BYTES:
            allowed = f"more than the {limits.MAX_FILE_BYTES:,} allowed (MAX_FILE_BYTES)"
            raise FieldError(field, f"the image file has {size:,} bytes, {allowed}")
        return self._images[key].key

    def unreadable(self) -> Iterator[Rejection]:
        """Yields the files and folders that are there and cannot be read, but for those that a row has named."""
        yield from self._unreadable.not_named()

    def unnamed(self, table: str, elsewhere: Mapping[str, Rejection] | None = None) -> Iterator[Rejection]:
        """Yields the images that no row has named, but for those of archives from which nothing was named.

        Args:
            table: Where such rows would be.
            elsewhere: What it means for an image, by its name without suffix, that another table names it.
        """
        yield from self.unreadable()
        used = {self._archive_of.get(key) for key in self._named}
        paths = {_lower_ending(key) for key in self._named}
        for key, item in self._images.items():
            if key in self._named:
                continue
            if self._is_beside_another(key):
                self._source.unused[item.key] = None
                continue
            archive, stem = self._archive_of.get(key), PurePosixPath(key).stem
            # A copy of what a row has named outside of the archives is not a stray.
            copied = stem in self._stems_named_outside or self._unpacked_here.get(key) in paths
            if archive is None or (archive in used and not copied):
                stray = Rejection(item.key, None, None, None, f"no row of {table} {NO_ROW}")
                yield (elsewhere or {}).get(stem, stray)


def _with_slashes(path: str) -> str:
    """Writes a path of Windows with slashes."""
    return path.replace("\\", "/")


def _name(field: Field) -> str:
    """Returns the file's name at the end of a path, as names are compared."""
    return PurePosixPath(composed(_with_slashes(field.text))).name


@lru_cache(maxsize=256)
def _suffix(path: str) -> str:
    """Returns a path's suffix, which is asked for several times in turn."""
    return PurePosixPath(path).suffix


def _without_ending(path: str) -> str:
    return path[: len(path) - len(_suffix(path))]


def _ending(name: str) -> str:
    """Returns a name's suffix in lower case: cameras write .JPG where a table has .jpg, and mean the same file.

    The rest of a name keeps its case: derm7pt has NEL025.JPG and Nel025.jpg, which are two photographs.
    """
    return _suffix(name).lower()


def _lower_ending(path: str) -> str:
    return _without_ending(path) + _ending(path)
