"""Stages that a test kills before any change that they make to their storage, each in a process of its own.

Changes of folders are seen by Python's audit events, changes of an S3 server by its client's requests.
"""

import hashlib
import importlib
import logging
import multiprocessing
import os
import re
import signal
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lesiongen.errors import LesionGenError
from lesiongen.storage import open_storage
from tests.faults.runs import PRELOADED

Stage = Callable[..., object]
_CHANGES = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link", "shutil.rmtree"}
_REQUESTS = {"PutObject", "DeleteObject", "DeleteObjects", "UploadPart", "CompleteMultipartUpload"}


@dataclass(frozen=True)
class Trial:
    """A stage with its arguments, and the place that is its own.

    Attributes:
        stage: The stage's function, as ``module:name``.
        arguments: Its arguments.
        output: Where it publishes.
        folder: A local folder of this trial's own: temporary files, the log, and the output where it is local.
        environment: Variables that lead to the servers.
    """

    stage: str
    arguments: Mapping[str, Any]
    output: str
    folder: Path
    environment: Mapping[str, str]

    def run(self, kill_before: int | None = None) -> int:
        """Runs the stage; with a number it is killed before that change (1 is the first). Returns the exit code."""
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(PRELOADED)
        process = context.Process(target=_work, args=(self, kill_before), daemon=True)
        process.start()
        process.join(timeout=300)
        assert process.exitcode is not None, "it hangs"
        return process.exitcode

    def let_a_minute_pass(self) -> None:
        """Makes hidden files of killed writers as old as those that the next writer removes."""
        for path in self.folder.rglob(".*.partial"):
            if path.is_file():
                os.utime(path, (path.stat().st_atime - 61, path.stat().st_mtime - 61))

    def changes(self) -> int:
        """Returns how many changes the last start made that came to its end."""
        return int(re.findall(r"(\d+) changes", self.said())[-1])

    def said(self) -> str:
        """Returns the log of all its starts."""
        return (self.folder / "log.txt").read_text()

    def content(self) -> dict[str, str]:
        """Returns the digest of every object that is published, but for what tells the time."""
        storage = open_storage(self.output)
        return {
            item.key: hashlib.sha256(_timeless(storage.read_bytes(item.key), self)).hexdigest()
            for item in storage.list()
        }

    def left(self) -> list[str]:
        """Returns what lies in this trial's folder beside the output and the log: hidden files, temporary ones."""
        known = {self.folder / "log.txt", self.folder / "tmp", Path(self.output)}
        paths = (path for path in self.folder.rglob("*") if path not in known)
        found = (path for path in paths if path.name.startswith(".") or not path.is_relative_to(self.output))
        # Killed in the instant in which it was made, it is empty and goes after a minute.
        return [str(path) for path in found if not path.name.startswith(".lesiongen-new-")]


def _timeless(data: bytes, trial: Trial) -> bytes:
    """Leaves out when it was made, and where: both differ from trial to trial. What another tool times is left out."""
    if b'"great_expectations' in data or b"expectation_config" in data:
        return b""
    return re.sub(rb'"(created|manifest_sha256)": "[^"]*"', b"", data.replace(str(trial.output).encode(), b"OUTPUT"))


def _work(trial: Trial, kill_before: int | None) -> None:
    import torch

    torch.set_num_threads(1)
    os.environ.update(trial.environment)
    (trial.folder / "tmp").mkdir(exist_ok=True)
    tempfile.tempdir = str(trial.folder / "tmp")
    logging.basicConfig(filename=trial.folder / "log.txt", level=logging.INFO, force=True)
    module, name = trial.stage.split(":")
    stage: Stage = getattr(importlib.import_module(module), name)
    count = _kill_before(kill_before, trial)
    try:
        stage(**trial.arguments)
        logging.getLogger(__name__).info("%d changes", count())
    except LesionGenError as error:
        logging.getLogger(__name__).error("%s", error)  # noqa: TRY400  the tests read the sentence
        os._exit(error.exit_code)
    os._exit(0)


def _kill_before(number: int | None, trial: Trial) -> Callable[[], int]:
    """Kills this process before a change; returns what counts the changes."""
    count, lock = 0, threading.Lock()

    def change() -> None:
        nonlocal count
        with lock:
            count += 1
            if count == number:
                os.kill(os.getpid(), signal.SIGKILL)

    def audit(event: str, arguments: tuple[Any, ...]) -> None:
        changes = event in _CHANGES or (event == "open" and arguments[2] & os.O_CREAT)
        if changes and str(trial.folder) in str(arguments) and "log.txt" not in str(arguments):
            change()

    if trial.output.startswith("s3://"):
        _count_requests(change)
    else:
        sys.addaudithook(audit)
    return lambda: count


def _count_requests(change: Callable[[], None]) -> None:
    from botocore.client import BaseClient

    plain = BaseClient._make_api_call

    def call(self: BaseClient, operation: str, parameters: dict[str, Any]) -> Any:
        if operation not in _REQUESTS:
            return plain(self, operation, parameters)
        change()
        answer = plain(self, operation, parameters)
        change()
        return answer

    BaseClient._make_api_call = call  # type: ignore[method-assign]
