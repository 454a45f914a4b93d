"""Where encoded images and captions are kept: a folder of this machine, and a storage that others share."""

import logging
import os
import re
import secrets
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from pydantic import TypeAdapter

from lesiongen.errors import StorageError
from lesiongen.storage import LocalStorage, Storage, as_json, file_digest

__all__ = ["FINISHED", "CachePlace", "cache_place"]

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


class CachePlace:
    """Finds entries by their key, and keeps new ones.

    Args:
        folder: Where entries are read from.
        shared: Where they are kept for other machines and later runs; None: nowhere.
    """

    def __init__(self, folder: Path, shared: Storage | None = None) -> None:
        self.folder, self._shared = folder, shared

    def entry(self, key: str, build: Callable[[Path], None]) -> Path:
        """Returns the folder of an entry, which is fetched or built where it is not there, or is damaged.

        A shared storage that cannot be reached, or holds damage, costs a warning and the encoding, not the run.

        Args:
            key: Digest of all that the entry depends on.
            build: Writes the entry into a new folder, `FINISHED` last.
        """
        folder = self.folder / key
        if _is_whole(folder):
            return folder
        if folder.exists():
            logger.warning("%s is damaged or of an earlier release: it is made again", folder)
        self._remove_abandoned()
        building = folder.with_name(f"{key}.{secrets.token_hex(4)}")
        if not self._fetched(key, building):
            # What was fetched in part, or is damaged, must not mix with what is built.
            shutil.rmtree(building, ignore_errors=True)
            building.mkdir(parents=True)
            build(building)
            manifest = as_json({name: asdict(file) for name, file in _described(building).items()})
            self._keep(key, building, manifest)
            (building / MANIFEST).write_text(manifest, encoding="utf-8")
        shutil.rmtree(folder, ignore_errors=True)
        os.replace(building, folder)
        return folder

    def _fetched(self, key: str, folder: Path) -> bool:
        if self._shared is None:
            return False
        place = self._shared.child(key)
        try:
            if not place.exists(MANIFEST):
                return False
            place.download_folder(folder, description="Fetching what is encoded")
        except StorageError as error:
            logger.warning("What is encoded in %s cannot be fetched, and is encoded again: %s", place.uri, error)
            return False
        if _is_whole(folder) and _listed(folder).items() <= _described(folder).items():
            logger.info("Using what is encoded in %s", place.uri)
            return True
        logger.warning("%s is damaged: the images are encoded again", place.uri)
        return False

    def _keep(self, key: str, folder: Path, manifest: str) -> None:
        if self._shared is None:
            return
        place = self._shared.child(key)
        try:
            place.delete(MANIFEST)  # first: what is overwritten must not look whole
            place.upload_folder(folder, description="Keeping what is encoded")
            place.write_text(MANIFEST, manifest)
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
        yield CachePlace(Path(kept), shared if not isinstance(shared, LocalStorage) else None)
    elif isinstance(shared, LocalStorage):
        yield CachePlace(shared.root)
    else:
        with tempfile.TemporaryDirectory(prefix="lesiongen-cache-") as name:
            yield CachePlace(Path(name), shared)


def _described(folder: Path) -> dict[str, _File]:
    described = {}
    for path in sorted(folder.iterdir()):
        if path.is_file() and path.name != MANIFEST:
            with path.open("rb") as stream:
                described[path.name] = _File(path.stat().st_size, file_digest(stream))
    return described


def _listed(folder: Path) -> dict[str, _File]:
    """Returns what an entry says of its files; nothing where that is absent or damaged."""
    try:
        return _FILES.validate_json((folder / MANIFEST).read_bytes())
    except (OSError, ValueError):
        return {}


def _is_whole(folder: Path) -> bool:
    """Tells by the sizes of its files, which takes no time, whether an entry is what it says."""
    listed = _listed(folder)
    return FINISHED in listed and all(
        (folder / name).is_file() and (folder / name).stat().st_size == file.bytes for name, file in listed.items()
    )


def _last_change(folder: Path) -> float:
    return max(path.stat().st_mtime for path in (folder, *folder.iterdir()))
