"""Temporary folders that do not outlive their process for long: the next process removes what a killed one left.

A folder is locked by the process that made it. One that nobody holds a lock on has lost its process; the lock is the
kernel's and ends with the process, however that ends. A folder gets its name only once it is locked.
"""

import fcntl
import logging
import os
import re
import secrets
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

__all__ = ["hold_folder", "remove_leftovers", "remove_ownerless", "temporary_folder"]

logger = logging.getLogger(__name__)
_OURS = re.compile(r"lesiongen-[a-z]+-[0-9a-f]{16}")
_UNNAMED = re.compile(r"\.lesiongen-new-[0-9a-f]{16}")
UNNAMED_SECONDS = 60.0
"""Age from which an empty folder that was never named has no process any more: it is named within an instant."""
_sweeping = threading.Lock()
_swept: set[str] = set()


@contextmanager
def temporary_folder(kind: str) -> Iterator[Path]:
    """Gives a new folder, for this user alone, that is removed when the block ends.

    Calls `remove_leftovers` first.

    Args:
        kind: What it is for; part of its name.

    Raises:
        OSError: The disk of temporary files is full, or may not be written.
    """
    remove_leftovers()
    root = Path(tempfile.gettempdir())
    unnamed = root / f".lesiongen-new-{secrets.token_hex(8)}"
    unnamed.mkdir(mode=0o700)
    folder = root / f"lesiongen-{kind}-{secrets.token_hex(8)}"
    try:
        with hold_folder(unnamed):
            unnamed.rename(folder)
            yield folder
            shutil.rmtree(folder)
    finally:
        for path in (folder, unnamed):
            shutil.rmtree(path, ignore_errors=True)


@contextmanager
def hold_folder(folder: Path) -> Iterator[None]:
    """Marks a folder as in use for other processes while the block runs; several may hold one."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with suppress(OSError):  # a file system without locks: there nobody can take the folder for ownerless
            fcntl.flock(descriptor, fcntl.LOCK_SH)
        yield
    finally:
        os.close(descriptor)


def remove_leftovers() -> None:
    """Removes, at the first call of a process, the temporary folders that killed processes of this user have left."""
    root = Path(tempfile.gettempdir())
    with _sweeping:
        if str(root) in _swept:
            return
        _swept.add(str(root))
    with suppress(OSError):
        for entry in os.scandir(root):
            if _OURS.fullmatch(entry.name):
                remove_ownerless(Path(entry.path))
            elif _UNNAMED.fullmatch(entry.name):
                remove_ownerless(Path(entry.path), quiet=UNNAMED_SECONDS)


def remove_ownerless(folder: Path, *, quiet: float = 0.0) -> bool:
    """Removes a folder of this user that no process holds.

    Args:
        folder: The folder; a link is left alone.
        quiet: Seconds in which nothing may have changed in it, where its file system may hide the locks of other hosts.

    Returns:
        Whether it was removed.
    """
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        if os.fstat(descriptor).st_uid != os.getuid() or time.time() - _last_change(folder) < quiet:
            return False
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        logger.info("Removing %s, whose process is gone", folder)
        shutil.rmtree(folder, ignore_errors=True)
    except OSError:  # it is held, or is gone already
        return False
    finally:
        os.close(descriptor)
    return True


def _last_change(folder: Path) -> float:
    return max(path.stat().st_mtime for path in (folder, *folder.iterdir()))
