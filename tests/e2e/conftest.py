"""What the end-to-end tests share: generated images, and a command line that is watched while it runs."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from lesiongen.phantoms import PhantomConfig, write_phantoms

COMMAND = str(Path(sys.executable).parent / "lesiongen")


@pytest.fixture(scope="session")
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small collection of generated lesions, as an image folder."""
    folder = tmp_path_factory.mktemp("source") / "Bilder für Ärzte"
    write_phantoms(PhantomConfig(n=140, size=64, seed=0), folder)
    return folder


class Command:
    """A ``lesiongen`` command that runs; its standard error is read line by line."""

    def __init__(self, *arguments: str, folder: Path, **variables: str) -> None:
        environment = {**os.environ, "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "2"), **variables}
        self.process = subprocess.Popen(
            [COMMAND, *arguments], env=environment, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            # What was read line by line may end within a character, of which `communicate` then gets the rest.
            encoding="utf-8", errors="replace",
        )  # fmt: skip
        self.lines: list[str] = []

    def wait_for(self, pattern: str) -> None:
        """Reads until a line matches."""
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.lines.append(line.rstrip())
            if re.search(pattern, line):
                return
        pytest.fail(f"{pattern!r} was never written:\n" + "\n".join(self.lines[-40:]))

    def terminate(self) -> None:
        self.process.send_signal(signal.SIGTERM)

    def finish(self) -> tuple[int, str, str]:
        """Waits for the end: exit code, standard output, standard error."""
        output, errors = self.process.communicate(timeout=400)
        return self.process.returncode, output, "\n".join([*self.lines, errors])

    def close(self) -> None:
        self.process.wait(timeout=60)
        for stream in (self.process.stdout, self.process.stderr):
            assert stream is not None
            stream.close()


@pytest.fixture
def run_command(foreign_modules: Path) -> Any:
    """Starts ``lesiongen pipeline run`` with JSON as its result, so that its progress is on standard error.

    It runs in a folder whose modules have the names of libraries'.
    """
    started: list[Command] = []

    def start(*arguments: str, **variables: str) -> Command:
        started.append(Command("pipeline", "run", "--json", *arguments, folder=foreign_modules, **variables))
        return started[-1]

    yield start
    for command in started:
        if command.process.poll() is None:
            command.terminate()
        command.close()


def result_of(command: Any) -> dict[str, Any]:
    """The JSON that a finished run printed."""
    code, output, errors = command.finish()
    assert code == 0, errors[-6000:]
    content: dict[str, Any] = json.loads(output)
    return content


@pytest.fixture
def finished() -> Any:
    """Waits for a run and returns its result."""
    return result_of
