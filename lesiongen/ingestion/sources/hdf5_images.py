"""Image files that lie in an HDF5 file, one dataset each, as files of a source."""

import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

from lesiongen import limits
from lesiongen.errors import DataError, StorageError, UsageError
from lesiongen.ingestion.sources.archives import ReadOnlyStorage
from lesiongen.storage import LocalStorage, Storage, StoredObject

__all__ = ["Hdf5Images", "NEEDS_H5PY", "has_h5py", "open_hdf5_images"]

NEEDS_H5PY = "HDF5 files are read with h5py: pip install '.[hdf5]' in a checkout of LesionGen"
"""What to do where h5py is not installed."""
_ENDING = ".jpg"
_NAME = re.compile(r"\w[\w.-]{0,199}", re.ASCII)
# What h5py raises on files that are damaged or made to harm.
_DAMAGE = (OSError, RuntimeError, KeyError, ValueError, TypeError, OverflowError)
_OF_THE_SYSTEM = {
    *(errno.EACCES, errno.EPERM, errno.EIO, errno.ENOSPC, errno.EDQUOT, errno.ESTALE),
    *(errno.EMFILE, errno.ENFILE, errno.ENOMEM),
}
"""Numbers of errors that say nothing about what is in a file."""


class Hdf5Images(ReadOnlyStorage):
    """The datasets of bytes at the top of an HDF5 file, as JPEG files named by them.

    Only bytes that lie in the file as they are can be read: links (within the file or to another one), virtual
    datasets, such with their bytes in other files, and such that are cut in pieces or compressed are left alone.

    Args:
        uri: Address of the file.
        file: The file, opened with h5py.

    Raises:
        DataError: It is damaged, or holds more datasets than allowed.
        StorageError: It may not be read, or not now.
    """

    def __init__(self, uri: str, file: Any) -> None:
        super().__init__(uri)
        self._file = file
        self._sizes: dict[str, int] = {}
        self.unreadable: dict[str, str] = {}
        """Keys of what is there and cannot be read, and why."""
        with self._damage_told():
            if len(file) > limits.MAX_MEMBERS:
                raise DataError(f"{uri} holds more than {limits.MAX_MEMBERS:,} datasets (MAX_MEMBERS)")
            for name in file:
                self._add(name)

    def _add(self, name: str) -> None:
        key = f"{name}{_ENDING}"
        if not _NAME.fullmatch(name):
            self.unreadable[f"{ascii(name)[1:-1][:200]}{_ENDING}"] = "has a name that is not one of an image"
            return
        size, reason = _bytes_of(self._file, name)
        if reason:
            self.unreadable[key] = reason
        else:
            self._sizes[key] = size

    def read_bytes(self, key: str) -> bytes:
        """Returns the bytes of a dataset.

        Raises:
            DataError: It is damaged.
            StorageError: The dataset is missing, or the file may not be read, or not now.
        """
        if key not in self._sizes:
            raise StorageError(f"{self.uri} contains no dataset {key.removesuffix(_ENDING)!r}")
        import h5py
        import numpy as np

        with self._damage_told(f"the dataset {key.removesuffix(_ENDING)!r}"):
            dataset = _opened(self._file, key.removesuffix(_ENDING))
            value = np.empty(self._sizes[key], dtype=np.uint8)
            # In the file's own type: as text it would end at a zero byte.
            dataset.read(h5py.h5s.ALL, h5py.h5s.ALL, value, dataset.get_type())
            return value.tobytes()

    def exists(self, key: str) -> bool:
        """Tells whether there is such a dataset."""
        return key in self._sizes

    def list(self, prefix: str = "") -> Iterator[StoredObject]:
        """Lists the datasets, sorted by name."""
        for key in sorted(self._sizes):
            if key.startswith(prefix):
                yield StoredObject(key, self._sizes[key])

    def open(self, key: str) -> BinaryIO:
        """Opens a dataset's bytes, which are held in memory."""
        return BytesIO(self.read_bytes(key))

    def download_file(self, key: str, path: Path) -> None:
        """Writes a dataset's bytes to a local file."""
        with LocalStorage(str(path.parent)).replacing(path.name) as temporary:
            temporary.write_bytes(self.read_bytes(key))

    @contextmanager
    def _damage_told(self, what: str | None = None) -> Iterator[None]:
        try:
            yield
        except _DAMAGE as error:
            _check_system(error, self.uri)
            named = f"{self.uri}: {what} cannot be read" if what else f"{self.uri} is damaged"
            raise DataError(f"{named}: {error}", hint="Fetch the file again.") from error


def has_h5py() -> bool:
    """Tells whether the library is installed with which HDF5 files are read."""
    try:
        import h5py
    except ImportError:
        return False
    return bool(h5py)


@contextmanager
def open_hdf5_images(storage: Storage, key: str) -> Iterator[Hdf5Images]:
    """Opens an HDF5 file of a source.

    Raises:
        UsageError: h5py is not installed.
        DataError: The file is damaged, or no HDF5 file.
        StorageError: It may not be read, or not now.
    """
    if not has_h5py():
        raise UsageError(f"{key} cannot be read", hint=f"{NEEDS_H5PY}.")
    import h5py

    uri = f"{storage.uri}/{key}"
    with storage.fetch(key) as path:
        try:
            file = h5py.File(path, "r", locking=False)
        except _DAMAGE as error:
            _check_system(error, uri)
            raise DataError(f"{uri} is damaged, or is not an HDF5 file: {error}", hint="Fetch it again.") from error
        with file:
            yield Hdf5Images(uri, file)


def _check_system(error: Exception, uri: str) -> None:
    """Raises a StorageError where the system is to blame and not what is in the file."""
    if isinstance(error, OSError) and error.errno in _OF_THE_SYSTEM:
        raise StorageError(
            f"{uri} cannot be read: {os.strerror(error.errno)}",
            hint="Check its permissions, its disk and the memory; then start it again.",
        ) from error


def _opened(file: Any, name: str) -> Any:
    import h5py

    return h5py.h5d.open(file.id, name.encode())


def _bytes_of(file: Any, name: str) -> tuple[int, str | None]:
    """Returns how many bytes a dataset holds, or why it is not read."""
    import h5py

    if file.id.links.get_info(name.encode()).type != h5py.h5l.TYPE_HARD:
        return 0, "is a link, which is not followed"
    if h5py.h5o.get_info(file.id, name.encode()).type != h5py.h5o.TYPE_DATASET:
        return 0, "is not a dataset"
    dataset = _opened(file, name)
    plan = dataset.get_create_plist()
    if plan.get_external_count():
        return 0, "has its bytes in another file, which is not opened"
    if plan.get_layout() not in (h5py.h5d.CONTIGUOUS, h5py.h5d.COMPACT):
        return 0, "is virtual, compressed or stored in pieces, which is not read"
    kind, space = dataset.get_type(), dataset.get_space()
    size = kind.get_size() * space.get_simple_extent_npoints()
    if not _is_bytes(kind, space.get_simple_extent_ndims()):
        return 0, "does not hold the bytes of an image file"
    if dataset.get_storage_size() != size:
        return 0, "holds less than it says"
    if size > limits.MAX_FILE_BYTES:
        return 0, f"has {size:,} bytes, more than the {limits.MAX_FILE_BYTES:,} allowed (MAX_FILE_BYTES)"
    return size, None


def _is_bytes(kind: Any, dimensions: int) -> bool:
    """Tells whether a type holds the bytes of a file: a text or an opaque value of fixed length, or a row of bytes."""
    import h5py

    if dimensions == 0:
        of_text = kind.get_class() == h5py.h5t.STRING and not kind.is_variable_str()
        return of_text or kind.get_class() == h5py.h5t.OPAQUE
    return dimensions == 1 and kind.get_class() == h5py.h5t.INTEGER and kind.get_size() == 1
