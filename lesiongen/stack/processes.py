"""Starting, finding and stopping server processes that outlive the command that started them.

A server is known by a mark in its environment (the home folder that it serves), never by a remembered pid:
a pid may have been given to another program since, and a process started a moment before its starter was
killed would not be in any file. A server's own child processes inherit the mark and are stopped with it.
"""

import os
import signal
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import psutil

__all__ = ["find", "resident_mb", "start", "stop"]

HOME_MARK, SERVER_MARK = "LESIONGEN_STACK_OF", "LESIONGEN_STACK_SERVER"
STOP_SECONDS = 15.0


def start(command: Sequence[str], *, home: Path, server: str, variables: Mapping[str, str], log: Path) -> int:
    """Starts a server in a session of its own, so that no Ctrl-C or closed terminal reaches it.

    Args:
        command: Program and arguments.
        home: Home folder of the stack: the mark of the process, and its working directory.
        server: Name of the server among those of the stack.
        variables: Its whole environment.
        log: File to which its output is appended.

    Returns:
        The process id.
    """
    marked = {**variables, HOME_MARK: str(home), SERVER_MARK: server}
    append = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    # posix_spawn has neither a working directory nor a umask; the shell sets both and then becomes the server.
    # Files and Unix sockets are for the owner alone.
    in_home = ["/bin/sh", "-c", 'umask 077 && cd "$0" && exec "$@"', str(home), *command]
    return os.posix_spawn(
        in_home[0],
        in_home,
        marked,
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, str(log), append, 0o600),
            (os.POSIX_SPAWN_DUP2, 1, 2),
        ],
        setsid=True,
        # A command run in the background ignores some signals, and children would inherit that.
        setsigdef=[signal.SIGINT, signal.SIGTERM, signal.SIGPIPE],
    )


def find(home: Path, server: str | None = None) -> list[psutil.Process]:
    """Returns the live processes of a home's servers, oldest first; a server's first one is its leader."""
    found = [process for process in psutil.process_iter() if _belongs(process, home, server)]
    return sorted(found, key=lambda process: (process.create_time(), process.pid))


def stop(home: Path) -> None:
    """Stops every process of a home's servers: SIGTERM, and SIGKILL for what does not heed it."""
    deadline = time.monotonic() + 2 * STOP_SECONDS
    while (processes := find(home)) and time.monotonic() < deadline:
        _signal(processes, signal.SIGTERM)
        _, alive = psutil.wait_procs(processes, timeout=STOP_SECONDS)
        _signal(alive, signal.SIGKILL)
        psutil.wait_procs(alive, timeout=5)


def resident_mb(processes: Iterable[psutil.Process]) -> float:
    """Returns the resident memory of processes together, in MiB."""
    total = 0
    for process in processes:
        try:
            total += process.memory_info().rss
        except psutil.Error:
            continue
    return total / 2**20


def _belongs(process: psutil.Process, home: Path, server: str | None) -> bool:
    try:
        variables = process.environ()
    except (psutil.Error, OSError):  # another user's, or gone meanwhile
        return False
    return variables.get(HOME_MARK) == str(home) and server in (None, variables.get(SERVER_MARK))


def _signal(processes: Iterable[psutil.Process], number: signal.Signals) -> None:
    for process in processes:
        try:
            process.send_signal(number)  # refuses a pid that was given to another process meanwhile
        except psutil.Error:
            continue
