"""A ``finetune`` step that waits for a TrainJob, killed at a request to the Kubernetes API; its nodes live on.

Launchers and nodes are forked from a server that has imported what they need. A node runs the module of its job as
torchrun does, in a session of its own, so that it outlives its launcher as a pod does.
"""

import importlib
import json
import multiprocessing
import os
import re
import runpy
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from tests.faults.runs import PRELOADED

_QUICK = {
    "lease": {"RENEW_SECONDS": 0.5},
    "trainjob": {"POLL_SECONDS": 0.05},
    "trainjob_deletion": {"GONE_POLL_SECONDS": 0.05, "DELETE_SECONDS": 0.05},
    "trainjob_log": {"AGAIN_SECONDS": 0.1},
}


@dataclass(frozen=True)
class Launch:
    """One step of a pipeline run, as Kubeflow starts it and starts it again.

    Attributes:
        arguments: Arguments of the component ``finetune`` but its artifacts.
        dataset: The reference that the step before has published.
        folder: A folder of this step's own.
        environment: Variables that lead to the servers and to the cluster.
    """

    arguments: Mapping[str, Any]
    dataset: Path
    folder: Path
    environment: Mapping[str, str]

    def run(self, kill_at: str | None = None) -> int:
        """Runs the step; with a point it is killed there. Returns the exit code."""
        process = _context().Process(target=_launch, args=(self, kill_at), daemon=True)
        process.start()
        process.join(timeout=240)
        assert process.exitcode is not None, self.said()
        return process.exitcode

    def points(self) -> list[str]:
        """Returns where the step can be killed: before and after each kind of request since the last change."""
        names: list[str] = json.loads((self.folder / "requests.json").read_text())
        return [f"{when} {name}" for name in names for when in ("before", "after")]

    def model(self) -> str:
        """Returns the address of the published model."""
        address: str = json.loads((self.folder / "model").read_text())["uri"]
        return address

    def said(self) -> str:
        """Returns the log of all its starts."""
        return (self.folder / "log.txt").read_text()


class _ForkedNode:
    """A forked process with the face of a `subprocess.Popen`, which several threads may ask."""

    def __init__(self, process: BaseProcess) -> None:
        self._process, self._lock = process, threading.Lock()
        assert process.pid is not None
        self.pid = process.pid

    @property
    def returncode(self) -> int | None:
        return self.poll()

    def poll(self) -> int | None:
        with self._lock:  # the exit code is read from a pipe, once
            return self._process.exitcode

    def wait(self, timeout: float) -> int:
        until = time.monotonic() + timeout
        while (code := self.poll()) is None:
            if time.monotonic() > until:
                raise subprocess.TimeoutExpired("node", timeout)
            time.sleep(0.02)
        return code


def forked_node(
    command: list[str], variables: dict[str, str], folder: Path, log: Path, *, silent_seconds: float = 600.0
) -> _ForkedNode:
    """Starts the only process of a TrainJob's only node (`tests.kubeflow.trainer.TrainerDouble.start_node`)."""
    assert (variables["PET_NNODES"], variables["PET_NPROC_PER_NODE"]) == ("1", "1")
    module, specification = command[command.index("--module") + 1 :]
    there = {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1", "LOCAL_WORLD_SIZE": "1"}
    there |= {"MASTER_ADDR": variables["PET_MASTER_ADDR"], "MASTER_PORT": variables["PET_MASTER_PORT"]}
    arguments = (module, specification, variables | there, folder, log, silent_seconds)
    ready = _context().Event()
    process = _context().Process(target=_node, args=(*arguments, ready), daemon=True)
    process.start()
    assert ready.wait(60)
    return _ForkedNode(process)


def _context() -> Any:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    return context


def _node(
    module: str, specification: str, variables: dict[str, str], folder: Path, log: Path, silent: float, ready: Any
) -> None:
    from lesiongen.launch import lease

    os.setsid()
    ready.set()
    _begin_in(folder, log, variables)
    lease.SILENT_SECONDS, lease.LOOK_SECONDS = silent, 0.2
    sys.argv = [module, specification]
    runpy.run_module(module, run_name="__main__")


def _begin_in(folder: Path, log: Path, variables: Mapping[str, str]) -> None:
    """Leaves this process what a new one has: its variables, its folders, its log and one thread."""
    import torch

    os.environ.clear()
    os.environ.update(variables)
    os.chdir(folder)
    tempfile.tempdir = str(folder)
    written = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for stream in (1, 2):
        os.dup2(written, stream)
    torch.set_num_threads(1)


def _launch(launch: Launch, kill_at: str | None) -> None:
    from kubernetes.config import kube_config

    from components.finetune.component import finetune

    (launch.folder / "tmp").mkdir(exist_ok=True)
    _begin_in(launch.folder / "tmp", launch.folder / "log.txt", launch.environment)
    kube_config.KUBE_CONFIG_DEFAULT_LOCATION = launch.environment["KUBECONFIG"]
    for module, values in _QUICK.items():
        vars(importlib.import_module(f"lesiongen.launch.{module}")).update(values)
    names = _watch_requests(kill_at)
    given, made = (SimpleNamespace(path=str(path), metadata={}) for path in (launch.dataset, launch.folder / "model"))
    finetune.python_func(**launch.arguments, dataset=given, model=made)
    (launch.folder / "requests.json").write_text(json.dumps(list(names)))


def _watch_requests(kill_at: str | None) -> dict[str, None]:
    """Kills this process before or after a request; returns the requests that have come, each by its first."""
    from kubernetes.client.rest import RESTClientObject

    plain, names, changes, lock = RESTClientObject.request, dict[str, None](), 0, threading.Lock()

    def reach(point: str) -> None:
        if point == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)

    def request(self: RESTClientObject, method: str, url: str, *arguments: Any, **options: Any) -> Any:
        nonlocal changes
        with lock:
            changes += method != "GET"
            name = f"{changes} {method} {_kind(url)}"
            names[name] = None
        reach(f"before {name}")
        answer = plain(self, method, url, *arguments, **options)
        reach(f"after {name}")
        return answer

    RESTClientObject.request = request
    return names


def _kind(url: str) -> str:
    """Returns the kind of object that a request is about: the names of TrainJobs and pods differ from run to run."""
    found = re.search(r"/(trainingruntimes|trainjobs|pods|events|configmaps)(/[^/?]+)?(/log)?", url)
    assert found, url
    return f"{found[1]}{'/NAME' if found[2] else ''}{found[3] or ''}"
