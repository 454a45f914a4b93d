"""A limit on the pixels that several processes hold decoded at a time, all together."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

__all__ = ["DecodingRoom"]

_SLOTS = 64


@dataclass(frozen=True, slots=True)
class DecodingRoom:
    """Room for so many pixels, shared by processes; one image always has room.

    The room is in slots, each a byte of a file that a process locks; the locks of one that is killed are gone with it.
    One process at a time gathers slots, so that none waits while it holds some that another waits for.

    Attributes:
        file: An empty file, the same for all.
        pixels: How many.
    """

    file: Path
    pixels: int

    @contextmanager
    def taken(self, pixels: int) -> Iterator[None]:
        """Waits until there is room for so many, and takes it for the block; not for several threads of a process."""
        wanted = min(_SLOTS, -(-pixels * _SLOTS // self.pixels))
        with self.file.open("r+b") as stream:  # closed, it gives back what was locked
            with suppress(OSError):  # a file system without locks
                fcntl.lockf(stream, fcntl.LOCK_EX, 1, _SLOTS)
                _take(stream, wanted)
                fcntl.lockf(stream, fcntl.LOCK_UN, 1, _SLOTS)
            yield


def _take(stream: BinaryIO, wanted: int) -> None:
    """Locks slots: those that are free, and then whichever others the first."""
    held: set[int] = set()
    for way in (fcntl.LOCK_EX | fcntl.LOCK_NB, fcntl.LOCK_EX):
        for slot in range(_SLOTS):
            if len(held) < wanted and slot not in held:
                with suppress(BlockingIOError):
                    fcntl.lockf(stream, way, 1, slot)
                    held.add(slot)
