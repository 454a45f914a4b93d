"""Local folders."""

import errno
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO

from lesiongen.errors import StorageError, UsageError
from lesiongen.storage.claims import occupied
from lesiongen.storage.files import CHUNK
from lesiongen.storage.folder_lock import folder_lock, hidden_sibling
from lesiongen.storage.interface import Claim, Creation, Storage, StoredObject
from lesiongen.storage.partial import remove_abandoned, writing_beside

__all__ = ["LocalStorage", "check_reachable", "readable"]

_PERMISSIONS = "Check the permissions of the folder."


class LocalStorage(Storage):
    """A folder of the local file system."""

    def __init__(self, folder: str) -> None:
        # What is written down of a folder must lead there from any other.
        self.root = Path(folder).absolute()
        super().__init__(str(self.root))

    def _path(self, key: str) -> Path:
        path = self.root / key
        if not path.resolve().is_relative_to(self.root.resolve()):
            raise UsageError(f"The key {key!r} would leave the folder {self.root}")
        return path

    @contextmanager
    def replacing(self, key: str) -> Iterator[Path]:
        """Gives a temporary path beside the file; it takes the file's place when the block ends well."""
        path = self._path(key)
        try:
            with writing_beside(path) as temporary:
                yield temporary
        except OSError as error:
            raise _write_error(path, error) from error

    @contextmanager
    def claiming(self) -> Iterator[Claim]:
        """Locks the folder; what killed writers have left hidden beside it is removed."""
        claim = Claim()
        with ExitStack() as held:
            try:
                claim.taken_over = held.enter_context(folder_lock(self.root))
            except OSError as error:
                raise _write_error(self.root, error) from error
            yield claim

    @contextmanager
    def publishing(self) -> "Iterator[Storage]":
        """Gives a hidden folder beside this one, which takes its name at the end of the block.

        A folder that holds something, or that cannot be renamed to, is written to as it is.
        """
        if not self._can_be_replaced():
            yield self
            return
        hidden = hidden_sibling(self.root, f"{secrets.token_hex(8)}.partial")
        try:
            yield LocalStorage(str(hidden))
            hidden.rename(self.root)  # over an empty folder at most
        except OSError as error:
            if error.errno in (errno.ENOTEMPTY, errno.EEXIST):
                raise occupied(self.uri, None) from error
            raise _write_error(self.root, error) from error
        finally:
            shutil.rmtree(hidden, ignore_errors=True)

    def _can_be_replaced(self) -> bool:
        if not self.root.exists():
            return not self.root.is_symlink()
        if self.root.is_symlink() or self.root.is_mount() or not os.access(self.root.parent, os.W_OK):
            return False
        if self.root.samefile(os.curdir):  # a shell would be left in a folder that is gone
            return False
        return self.root.is_dir() and not any(self.root.iterdir())

    def read_bytes(self, key: str) -> bytes:
        """Returns the whole file."""
        try:
            return self._path(key).read_bytes()
        except OSError as error:
            raise _local_error(self._path(key), error) from error

    def write_bytes(self, key: str, data: bytes) -> None:
        """Writes a file beside its place and renames it into it."""
        with self.replacing(key) as temporary:
            temporary.write_bytes(data)

    def create_bytes(self, key: str, data: bytes) -> Creation:
        """Writes a file beside its place and links it there, which fails where there is one."""
        path = self._path(key)
        try:
            with writing_beside(path, exclusive=True) as temporary:
                temporary.write_bytes(data)
        except FileExistsError:
            return Creation.CREATED if self.read_bytes(key) == data else Creation.TAKEN
        except OSError as error:
            raise _write_error(path, error) from error
        return Creation.CREATED

    def exists(self, key: str) -> bool:
        """Tells whether the file is there."""
        try:
            return self._path(key).is_file()
        except OSError as error:
            raise _local_error(self._path(key), error) from error

    def list(self, prefix: str = "") -> Iterator[StoredObject]:
        """Lists the files, sorted by key; hidden temporary files are left out."""
        paths = (path for path in self.root.rglob("*") if path.is_file() and not path.name.startswith("."))
        for key in sorted(path.relative_to(self.root).as_posix() for path in paths):
            if key.startswith(prefix):
                yield StoredObject(key, (self.root / key).stat().st_size)

    def delete(self, key: str) -> None:
        """Deletes the file."""
        self._path(key).unlink(missing_ok=True)

    def delete_all(self) -> None:
        """Removes the folder with all that is in it, what killed writers have left there too."""
        shutil.rmtree(self.root, ignore_errors=True)

    def require_writable(self) -> None:
        """Refuses a folder that is a file, lies below one, or may not be written; makes none."""
        nearest = next(path for path in (self.root, *self.root.parents) if os.path.lexists(path))
        if not nearest.is_dir():
            raise StorageError(
                f"{self.root} cannot be written: {nearest} is not a folder", hint="Choose another place."
            )
        if not os.access(nearest, os.W_OK | os.X_OK):
            raise StorageError(f"{self.root} cannot be written: {nearest} may not be changed", hint=_PERMISSIONS)

    def remove_abandoned(self) -> None:
        """Removes the hidden files of killed writers."""
        for folder in (self.root, *(path for path in self.root.rglob("*") if path.is_dir())):
            remove_abandoned(folder)

    def open(self, key: str) -> BinaryIO:
        """Opens the file."""
        return readable(self._path(key))

    def upload_file(self, path: Path, key: str) -> None:
        """Copies a file in."""
        with readable(path) as source, self.replacing(key) as temporary, temporary.open("wb") as target:
            shutil.copyfileobj(source, target, CHUNK)

    def move_file(self, path: Path, key: str) -> None:
        """Moves a file in: within a file system under its new name, in one step."""
        target = self._path(key)
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            path.replace(target)
        except OSError:  # another file system; where that is not the reason, copying says so
            super().move_file(path, key)

    def download_file(self, key: str, path: Path) -> None:
        """Copies a file out."""
        LocalStorage(str(path.parent)).upload_file(self._path(key), path.name)

    @contextmanager
    def fetch(self, key: str) -> Iterator[Path]:
        """Gives the file itself; nothing is copied."""
        path = self._path(key)
        if not path.is_file():
            raise StorageError(f"{path} does not exist", hint="Check the path, and that it has been written.")
        yield path


def readable(path: Path) -> BinaryIO:
    """Opens a local file for reading.

    Raises:
        StorageError: It is absent or cannot be read; the message names it.
    """
    try:
        return path.open("rb")
    except OSError as error:
        raise _local_error(path, error) from error


def check_reachable(path: Path) -> None:
    """Refuses a path that cannot be examined; one that does not exist is allowed.

    Raises:
        StorageError: A folder above it may not be entered, or its name is too long.
    """
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        raise _local_error(path, error) from error


def _write_error(path: Path, error: OSError) -> StorageError:
    if isinstance(error, FileNotFoundError | NotADirectoryError | FileExistsError):
        return StorageError(f"The folder {path.parent} cannot be made: {error.strerror}", hint="Choose another output.")
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return StorageError(f"{path} cannot be written: {error.strerror}", hint="Free some space, then start it again.")
    return _local_error(path, error)


def _local_error(path: Path, error: OSError) -> StorageError:
    if isinstance(error, FileNotFoundError):
        return StorageError(f"{path} does not exist", hint="Check the path, and that it has been written.")
    if isinstance(error, PermissionError):
        return StorageError(f"{path} may not be read or written", hint=_PERMISSIONS)
    return StorageError(f"{path}: {error.strerror or error}")
