"""Local files that are not whole yet: hidden beside their place, locked by their writer, removed once it is gone.

A writer that is killed cannot remove its file. Others may: they take a file for abandoned that nobody holds a lock on
*and* that nobody has written to lately. Either alone might be a live writer's: file systems that machines share do not
all pass locks on, and a file is created before it is locked.
"""

import fcntl
import re
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

__all__ = ["remove_abandoned", "writing_beside"]

QUIET_SECONDS = 60.0
"""Time after which a file without a lock is abandoned, and after which a folder is looked through again."""
_PARTIAL = re.compile(r"\..+\.[0-9a-f]{16}\.partial", re.DOTALL)
_looked_through: dict[Path, float] = {}


@contextmanager
def writing_beside(path: Path, *, exclusive: bool = False) -> Iterator[Path]:
    """Gives a temporary path in the folder of a file; it takes the file's place when the block ends well.

    Before that it removes, now and then, what killed writers have left in this folder.

    Args:
        path: The file.
        exclusive: Whether a file that is there stays as it is.

    Raises:
        FileExistsError: The file is there, and `exclusive` is set.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    _look_through(path.parent)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}.partial")
    try:
        with temporary.open("xb") as held:
            with suppress(OSError):  # a file system without locks: nobody can take this one for abandoned there
                fcntl.flock(held, fcntl.LOCK_EX)
            yield temporary
            if exclusive:
                _take_place(temporary, path)
            else:
                temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _take_place(temporary: Path, path: Path) -> None:
    """Puts a whole file in its place unless there is one: a link to it is made or refused in one step."""
    try:
        path.hardlink_to(temporary)
    except FileExistsError:
        raise
    except OSError:  # a file system without links: readers may see a part of the file for a moment
        with path.open("xb") as target, temporary.open("rb") as source:
            shutil.copyfileobj(source, target)


def remove_abandoned(folder: Path, *, quiet: float = QUIET_SECONDS) -> None:
    """Removes what killed writers have left directly in a folder.

    Args:
        folder: The folder.
        quiet: Seconds in which nobody may have written to a file; none are needed of a writer that is known to be dead.
    """
    with suppress(OSError):  # what cannot be removed, or is gone already, disturbs nobody
        for path in folder.iterdir():
            if _PARTIAL.fullmatch(path.name):
                _remove_if_abandoned(path, quiet)


def _look_through(folder: Path) -> None:
    now = time.monotonic()
    if now - _looked_through.get(folder, -QUIET_SECONDS) >= QUIET_SECONDS:  # a folder may hold very many files
        _looked_through[folder] = now
        remove_abandoned(folder)


def _remove_if_abandoned(path: Path, quiet: float) -> None:
    if time.time() - path.stat().st_mtime >= quiet:
        with suppress(OSError), path.open("rb+") as file:  # the lock needs a file that is open for writing
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink()
