"""Processes on this host: errors arrive as what they are, a stop reaches everyone, nothing is left behind."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from lesiongen.errors import DataError, Interrupted, LesionGenError, StorageError
from lesiongen.launch import Job, LocalLauncher, local

MODULE = """
import errno, json, os, signal, sys, time
from pathlib import Path
from lesiongen.errors import DataError, Interrupted
from lesiongen.imaging import ImageError
from lesiongen.launch import worker

told = json.loads(sys.argv[1])
with worker() as rank:
    stopped = []
    signal.signal(signal.SIGTERM, lambda *_: stopped.append(True))
    Path(told["folder"], f"ran-{rank}").write_text(f"{os.environ['WORLD_SIZE']} {os.getpid()}")
    if told["do"] == "refuse" and rank == 1:
        raise DataError("row 7 is wrong", hint="Correct it.")
    if told["do"] == "break" and rank == 1:
        raise KeyError("lost")
    if told["do"] == "fill" and rank == 1:
        raise OSError(errno.ENOSPC, "No space left on device", "step-7.safetensors")
    if told["do"] == "misread" and rank == 1:
        raise ImageError("not an image", "x.png")
    if told["do"] == "die" and rank == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    if told["do"] == "abort" and rank == 1:
        print("terminate called without an active exception", flush=True)
        os.abort()
    while told["do"] != "end" and not stopped:
        time.sleep(0.05)
    if stopped:
        raise Interrupted("stopped after step 3")
"""


@pytest.fixture
def run(tmp_path, monkeypatch):
    (tmp_path / "a_job.py").write_text(MODULE)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))

    def launch(do, stop=lambda: False):
        LocalLauncher().run(Job("a_job", json.dumps({"do": do, "folder": str(tmp_path)}), 2), stop)

    return launch


def _pids(folder: Path) -> list[int]:
    return [int(path.read_text().split()[1]) for path in folder.glob("ran-*")]


def _gone(pids: list[int], seconds: float) -> bool:
    until = time.monotonic() + seconds
    while any(psutil.pid_exists(pid) for pid in pids) and time.monotonic() < until:
        time.sleep(0.1)
    return not any(psutil.pid_exists(pid) for pid in pids)


def test_a_job_runs_in_as_many_processes_as_are_asked_for(run, tmp_path):
    run("end")
    assert sorted(path.name for path in tmp_path.glob("ran-*")) == ["ran-0", "ran-1"]
    assert {path.read_text().split()[0] for path in tmp_path.glob("ran-*")} == {"2"}


def test_an_error_of_one_process_is_raised_as_it_is_and_ends_the_others(run, tmp_path):
    with pytest.raises(DataError, match="row 7 is wrong\nCorrect it.") as raised:
        run("refuse")
    assert raised.value.exit_code == 1
    assert _gone(_pids(tmp_path), 10)


@pytest.mark.parametrize(
    ("do", "kind", "message"),
    [
        ("fill", StorageError, "^A file cannot be written: step-7.safetensors: No space left on device\nFree some"),
        ("misread", DataError, "^not an image: x.png$"),  # an error of another module is what it is derived from
    ],
)
def test_what_a_process_meets_is_the_error_that_its_user_is_meant_to_read(run, do, kind, message):
    with pytest.raises(kind, match=message):
        run(do)


@pytest.mark.parametrize(
    ("do", "message"),
    [
        ("break", "KeyError: 'lost'"),
        ("die", r"was killed \(SIGKILL\)"),
        ("abort", "ended by SIGABRT, and left no error.\nterminate called without"),
    ],
)
def test_a_process_that_fails_or_dies_is_told_and_only_one_that_was_killed_may_have_lacked_memory(
    run, tmp_path, do, message
):
    with pytest.raises(LesionGenError, match=message) as raised:
        run(do)
    assert ("memory" in str(raised.value)) == (do == "die")
    assert _gone(_pids(tmp_path), 10)


def test_a_stop_reaches_the_processes_which_save_their_state(run, tmp_path):
    with pytest.raises(Interrupted, match="stopped after step 3"):
        run("wait", stop=lambda: len(_pids(tmp_path)) == 2)
    assert _gone(_pids(tmp_path), 10)


def test_processes_end_with_a_killed_launcher(tmp_path):
    (tmp_path / "a_job.py").write_text(MODULE)
    told = json.dumps({"do": "wait", "folder": str(tmp_path)})
    program = f"from lesiongen.launch import *; LocalLauncher().run(Job('a_job', {told!r}, 2), lambda: False)"
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    with subprocess.Popen([sys.executable, "-c", program], env=environment) as launcher:
        until = time.monotonic() + 60
        while len(_pids(tmp_path)) < 2 and time.monotonic() < until:
            time.sleep(0.1)
        launcher.send_signal(signal.SIGKILL)
    pids = _pids(tmp_path)
    assert len(pids) == 2
    assert _gone(pids, 20)


def test_a_corrected_clock_ends_no_process(monkeypatch):
    """A process's time of creation is told by the host's clock, and moves with it."""
    worker = sys.modules["lesiongen.launch.worker"]  # the package gives the name to a function
    mark, created, polls = worker.launcher_mark(), psutil.Process().create_time(), []

    def sleep(_):
        monkeypatch.setattr(psutil.Process, "create_time", lambda self: created - 3600.0 * len(polls))
        polls.append("alive")
        if len(polls) == 3:
            raise InterruptedError

    monkeypatch.setattr(worker.time, "sleep", sleep)
    monkeypatch.setattr(worker.os, "_exit", lambda code: polls.append("ended"))
    with pytest.raises(InterruptedError):
        worker._end_with(mark)
    assert polls == ["alive"] * 3


def test_a_pid_that_another_user_has_taken_disturbs_nobody(tmp_path, monkeypatch):
    def refuse(self):
        raise psutil.AccessDenied(self.pid)

    (tmp_path / "pid-0").write_text(str(os.getpid()))
    monkeypatch.setattr(psutil.Process, "environ", refuse)
    assert not local._signal(tmp_path, signal.SIGTERM)
