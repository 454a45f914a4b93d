"""A run that is asked to stop: however many signals come, its steps save their state and it ends."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from pipelines.stopping import StopOfRun

RUN = """
import subprocess, sys
from functools import partial
from lesiongen.errors import Interrupted
from pipelines.stopping import EXECUTOR, signal_processes, stop_of_run

_, run, folder, step = sys.argv
try:
    with stop_of_run() as stop:
        with stop.passed_on(partial(signal_processes, run)):
            subprocess.Popen([sys.executable, "-c", step, EXECUTOR, folder]).wait()
        stop.check("again")
except Interrupted as error:
    sys.exit(error.exit_code)
"""
SAVES = """
import signal, sys, time
from pathlib import Path

def save(*_):
    Path(sys.argv[2], "saved").touch()
    sys.exit(75)

signal.signal(signal.SIGINT, signal.SIG_IGN)
signal.signal(signal.SIGTERM, save)
Path(sys.argv[2], "started").touch()
time.sleep(300)
"""
DEAF = SAVES.replace("signal.SIGTERM, save", "signal.SIGTERM, signal.SIG_IGN")


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Any]:
    """Starts a run of one step in a process group of its own, and waits until the step is at work."""
    started: list[subprocess.Popen[bytes]] = []

    def begin(step: str) -> "subprocess.Popen[bytes]":
        environment = {**os.environ, "LESIONGEN_PIPELINE_RUN": str(tmp_path)}
        command = [sys.executable, "-c", RUN, str(tmp_path), str(tmp_path), step]
        started.append(subprocess.Popen(command, env=environment, start_new_session=True))
        until = time.monotonic() + 120
        while not (tmp_path / "started").exists() and time.monotonic() < until:
            time.sleep(0.05)
        return started[-1]

    yield begin
    for process in started:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _end(run: "subprocess.Popen[bytes]", children: list[psutil.Process]) -> int:
    code = run.wait(timeout=120)
    _, alive = psutil.wait_procs(children, timeout=10)
    assert not alive
    return code


@pytest.mark.parametrize("send", [os.kill, os.killpg], ids=["the process", "its group"])
def test_a_storm_of_signals_is_one_request_and_the_step_saves_its_state(start: Any, tmp_path: Path, send: Any) -> None:
    """As `timeout` and a terminal send them; the handler of one runs within that of another."""
    run = start(SAVES)
    children = psutil.Process(run.pid).children(recursive=True)
    for number in [signal.SIGINT, signal.SIGTERM] * 100:
        # The group's SIGTERM would reach the step itself: what is looked at is what the run passes on.
        send(run.pid, signal.SIGINT if send is os.killpg else number)
    assert _end(run, children) == 75
    assert (tmp_path / "saved").exists()


def test_a_second_request_kills_a_step_that_does_not_end(start: Any) -> None:
    run = start(DEAF)
    children = psutil.Process(run.pid).children(recursive=True)
    for _ in range(2):
        run.send_signal(signal.SIGINT)
        time.sleep(1.5)
    assert _end(run, children) == 75


def test_a_third_request_ends_the_run_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    def end(code: int) -> None:
        raise SystemExit(code)

    now = [0.0]
    monkeypatch.setattr("lesiongen.interruption.time.monotonic", lambda: now[0])
    monkeypatch.setattr("pipelines.stopping.os._exit", end)
    stop = StopOfRun()
    for second in (0.0, 0.3, 2.0):  # the second signal belongs to the first request
        now[0] = second
        stop._note(signal.SIGINT)
    now[0] = 4.0
    with pytest.raises(SystemExit, match="130"):
        stop._note(signal.SIGINT)
