"""A run of the pipeline that gets two signals ends, with its own exit code, and leaves neither servers nor steps."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from lesiongen.phantoms import PhantomConfig, write_phantoms
from tests.fault_points import points

pytestmark = pytest.mark.faults


def _left_of(home: Path) -> list[psutil.Process]:
    """The steps, which carry the mark of a run's environment, and the servers, which carry their home's."""
    found = []
    for process in psutil.process_iter():
        try:
            marks = [process.environ().get(name) for name in ("TEST_MARK", "LESIONGEN_STACK_OF")]
            if str(home) in marks and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except psutil.Error:  # it has ended, or is another user's
            continue
    return found


def _has_begun(home: Path, step: str) -> bool:
    logs = [path.read_text() for path in home.glob("runs/*/pipeline.log")]
    return any(f"Step {step} started" in text for text in logs) if step else any(home.glob("runs/*"))


def _wait_until(there: Callable[[], bool]) -> None:
    until = time.monotonic() + 180
    while not there():
        assert time.monotonic() < until
        time.sleep(0.1)


PROCESS, GROUP = (os.kill, 0.0), (os.killpg, 0.2)
STARTING, IN_A_STEP = "", "ingest"
CASES = {
    "the process while the servers start": (STARTING, *PROCESS),
    "its group while the servers start": (STARTING, *GROUP),
    "the process in a step": (IN_A_STEP, *PROCESS),
    "its group in a step": (IN_A_STEP, *GROUP),
}


@pytest.mark.parametrize(
    ("step", "send", "gap"), [pytest.param(*CASES[name], id=name) for name in points(list(CASES), step=3)]
)
def test_two_signals_stop_a_run_and_its_servers(tmp_path, step, send, gap):
    write_phantoms(PhantomConfig(n=20, size=64, seed=0), tmp_path / "phantoms")
    home, said = tmp_path / "home", tmp_path / "said"
    command = [
        *(sys.executable, "-m", "lesiongen", "pipeline", "run", "--home", str(home), "--preset", "miniature"),
        *("--source", str(tmp_path / "phantoms"), "--format", "image_folder"),
    ]
    with said.open("w") as screen:
        run = subprocess.Popen(
            command, env={**os.environ, "TEST_MARK": str(home)}, stdout=screen, stderr=screen, start_new_session=True
        )
    try:
        _wait_until(lambda: _has_begun(home, step))
        send(run.pid, signal.SIGTERM)
        time.sleep(gap)
        send(run.pid, signal.SIGTERM)
        assert run.wait(timeout=240) == 75
        assert "The pipeline was stopped by SIGTERM" in said.read_text()
        assert "Traceback" not in said.read_text()
        _, alive = psutil.wait_procs(_left_of(home), timeout=10)
        assert not alive
    finally:
        for process in _left_of(home):
            process.kill()
        run.wait()
