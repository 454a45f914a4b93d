"""The inside of a launched process: its log, its errors, and its end when nobody waits for it any more."""

import logging
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from operator import itemgetter
from pathlib import Path
from typing import NoReturn

import psutil

from lesiongen import errors
from lesiongen.errors import Interrupted, LesionGenError, disk_error
from lesiongen.launch.lease import LEASE, follow_lease, stop_this_process
from lesiongen.outlets import guard_streams, log_to, show_traceback
from lesiongen.storage import Storage, as_json, open_storage

__all__ = ["ERRORS", "FOLDER", "LAUNCHER", "LEVEL", "error_of", "launcher_mark", "run_as_process", "tail", "worker"]

logger = logging.getLogger(__name__)

ERRORS = "LESIONGEN_JOB_ERRORS"
"""Address, a folder or an ``s3://`` prefix, where the processes of a job leave their errors."""
FOLDER = "LESIONGEN_JOB_FOLDER"
"""Folder of their own host where they leave their pids and logs; absent where the launcher is on another."""
LEVEL = "LESIONGEN_JOB_LOG_LEVEL"
"""How much the processes log: as much as their launcher."""
LAUNCHER = "LESIONGEN_JOB_LAUNCHER"
"""Pid and start of the process of this host that waits for the job; absent where it is on another."""
POLL_SECONDS = 1.0
TAIL_LINES = 20
CLOCK_SECONDS = 60.0
"""How far the host's clock may be corrected between the start of a launcher and that of its processes."""


def run_as_process(work: Callable[[str], None]) -> NoReturn:
    """Does the work that the command line names, and ends the process with its exit code.

    The interpreter is not taken down: threads of libraries outlive it (gloo's hold the tensors of the last reduction),
    and one that meets it half gone aborts a process whose work is done and saved.
    """
    code = 0
    try:
        work(sys.argv[1])
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except BaseException:
        code = 1
        show_traceback()
    for thread in threading.enumerate():
        if not thread.daemon and thread is not threading.main_thread():
            thread.join()
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


@contextmanager
def worker() -> Iterator[int]:
    """Surrounds the work of one process of a job, and gives its number; 0 is the first.

    A LesionGenError is left behind for the launcher to raise. Of several processes on the launcher's own host all but
    the first write to a log of their own, and each ends when the launcher was killed: a job that nobody waits for would
    continue unnoticed. On other hosts the first process follows the launcher's lease, where there is one: it gets
    SIGTERM when the lease says so or runs out.

    Raises:
        SystemExit: The work failed; the error's own exit code, or 1.
    """
    rank, place = int(os.environ["RANK"]), open_storage(os.environ[ERRORS])
    guard_streams()
    folder = os.environ.get(FOLDER)
    # Without a folder for logs the processes of a node share one: only the first of them reports the progress.
    reports = folder or os.environ.get("LOCAL_RANK", "0") == "0"
    log_to(sys.stderr, os.environ.get(LEVEL, "INFO") if reports else logging.WARNING)
    if folder:
        _belong_to_launcher(Path(folder), rank)
    if rank == 0 and (lease := os.environ.get(LEASE)):
        threading.Thread(target=follow_lease, args=(lease, stop_this_process), daemon=True).start()
    try:
        yield rank
    except LesionGenError as error:
        _leave_error(place, rank, error)
        sys.exit(error.exit_code)
    except Exception as error:
        if of_disk := disk_error(error):
            _leave_error(place, rank, of_disk)
            sys.exit(of_disk.exit_code)
        _leave(place, f"failure-{rank}.txt", traceback.format_exc())
        raise


def _belong_to_launcher(folder: Path, rank: int) -> None:
    """Lets the launcher of this host find the process and its log, and ends the process with the launcher."""
    (folder / f"pid-{rank}").write_text(str(os.getpid()))
    threading.Thread(target=_end_with, args=(os.environ[LAUNCHER],), daemon=True).start()
    if rank:
        log = os.open(folder / f"log-{rank}.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        for stream in (1, 2):
            os.dup2(log, stream)


def launcher_mark() -> str:
    """Returns what distinguishes this process from every other, a later one with the same pid included."""
    return f"{os.getpid()} {psutil.Process().create_time()}"


def error_of(place: Storage, *, stopping: bool) -> LesionGenError | None:
    """Returns the first error that a process of the job left behind, as what it was.

    Args:
        place: The storage that `ERRORS` names.
        stopping: Whether the processes were asked to stop; else one that says so was only ended after another failed.
    """
    left = [place.read_json(item.key) for item in place.list("error-") if item.key.endswith(".json")]
    for content in sorted(left, key=itemgetter("time")):
        error: LesionGenError = getattr(errors, content["kind"])(content["message"], hint=content["hint"])
        if stopping or not isinstance(error, Interrupted):
            return error
    for item in place.list("failure-"):
        return LesionGenError(f"A process of the job failed:\n{tail(place.read_text(item.key))}")
    return None


def tail(text: str) -> str:
    """Returns the last lines of a log."""
    return "\n".join(text.splitlines()[-TAIL_LINES:])


def _leave_error(place: Storage, rank: int, error: LesionGenError) -> None:
    # An error of another module is raised as the kind of ours that it is derived from.
    kind = next(each.__name__ for each in type(error).__mro__ if each.__module__ == errors.__name__)
    content = {"kind": kind, "message": str(error.args[0]), "hint": error.hint, "time": time.time()}
    _leave(place, f"error-{rank}.json", as_json(content))


def _leave(place: Storage, key: str, text: str) -> None:
    try:
        place.write_text(key, text)
    except LesionGenError as error:  # the storage cannot be reached, which may be the very error
        logger.error("%s cannot be written: %s\n%s", key, error, text)


def _end_with(launcher: str) -> None:
    pid, created = launcher.split()
    with suppress(psutil.NoSuchProcess):
        process = psutil.Process(int(pid))
        if abs(process.create_time() - float(created)) < CLOCK_SECONDS:
            # Not by its time of creation any more, which moves when the host's clock is corrected.
            while process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
                time.sleep(POLL_SECONDS)
    os._exit(1)
