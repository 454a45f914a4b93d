"""A local folder as a source: its links are followed, and what cannot be read is remembered with the reason."""

import errno
import os
import stat
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from lesiongen.errors import DataError, StorageError
from lesiongen.ingestion.sources.archives import ReadOnlyStorage
from lesiongen.ingestion.sources.file_names import is_system_file, readable_name, readable_path
from lesiongen.storage import LocalStorage, StoredObject, readable

__all__ = ["SourceFolder"]

_REASONS = {
    errno.ENOENT: "is a link whose target does not exist (fetch it: dvc pull, git annex get)",
    errno.ELOOP: "is a link that leads to itself",
    errno.EACCES: "may not be read: check its permissions",
    errno.EPERM: "may not be read: check its permissions",
}


@dataclass(frozen=True, slots=True)
class _Folder:
    """A folder to look into: where it is, where that really is, and the beginning of the keys of its files."""

    path: str
    real: str
    prefix: str


class SourceFolder(ReadOnlyStorage):
    """A folder that the user has named, with all that its links lead to.

    Hub caches, DVC and git-annex keep the files elsewhere and links in the folder. A folder is read once: a link to one
    that is read already gives its files a second name and not a second time. A link to a folder around it, or around
    the source, would lead round in circles, and is not followed. A key is looked up in what was listed, so none can
    lead anywhere else.

    Args:
        folder: The folder.

    Raises:
        StorageError: The folder itself may not be read.
    """

    def __init__(self, folder: str) -> None:
        root = os.path.abspath(folder)
        super().__init__(readable_path(root))
        self.unreadable: dict[str, str] = {}
        """Keys of files, and of folders with a slash behind, that cannot be read, and why."""
        self.circular: list[str] = []
        """Keys of links to a folder around them."""
        self.linked_folders: dict[str, str] = {}
        """Keys of links to folders that are read under another key, and that key."""
        self.link_targets: list[str] = []
        """Real paths of the folders that links lead to."""
        self._files: dict[str, tuple[str, int]] = {}
        self._links: deque[_Folder] = deque()
        self._keys_of_folders: dict[str, str] = {}
        self._root = os.path.realpath(root)
        self._walk(_Folder(root, self._root, ""))
        if "/" in self.unreadable:
            raise StorageError(f"The folder {self.uri} {self.unreadable['/']}")

    def _walk(self, root: _Folder) -> None:
        """Reads the folder, and then what links lead to: of two names a folder has the one without a link."""
        folders = deque([root])
        while folders or self._links:
            folder = folders.popleft() if folders else self._links.popleft()
            if (key := self._keys_of_folders.get(folder.real)) is not None:
                self.linked_folders[folder.prefix[:-1]] = key
                continue
            self._keys_of_folders[folder.real] = folder.prefix[:-1]
            folders.extend(self._read(folder))

    def _read(self, folder: _Folder) -> list[_Folder]:
        """Adds the files of a folder and returns the folders in it."""
        try:
            with os.scandir(folder.path) as entries:
                found = sorted(entries, key=lambda entry: entry.name)
            if found:
                found[0].stat(follow_symlinks=False)  # listed they may be, and yet not be opened
        except OSError as error:
            self.unreadable[f"{folder.prefix[:-1]}/"] = _reason(error)
            return []
        named = ((entry, readable_name(os.fsencode(entry.name))) for entry in found)
        inner = (self._add(entry, folder, name) for entry, name in named if not is_system_file(name))
        return [item for item in inner if item]

    def _add(self, entry: "os.DirEntry[str]", folder: _Folder, name: str) -> _Folder | None:
        """Adds a file, or returns the folder that an entry is."""
        key = folder.prefix + name
        try:
            status = entry.stat()
        except OSError as error:
            self.unreadable[key] = _reason(error)
            return None
        if stat.S_ISDIR(status.st_mode):
            if not entry.is_symlink():
                return _Folder(entry.path, f"{folder.real}/{entry.name}", f"{key}/")
            self._add_link(_Folder(entry.path, os.path.realpath(entry.path), f"{key}/"), folder)
        elif not stat.S_ISREG(status.st_mode):
            self.unreadable[key] = "is neither a file nor a folder"
        elif key in self._files:
            self.unreadable[key] = "has the same name as another file once its name is read as text: rename one"
        else:
            self._files[key] = entry.path, status.st_size
        return None

    def _add_link(self, link: _Folder, folder: _Folder) -> None:
        # Around the source all of it would be read once more, with what lies beside it.
        if Path(folder.real).is_relative_to(link.real) or Path(link.real) in Path(self._root).parents:
            self.circular.append(link.prefix[:-1])
        else:
            self._links.append(link)
            self.link_targets.append(link.real)

    def list(self, prefix: str = "") -> Iterator[StoredObject]:
        """Lists the files that can be read, sorted by key."""
        for key in sorted(self._files):
            if key.startswith(prefix):
                yield StoredObject(key, self._files[key][1])

    def exists(self, key: str) -> bool:
        """Tells whether the file is there."""
        return key in self._files

    def read_bytes(self, key: str) -> bytes:
        """Returns the whole file.

        Raises:
            DataError: It cannot be read.
        """
        try:
            return self._path(key).read_bytes()
        except OSError as error:
            raise DataError(f"{key} {_reason(error)}") from error

    def open(self, key: str) -> BinaryIO:
        """Opens the file."""
        return readable(self._path(key))

    def download_file(self, key: str, path: Path) -> None:
        """Copies a file out."""
        LocalStorage(str(path.parent)).upload_file(self._path(key), path.name)

    @contextmanager
    def fetch(self, key: str) -> Iterator[Path]:
        """Gives the file itself; nothing is copied."""
        path = self._path(key)
        readable(path).close()
        yield path

    def _path(self, key: str) -> Path:
        if key in self._files:
            return Path(self._files[key][0])
        reason = self.unreadable.get(key, "does not exist")
        raise StorageError(f"{self.uri}/{key} {reason}", hint="Check the path, and its permissions.")


def _reason(error: OSError) -> str:
    return _REASONS.get(error.errno or 0, f"cannot be read: {error.strerror or error}")
