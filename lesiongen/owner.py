"""Which process something belongs to, so that another process can find out whether that one still lives."""

import os
import socket
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

__all__ = ["Owner", "this_process"]

_DEAD_STATES, _ENDED = ("Z", "X"), -1


@dataclass(frozen=True)
class Owner:
    """A process: where it runs, its number there, and when it started.

    Attributes:
        host: Name of the host.
        system: Which start of which system, and which process namespace of it, the number counts in. Two containers
            may share a host's name and not know each other's processes.
        pid: Process id.
        ticks: When the process started, in the kernel's ticks since the system did; no clock changes it.
        since: When this was written down; UTC, ISO 8601.
    """

    host: str
    system: str
    pid: int
    ticks: int
    since: str

    def __str__(self) -> str:
        return f"host {self.host}, pid {self.pid}, since {self.since}"

    @classmethod
    def parse(cls, value: object) -> "Owner | None":
        """Reads what `plain` returned; None where it is something else."""
        try:
            return _OWNER.validate_python(value)
        except ValidationError:
            return None

    def plain(self) -> dict[str, Any]:
        """Returns the owner as JSON knows it."""
        return asdict(self)

    def lives(self) -> bool | None:
        """Tells whether the process still runs; None where that cannot be known from here."""
        if not self.system or self.system != _system() or self.pid <= 0:
            return None
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return False
        except OverflowError:
            return None
        except PermissionError:
            pass  # another user's: it runs, but where /proc is mounted with hidepid it shows nothing of itself
        ticks = _started(self.pid)
        return None if ticks is None else ticks == self.ticks

    def is_this_process(self) -> bool:
        """Tells whether it is the process that asks."""
        return self.pid == os.getpid() and self.lives() is True


_OWNER = TypeAdapter(Owner)


def this_process() -> Owner:
    """Returns the owner of what this process makes now."""
    pid = os.getpid()
    since = datetime.now(UTC).isoformat(timespec="seconds")
    return Owner(socket.gethostname(), _system(), pid, _started(pid) or 0, since)


@cache
def _system() -> str:
    """Names the running kernel and the process namespace; empty where the system does not report them."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return ""


def _started(pid: int) -> int | None:
    """Returns when a process started, `_ENDED` for a killed one that nobody waited for, None where it is not shown."""
    try:
        content = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    state, *values = content.rpartition(")")[2].split()  # the name before it may hold anything
    return _ENDED if state in _DEAD_STATES else int(values[18])
