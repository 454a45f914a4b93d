"""Runs a package as the double of the server does: with kfp.local, in a process that can be killed."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

_PROGRAM = """
import json, sys, warnings
warnings.simplefilter("ignore")
from kfp import components, local
package, root, arguments = sys.argv[1:]
local.init(runner=local.SubprocessRunner(use_venv=False), pipeline_root=root, raise_on_error=True)
components.load_component_from_file(package)(**json.loads(arguments))
"""
_COLOUR = re.compile(r"\x1b\[\d+m")
_EXECUTING = re.compile(r"Executing task '([\w-]+)'")
_FINISHED = re.compile(r"Task '([\w-]+)' finished with status (\w+)")


class Execution:
    """One run of a package.

    Args:
        package: The YAML file.
        arguments: Its arguments.
        folder: Where its outputs go.
        run: Id of the run, which pods get from their label.
    """

    def __init__(self, package: Path, arguments: dict[str, Any], folder: Path, *, run: str) -> None:
        self.states: dict[str, str] = {}
        self.logs: dict[str, str] = {}
        self.ended: bool | None = None
        """Whether it succeeded; None while it runs."""
        self._folder = folder
        command = [sys.executable, "-c", _PROGRAM, str(package), str(folder), json.dumps(arguments)]
        environment = {**os.environ, "PYTHONUNBUFFERED": "1", "LESIONGEN_PIPELINE_RUN": run}
        self._process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
            env=environment,
        )
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()

    def kill(self) -> None:
        """Ends it with SIGKILL, its steps too."""
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
        self._thread.join()

    def _watch(self) -> None:
        step = ""
        with self._process as process:
            for line in process.stdout or ():
                line = _COLOUR.sub("", line)
                if found := _EXECUTING.search(line):
                    step = found[1]
                    self.states[step] = "RUNNING"
                elif found := _FINISHED.search(line):
                    succeeded = found[2] == "SUCCESS" and not self._null_in_metadata(found[1])
                    self.states[found[1]] = "SUCCEEDED" if succeeded else "FAILED"
                elif step:
                    self.logs[step] = self.logs.get(step, "") + line.removeprefix("    ")
        succeeded = process.returncode == 0 and "FAILED" not in self.states.values()
        self.states = {name: "FAILED" if state == "RUNNING" else state for name, state in self.states.items()}
        self.ended = succeeded

    def _null_in_metadata(self, step: str) -> bool:
        """Tells whether an output has a null at the top level of its metadata, which the launcher refuses."""
        for path in self._folder.glob(f"*/{step}/executor_output.json"):
            artifacts = json.loads(path.read_text(encoding="utf-8")).get("artifacts", {})
            for one in (each for listed in artifacts.values() for each in listed["artifacts"]):
                if None in one.get("metadata", {}).values():
                    self.logs[step] = self.logs.get(step, "") + f"{step}: metadata value is null\n"
                    return True
        return False
