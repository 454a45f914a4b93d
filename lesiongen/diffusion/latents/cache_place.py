"""Where encoded images and captions are kept: a folder of this machine, and a storage that others share."""

import logging
import os
import re
import secrets
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from pydantic import TypeAdapter

from lesiongen.errors import StorageError, UsageError
from lesiongen.storage import (
    LocalStorage,
    Storage,
    as_json,
    claimed,
    in_parallel,
    local_path,
    open_storage,
    path_digest,
)
from lesiongen.temporary import temporary_folder

__all__ = ["FINISHED", "CachePlace", "NotEncoded", "cache_place", "entry_at"]

logger = logging.getLogger(__name__)
MANIFEST = "_cache.json"
"""Sizes and digests of an entry's files; written last."""
FINISHED = "cache.json"
"""The file that a finished entry holds."""
ABANDONED_SECONDS = 24 * 3600.0
"""Age of a folder that no build writes to any more."""
_UNFINISHED = re.compile(r"[0-9a-f]{32}\.[0-9a-f]{8}")


@dataclass(frozen=True)
class _File:
    bytes: int
    sha256: str


_FILES = TypeAdapter(dict[str, _File])


class NotEncoded(Exception):
    """An entry that was only looked for is not there, or is damaged."""


class CachePlace:
    """Finds entries by their key, and keeps new ones.

    Args:
        folder: Where entries are read from.
        shared: Where they are kept for other machines and later runs; None: nowhere.
    """

    def __init__(self, folder: Path, shared: Storage | None = None) -> None:
        self.folder, self.shared = folder, shared

    def entry(self, key: str, build: Callable[[Path], None] | None) -> Path:
        """Returns the folder of an entry, which is fetched or built where it is not there, or is damaged.

        An entry that is there is compared with its digests, once for each call: processes that train get the folder.
        A shared storage that cannot be reached, or holds damage, costs a warning and the encoding, not the run.

        Args:
            key: Digest of all that the entry depends on.
            build: Writes the entry into a new folder, `FINISHED` last; None: the entry is only looked for.

        Raises:
            NotEncoded: The entry was only looked for, and cannot be used.
        """
        folder = self.folder / key
        if folder.exists():
            fault = _fault(folder)
            if fault is None:
                return folder
            logger.warning("%s is damaged or of an earlier release, and is made again: %s", folder, fault)
            self._remove_entry(folder)
        self._remove_abandoned()
        building = self._beside(folder)
        if not self._fetched(key, building):
            # What was fetched in part, or is damaged, must not mix with what is built.
            shutil.rmtree(building, ignore_errors=True)
            if build is None:
                raise NotEncoded(key)
            building.mkdir(parents=True)
            build(building)
            manifest = as_json({name: asdict(file) for name, file in _described(building).items()})
            self._keep(key, building, manifest)
            (building / MANIFEST).write_text(manifest, encoding="utf-8")
        try:
            os.rename(building, folder)
        except OSError:  # an entry is not an empty folder, and is not renamed over
            if not (folder / MANIFEST).is_file():
                raise
            # Another run was first, and perhaps reads it already.
            shutil.rmtree(building, ignore_errors=True)
        return folder

    def share(self, key: str) -> str:
        """Returns the address of a finished entry in the shared storage; it is put there if it is not there yet.

        Raises:
            StorageError: It cannot be put there.
        """
        if self.shared is None:
            raise ValueError("a shared storage is required")
        place = self.shared.child(key)
        if not place.exists(MANIFEST):
            folder = self.folder / key
            _upload(place, folder, (folder / MANIFEST).read_text(encoding="utf-8"))
        return place.uri

    def _beside(self, folder: Path) -> Path:
        return folder.with_name(f"{folder.name}.{secrets.token_hex(4)}")

    def _remove_entry(self, folder: Path) -> None:
        """Removes an entry at once: a run that is killed meanwhile leaves no half of it in its place."""
        removed = self._beside(folder)
        with suppress(FileNotFoundError):  # another run has found the damage too
            os.rename(folder, removed)
            shutil.rmtree(removed, ignore_errors=True)

    def _fetched(self, key: str, folder: Path) -> bool:
        if self.shared is None:
            return False
        place = self.shared.child(key)
        try:
            if not place.exists(MANIFEST):
                return False
            place.download_folder(folder, description="Fetching what is encoded")
        except StorageError as error:
            logger.warning("What is encoded in %s cannot be fetched, and is encoded again: %s", place.uri, error)
            return False
        fault = _fault(folder)
        if fault is None:
            logger.info("Using what is encoded in %s", place.uri)
            return True
        logger.warning("%s is damaged, and the images are encoded again: %s", place.uri, fault)
        return False

    def _keep(self, key: str, folder: Path, manifest: str) -> None:
        if self.shared is None:
            return
        place = self.shared.child(key)
        try:
            _upload(place, folder, manifest)
        except UsageError as error:
            logger.info("What is encoded is kept by another run: %s", error)
        except StorageError as error:
            logger.warning("What is encoded cannot be kept in %s, the next run encodes again: %s", place.uri, error)

    def _remove_abandoned(self) -> None:
        """Removes what killed builds have left; a build that lives has written to its files lately."""
        for folder in self.folder.glob("*.*"):
            with suppress(FileNotFoundError):  # another run has just finished it
                if _UNFINISHED.fullmatch(folder.name) and time.time() - _last_change(folder) > ABANDONED_SECONDS:
                    logger.info("Removing %s, which was never finished", folder)
                    shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def cache_place(shared: Storage | None) -> Iterator[CachePlace]:
    """Gives the place of a run's caches.

    With ``LESIONGEN_CACHE`` that folder, which is kept; with a shared local folder that one; else a temporary folder,
    beside ``shared`` where there is one.
    """
    if kept := os.environ.get("LESIONGEN_CACHE"):
        yield CachePlace(local_path(kept), shared if not isinstance(shared, LocalStorage) else None)
    elif isinstance(shared, LocalStorage):
        yield CachePlace(shared.root)
    else:
        with temporary_folder("cache") as folder:
            yield CachePlace(folder, shared)


@contextmanager
def entry_at(address: str) -> Iterator[Path]:
    """Gives the folder of a finished entry: a folder of this host as it is, what is on S3 fetched and compared.

    Raises:
        StorageError: It cannot be fetched, or is damaged.
    """
    place = open_storage(address)
    if isinstance(place, LocalStorage):
        yield place.root
        return
    with temporary_folder("cache") as folder:
        place.download_folder(folder, description="Fetching what is encoded")
        if fault := _fault(folder):
            raise StorageError(
                f"{address} is damaged: {fault}", hint="Start the training again: it encodes the images again."
            )
        yield folder


def _upload(place: Storage, folder: Path, manifest: str) -> None:
    with claimed(place) as claim:
        place.delete(MANIFEST)  # first: what is overwritten must not look whole
        files = [path for path in folder.iterdir() if path.name != MANIFEST]
        in_parallel(lambda path: place.upload_file(path, path.name), files, "Keeping what is encoded")
        claim.check(ask=True)
        place.write_text(MANIFEST, manifest)


def _described(folder: Path) -> dict[str, _File]:
    return {path.name: _file(path) for path in sorted(folder.iterdir()) if path.is_file() and path.name != MANIFEST}


def _file(path: Path) -> _File:
    return _File(path.stat().st_size, path_digest(path))


def _listed(folder: Path) -> dict[str, _File]:
    """Returns what an entry says of its files; nothing where that is absent or damaged."""
    try:
        return _FILES.validate_json((folder / MANIFEST).read_bytes())
    except (OSError, ValueError):
        return {}


def _fault(folder: Path) -> str | None:
    """Compares every file of an entry with what the entry says of it; returns what is wrong, None where all is well.

    All is read once, which also brings it into memory: the sizes first, as they take no time.
    """
    listed = _listed(folder)
    if FINISHED not in listed:
        return f"{MANIFEST} does not list {FINISHED}"
    for name, file in listed.items():
        path = folder / name
        if not path.is_file() or path.stat().st_size != file.bytes:
            return f"{name} is lost or has another size"
    try:
        in_parallel(partial(_compare, folder), listed.items(), "Checking what is encoded")
    except (StorageError, OSError) as error:
        return str(error)
    return None


def _compare(folder: Path, listed: tuple[str, _File]) -> None:
    name, expected = listed
    if _file(folder / name) != expected:
        raise StorageError(f"{name} differs from what {MANIFEST} says")


def _last_change(folder: Path) -> float:
    return max(path.stat().st_mtime for path in (folder, *folder.iterdir()))
