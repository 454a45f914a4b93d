"""The claim to a local folder: a lock of the kernel on a hidden file, which ends with its process."""

import fcntl
import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from lesiongen.owner import Owner, this_process
from lesiongen.storage.claims import occupied
from lesiongen.storage.partial import remove_abandoned

__all__ = ["folder_lock", "hidden_sibling"]

_LONGEST_NAME = 48
"""Characters of a folder's name in the name of a hidden file; file systems take 255 bytes."""
_ATTEMPTS = 100


@contextmanager
def folder_lock(folder: Path) -> Iterator[bool]:
    """Locks a folder that need not exist yet; the file is removed at the end, and folders made for it too.

    The file lies beside the folder, which may then appear whole; where that cannot be, within it. On a file system
    without locks nothing is locked, and only the last step of publishing finds that there was another writer.

    Yields:
        Whether the process that held the lock before was killed.

    Raises:
        UsageError: Another process holds the lock.
        OSError: The file cannot be written.
    """
    place = folder.resolve()
    path = _lock_file(place)
    made = _make_parents(path)
    descriptor = _locked(path, str(folder))
    try:
        before = _holder(descriptor)
        if before is not None:
            _remove_unfinished(place)
        os.truncate(descriptor, 0)
        os.write(descriptor, json.dumps(this_process().plain()).encode())
        yield before is not None
    finally:
        with suppress(OSError):
            path.unlink()  # before the lock ends: the next writer makes a file of its own
        os.close(descriptor)
        with suppress(OSError):  # whoever has put something there needs it
            for parent in made:
                parent.rmdir()


def hidden_sibling(folder: Path, ending: str) -> Path:
    """Returns a hidden path beside a folder, named after it."""
    name = folder.name
    if len(name) > _LONGEST_NAME:
        name = f"{name[:_LONGEST_NAME]}-{hashlib.sha256(os.fsencode(name)).hexdigest()[:16]}"
    return folder.with_name(f".{name}.{ending}")


def _lock_file(place: Path) -> Path:
    nearest = next(path for path in place.parents or (place,) if path.exists())
    if place.is_mount() or not os.access(nearest, os.W_OK):
        return place / ".lesiongen.lock"
    return hidden_sibling(place, "lock")


def _make_parents(path: Path) -> list[Path]:
    """Makes the folders above a file, and returns those that were not there, the deepest first."""
    missing = [parent for parent in path.parents if not parent.exists()]
    path.parent.mkdir(parents=True, exist_ok=True)
    return missing


def _locked(path: Path, folder: str) -> int:
    """Returns the descriptor of a file, locked for this process."""
    for _ in range(_ATTEMPTS):
        with suppress(FileNotFoundError):  # another writer has just removed the folder that it made for its lock
            path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                holder = _holder(descriptor)
                os.close(descriptor)
                raise occupied(folder, holder) from None
            except OSError:
                return descriptor
            if _is_at(path, descriptor):
                return descriptor
            os.close(descriptor)  # the file of a writer that has just ended
    raise occupied(folder, None)


def _is_at(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _holder(descriptor: int) -> Owner | None:
    try:
        return Owner.parse(json.loads(os.pread(descriptor, 4096, 0)))
    except (OSError, ValueError):
        return None


def _remove_unfinished(place: Path) -> None:
    """Removes what a killed writer has left beside the folder and in it; it was the only one that wrote there."""
    # The whole name: folders called `v1.1` are not those of `v1`.
    hidden = re.compile(re.escape(hidden_sibling(place, "").name) + r"[0-9a-f]{16}\.partial")
    with suppress(OSError):
        for path in place.parent.iterdir():
            if hidden.fullmatch(path.name) and path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
    for folder in (place, *(path for path in place.rglob("*") if path.is_dir())):
        remove_abandoned(folder, quiet=0.0)
