"""The inside of a launched process: its log, its errors, and its end when nobody waits for it any more."""

import json
import logging
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NoReturn

import psutil

from lesiongen import errors
from lesiongen.errors import Interrupted, LesionGenError, disk_error
from lesiongen.outlets import guard_streams, log_to, show_traceback

__all__ = ["FOLDER", "LAUNCHER", "LEVEL", "error_of", "launcher_mark", "run_as_process", "worker"]

FOLDER = "LESIONGEN_JOB_FOLDER"
"""Names the folder where the processes of a job leave their pids, logs and errors."""
LEVEL = "LESIONGEN_JOB_LOG_LEVEL"
"""How much the processes log: as much as their launcher."""
LAUNCHER = "LESIONGEN_JOB_LAUNCHER"
"""Pid and start of the process that waits for the job."""
POLL_SECONDS = 1.0
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

    A LesionGenError is left behind for the launcher to raise. Processes but the first write to a log of their own.
    The process ends when its launcher was killed: a job that nobody waits for would go on in secret.

    Raises:
        SystemExit: The work failed; the error's own exit code, or 1.
    """
    rank, folder = int(os.environ["RANK"]), Path(os.environ[FOLDER])
    guard_streams()
    log_to(sys.stderr, os.environ.get(LEVEL, "INFO"))
    (folder / f"pid-{rank}").write_text(str(os.getpid()))
    threading.Thread(target=_end_with, args=(os.environ[LAUNCHER],), daemon=True).start()
    if rank:
        log = os.open(folder / f"log-{rank}.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        for stream in (1, 2):
            os.dup2(log, stream)
    try:
        yield rank
    except LesionGenError as error:
        _leave_error(folder / f"error-{rank}.json", error)
        sys.exit(error.exit_code)
    except Exception as error:
        if of_disk := disk_error(error):
            _leave_error(folder / f"error-{rank}.json", of_disk)
            sys.exit(of_disk.exit_code)
        _leave(folder / f"failure-{rank}.txt", traceback.format_exc())
        raise


def launcher_mark() -> str:
    """Returns what tells this process from every other, a later one with the same pid included."""
    return f"{os.getpid()} {psutil.Process().create_time()}"


def error_of(folder: Path, *, stopping: bool) -> LesionGenError | None:
    """Returns the first error that a process of the job left behind, as what it was.

    Args:
        folder: The job's.
        stopping: Whether the processes were asked to stop; else one that says so was only ended after another failed.
    """
    for path in sorted(folder.glob("error-*.json"), key=lambda path: path.stat().st_mtime_ns):
        content = json.loads(path.read_text(encoding="utf-8"))
        error: LesionGenError = getattr(errors, content["kind"])(content["message"], hint=content["hint"])
        if stopping or not isinstance(error, Interrupted):
            return error
    return None


def _leave_error(path: Path, error: LesionGenError) -> None:
    # An error of another module is raised as the kind of ours that it is derived from.
    kind = next(each.__name__ for each in type(error).__mro__ if each.__module__ == errors.__name__)
    _leave(path, json.dumps({"kind": kind, "message": str(error.args[0]), "hint": error.hint}))


def _leave(path: Path, text: str) -> None:
    temporary = path.with_name(f".{path.name}")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)


def _end_with(launcher: str) -> None:
    pid, created = launcher.split()
    with suppress(psutil.NoSuchProcess):
        process = psutil.Process(int(pid))
        if abs(process.create_time() - float(created)) < CLOCK_SECONDS:
            # Not by its time of creation any more, which moves when the host's clock is corrected.
            while process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
                time.sleep(POLL_SECONDS)
    os._exit(1)
