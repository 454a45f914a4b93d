"""Where encoded images and captions are kept: a folder of this machine, and a storage that others share."""

import logging
import os
import secrets
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from lesiongen.storage import LocalStorage, Storage, file_digest

__all__ = ["FINISHED", "CachePlace", "cache_place"]

logger = logging.getLogger(__name__)
MANIFEST = "_cache.json"
FINISHED = "cache.json"
"""The file that a finished entry holds."""


class CachePlace:
    """Finds entries by their key, and keeps new ones.

    Args:
        folder: Where entries are read from.
        shared: Where they are kept for other machines and later runs; None: nowhere.
    """

    def __init__(self, folder: Path, shared: Storage | None = None) -> None:
        self.folder, self._shared = folder, shared

    def entry(self, key: str, build: Callable[[Path], None]) -> Path:
        """Returns the folder of an entry, which is fetched or built where it is not there.

        Args:
            key: Digest of all that the entry depends on.
            build: Writes the entry into a new folder, `FINISHED` last.
        """
        folder = self.folder / key
        if (folder / FINISHED).is_file():
            return folder
        building = folder.with_name(f"{key}.{secrets.token_hex(4)}")
        building.mkdir(parents=True)
        if not self._fetched(key, building):
            build(building)
            self._keep(key, building)
        shutil.rmtree(folder, ignore_errors=True)
        os.replace(building, folder)
        return folder

    def _fetched(self, key: str, folder: Path) -> bool:
        if self._shared is None or not self._shared.exists(f"{key}/{MANIFEST}"):
            return False
        place = self._shared.child(key)
        digests: dict[str, str] = place.read_json(MANIFEST)
        place.download_folder(folder, description="Fetching what is encoded")
        (folder / MANIFEST).unlink()
        if _digests(folder) == digests:
            logger.info("Using what is encoded in %s", place.uri)
            return True
        logger.warning("%s is damaged: the images are encoded again", place.uri)
        for path in folder.iterdir():
            path.unlink()
        return False

    def _keep(self, key: str, folder: Path) -> None:
        if self._shared is not None:
            place = self._shared.child(key)
            place.delete(MANIFEST)  # first: what is overwritten must not look whole
            place.upload_folder(folder, description="Keeping what is encoded")
            place.write_json(MANIFEST, _digests(folder))


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


def _digests(folder: Path) -> dict[str, str]:
    digests = {}
    for path in sorted(folder.iterdir()):
        with path.open("rb") as stream:
            digests[path.name] = file_digest(stream)
    return digests
