"""Several processes on this host, by torchrun."""

import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import ClassVar

import joblib
import psutil

from lesiongen.errors import Interrupted, LesionGenError
from lesiongen.launch.job import Job, Launcher
from lesiongen.launch.worker import ERRORS, FOLDER, LAUNCHER, LEVEL, error_of, launcher_mark, tail
from lesiongen.safe_path import safe_variables
from lesiongen.storage import open_storage
from lesiongen.temporary import temporary_folder

__all__ = ["LocalLauncher"]

POLL_SECONDS = 0.2


class LocalLauncher(Launcher):
    """Runs the processes of a job on this host, the cores shared among them."""

    shares_files: ClassVar[bool] = True

    def run(self, job: Job, stop_requested: Callable[[], bool]) -> None:
        """Starts torchrun and waits for it; see `Launcher.run`."""
        with temporary_folder("job") as folder:
            # In a session of its own: Ctrl-C in a terminal must reach the processes once, through us.
            agent = subprocess.Popen(_command(job), env=_environment(job, folder), start_new_session=True)
            try:
                _wait(agent, folder, stop_requested)
            finally:
                _end(agent, folder)
            if agent.returncode != 0:
                raise _error(folder, agent.returncode, stopping=stop_requested())


def _command(job: Job) -> list[str]:
    torchrun = [sys.executable, "-m", "lesiongen.launch.agent", "--standalone"]
    return [*torchrun, f"--nproc-per-node={job.processes}", "--module", job.module, job.specification]


def _environment(job: Job, folder: Path) -> dict[str, str]:
    threads = job.threads or max(joblib.cpu_count() // job.processes, 1)
    level = logging.getLevelName(logging.getLogger("lesiongen").getEffectiveLevel())
    # torchrun says on standard error how it starts; what matters is in the processes' own words.
    own = {"OMP_NUM_THREADS": str(threads), "TORCH_CPP_LOG_LEVEL": "ERROR", LEVEL: level}
    place = {FOLDER: str(folder), ERRORS: str(folder), LAUNCHER: launcher_mark()}
    return {**os.environ, **safe_variables(), **own, **place}


def _wait(agent: "subprocess.Popen[bytes]", folder: Path, stop_requested: Callable[[], bool]) -> None:
    passed_on = False
    while agent.poll() is None:
        if stop_requested() and not passed_on:
            # Not to torchrun: it would give its processes half a minute, and a checkpoint may take longer.
            passed_on = _signal(folder, signal.SIGTERM)
        time.sleep(POLL_SECONDS)


def _end(agent: "subprocess.Popen[bytes]", folder: Path) -> None:
    if agent.poll() is None:
        agent.terminate()
        with suppress(subprocess.TimeoutExpired):
            agent.wait(timeout=5)
    _signal(folder, signal.SIGKILL)
    if agent.poll() is None:
        agent.kill()
    agent.wait()


def _signal(folder: Path, number: signal.Signals) -> bool:
    """Sends a signal to the processes that have started and still run."""
    reached = False
    for path in folder.glob("pid-*"):
        # Another process may have taken the pid, whose environment may be none of ours to read.
        with suppress(psutil.Error, ValueError):
            process = psutil.Process(int(path.read_text()))
            if process.environ().get(FOLDER) == str(folder):
                process.send_signal(number)
                reached = True
    return reached


def _error(folder: Path, code: int, *, stopping: bool) -> LesionGenError:
    if left := error_of(open_storage(folder), stopping=stopping):
        return left
    number = -code if code < 0 else code - 128
    if stopping and number == signal.SIGTERM:  # it came before the process could answer it
        return Interrupted("Stopped before there was anything to save.", hint="Start the same command again.")
    if number == signal.SIGKILL:
        return LesionGenError(
            "A process of the job was killed (SIGKILL).",
            hint="The system kills a process when memory runs out: a smaller batch_size takes less. "
            "Run the same command again to resume.",
        )
    how = f"by {signal.Signals(number).name}" if number in set(signal.Signals) else f"with exit code {code}"
    logs = (path.read_text(encoding="utf-8", errors="replace") for path in sorted(folder.glob("log-*.txt")))
    said = "".join(f"\n{tail(log)}" for log in logs)
    return LesionGenError(
        f"A process of the job ended {how}, and left no error.{said}",
        hint="Run the same command again to resume.",
    )
