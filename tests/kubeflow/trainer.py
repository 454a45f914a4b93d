"""A double of a cluster with Kubeflow Trainer, for the real kubernetes client: it runs each node as a torchrun process.

What it stands for is the API server (objects, status codes, logs) and Trainer's torch plugin (the ``PET_`` variables).
It has neither a scheduler nor kubelets: their part is scripted.
"""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Protocol
from urllib.parse import parse_qs, urlsplit

import yaml

from tests.kubeflow import crds

ROOT = Path(__file__).parents[2]
NAMESPACE = "science"
API = "/apis/trainer.kubeflow.org/v1alpha1"
JOBS = f"{API}/namespaces/{NAMESPACE}/trainjobs"
CORE = f"/api/v1/namespaces/{NAMESPACE}"
NOW = "2026-11-30T12:00:00Z"


def variables_of(job: dict, given: Mapping[str, object]) -> dict[str, str]:
    """Returns the variables that a TrainJob sets, as Kubernetes expands them with those of the runtime."""
    known = dict(given)
    for each in job["spec"]["trainer"]["env"]:
        known[each["name"]] = _expanded(each["value"], known)
    return {each["name"]: str(known[each["name"]]) for each in job["spec"]["trainer"]["env"]}


def arguments_of(job: dict, variables: Mapping[str, object]) -> list[str]:
    """Returns the arguments of a TrainJob's nodes, as Kubernetes expands them with the variables of the container."""
    return [_expanded(each, variables) for each in job["spec"]["trainer"]["args"]]


def _expanded(text: str, variables: Mapping[str, object]) -> str:
    def meant(found: re.Match[str]) -> str:
        return "$" if found[0] == "$$" else str(variables.get(found[1], found[0]))

    return re.sub(r"\$\$|\$\(([^)]*)\)", meant, text)


class Refused(Exception):
    """An answer that is not 200."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Node(Protocol):
    """A process that leads a session of its own, as `subprocess.Popen` has it."""

    pid: int
    returncode: int | None

    def poll(self) -> int | None: ...

    def wait(self, timeout: float) -> int: ...


def _process(command: list[str], variables: dict[str, str], folder: Path, log: Path) -> Node:
    with log.open("wb") as file:
        return subprocess.Popen(
            command, env=variables, cwd=folder, stdin=subprocess.DEVNULL, stdout=file, stderr=file,
            start_new_session=True,
        )  # fmt: skip


class TrainerDouble:
    """A namespace of a cluster.

    Args:
        folder: Where the nodes have their homes and their logs.

    Attributes:
        script: Called with each TrainJob that is created; None: its nodes run.
        refuse: (method, path pattern) to the answer that is given in place of the usual one.
        lingers: How often a deleted TrainJob is still found.
        pods_linger: How often its pods are still found after that.
        answers_late: Answers 503 to the creation of a TrainJob that it has created.
        burst: How many lines in a row have one time, as CRI-O gives all those that it reads at once.
        cuts: After how many lines each connection to a log breaks; the connections after that do not.
        rotated: How many lines at its beginning the log of a pod has lost, once a connection to it has broken.
        requests: Methods and paths that have come.
        start_node: Starts the command of a node, with its variables, in its folder and with its log.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.jobs: dict[str, dict] = {}
        self.created: list[dict] = []
        self.deleted: list[str] = []
        self.pods: dict[str, list[dict]] = {}
        self.events: list[dict] = []
        self.logs: dict[str, str] = {}
        self.processes: dict[str, list[Node]] = {}
        self.script: Callable[[dict], None] | None = None
        self.start_node: Callable[[list[str], dict[str, str], Path, Path], Node] = _process
        self.refuse: dict[tuple[str, str], Refused] = {}
        self.lingers = self.pods_linger = 0
        self.answers_late = False
        self.cuts: list[int] = []
        self.burst = 1
        self.rotated: dict[str, int] = {}
        self.hidden = False
        """Whether lists leave the TrainJobs out, as they do that were created a moment later."""
        self.requests: list[tuple[str, str]] = []
        self._left: dict[str, int] = {}
        self._pods_left: dict[str, int] = {}
        runtimes = [yaml.safe_load(path.read_text()) for path in (ROOT / "infra/trainer").glob("lesiongen-*.yaml")]
        self.runtimes = {each["metadata"]["name"]: each for each in runtimes}

    def answer(self, method: str, path: str, query: dict[str, str], body: dict | None) -> dict:
        """Returns the answer to a request.

        Raises:
            Refused: It is an error.
        """
        self.requests.append((method, path))
        for (refused, pattern), answer in self.refuse.items():
            if refused == method and re.search(pattern, path):
                raise answer
        if path == JOBS:
            return self._create(body) if method == "POST" else self._listed(query)
        if path.startswith(f"{JOBS}/"):
            name = path.rpartition("/")[2]
            return self._delete(name, body or {}) if method == "DELETE" else self._read(name)
        if path == f"{CORE}/pods":
            return {"items": self._pods_of(query["labelSelector"].partition("=")[2])}
        if path == f"{CORE}/events":
            return {"items": self.events}
        if path == "/api/v1/namespaces/kubeflow-system/configmaps/kubeflow-trainer-public":
            return {"data": {"kubeflow_trainer_version": "v2.3.0"}}
        kind, _, name = path.removeprefix(API).rpartition("/")
        if kind == f"/namespaces/{NAMESPACE}/trainingruntimes" and name in self.runtimes:
            return self.runtimes[name]
        raise Refused(404, f'"{name}" not found')

    def log(self, pod: str) -> Iterator[bytes]:
        """Yields a pod's log as it is written."""
        if pod in self.logs:
            yield self.logs[pod].encode()
            return
        path, job = self.folder / f"{pod}.log", pod.rpartition("-node-")[0]
        with path.open("rb") as file:
            while True:
                ended = job not in self.jobs or self._ended(job)
                if piece := file.read():
                    yield piece
                elif ended:
                    return
                else:
                    time.sleep(0.05)

    def set_condition(self, name: str, kind: str, reason: str, message: str = "") -> None:
        """Sets a condition of a TrainJob."""
        condition = {
            "type": kind, "status": "True", "reason": reason, "message": message, "lastTransitionTime": NOW,
        }  # fmt: skip
        self.jobs[name].setdefault("status", {}).setdefault("conditions", []).append(condition)

    def add_pod(self, name: str, index: int, phase: str, **status: object) -> dict:
        """Adds a pod of a node; the name is that of the TrainJob."""
        labels = {
            "jobset.sigs.k8s.io/jobset-name": name, "jobset.sigs.k8s.io/replicatedjob-name": "node",
            "batch.kubernetes.io/job-completion-index": str(index),
        }  # fmt: skip
        metadata = {"name": f"{name}-node-{index}", "namespace": NAMESPACE, "labels": labels}
        pod = {"metadata": metadata, "spec": {}, "status": {"phase": phase, **status}}
        self.pods.setdefault(name, []).append(pod)
        return pod

    def add_event(self, name: str, reason: str, message: str, **times: str) -> None:
        """Adds an event of an object, of now or of the times that it is given."""
        involved = {"kind": "Job", "name": name, "namespace": NAMESPACE}
        event = {"reason": reason, "message": message, "involvedObject": involved, "type": "Warning"}
        self.events.append(event | (times or {"lastTimestamp": NOW}))

    def stop(self) -> None:
        """Ends every node."""
        for name in list(self.processes):
            self._end(name)

    def _create(self, job: dict | None) -> dict:
        assert job is not None
        name = job["metadata"]["name"]
        if name in self.jobs:
            raise Refused(409, f'trainjobs.trainer.kubeflow.org "{name}" already exists')
        if crds.available() and (faults := crds.faults(job)):
            raise Refused(422, "; ".join(faults))
        kept = json.loads(json.dumps(job))
        uid = f"{name}-{len(self.created)}"
        kept["metadata"] |= {"namespace": NAMESPACE, "creationTimestamp": NOW, "uid": uid}
        self.jobs[name] = kept
        self.created.append(kept)
        if self.script is not None:
            self.script(kept)
        else:
            self._start(kept)
        if self.answers_late:
            raise Refused(503, "the server could not answer in time")
        return kept

    def _listed(self, query: dict[str, str]) -> dict:
        key, _, value = query["labelSelector"].partition("=")
        jobs = [] if self.hidden else [*self.jobs.values()]
        return {"items": [job for job in jobs if job["metadata"].get("labels", {}).get(key) == value]}

    def _read(self, name: str) -> dict:
        if name not in self.jobs:
            raise Refused(404, f'trainjobs.trainer.kubeflow.org "{name}" not found')
        job = self.jobs[name]
        if "deletionTimestamp" in job["metadata"]:
            self._left[name] -= 1
            if self._left[name] < 0:
                self._forget(name)
        return job

    def _delete(self, name: str, options: dict) -> dict:
        job = self._read(name)
        assert options["propagationPolicy"] == "Foreground"
        if options.get("preconditions", {}).get("uid", job["metadata"]["uid"]) != job["metadata"]["uid"]:
            raise Refused(409, "the UID in the precondition is another")
        self._end(name)
        self.deleted.append(name)
        job["metadata"]["deletionTimestamp"] = NOW
        self._left[name] = self.lingers
        if not self.lingers:
            self._forget(name)
        return {"kind": "Status", "status": "Success"}

    def _forget(self, name: str) -> None:
        self.jobs.pop(name, None)
        self._pods_left[name] = self.pods_linger

    def _pods_of(self, name: str) -> list[dict]:
        if name not in self.jobs:
            self._pods_left[name] = self._pods_left.get(name, 0) - 1
            if self._pods_left[name] < 0:
                self.pods.pop(name, None)
        return self.pods.get(name, [])

    def _start(self, job: dict) -> None:
        """Starts the nodes as Trainer's torch plugin has them started."""
        name, trainer = job["metadata"]["name"], job["spec"]["trainer"]
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        common = {
            "PET_NNODES": trainer["numNodes"], "PET_NPROC_PER_NODE": trainer["numProcPerNode"],
            "PET_MASTER_ADDR": "127.0.0.1", "PET_MASTER_PORT": port, "PYTHONPATH": ROOT,
        }  # fmt: skip
        # The pods get the keys of S3 from a Secret of the cluster, here from this process; no file of it.
        own = {key: value for key, value in os.environ.items() if key != "LESIONGEN_CACHE"}
        common |= variables_of(job, own)
        command = [sys.executable, *trainer["command"][1:], *arguments_of(job, own | common)]
        assert trainer["command"][0] == "python"
        self.processes[name] = []
        for index in range(trainer["numNodes"]):
            home = self.folder / f"{name}-{index}"
            home.mkdir(exist_ok=True)
            variables = own | common | {"PET_NODE_RANK": index, "HOME": home, "TMPDIR": home, "OMP_NUM_THREADS": 1}
            pod = self.add_pod(name, index, "Running")
            written = {key: str(value) for key, value in variables.items()}
            log = self.folder / f"{pod['metadata']['name']}.log"
            self.processes[name].append(self.start_node(command, written, home, log))
        threading.Thread(target=self._watch, args=(name,), daemon=True).start()

    def _watch(self, name: str) -> None:
        """Sets the conditions as a JobSet without retries does: one node that fails ends the others."""
        nodes = self.processes[name]
        while all(node.poll() in (None, 0) for node in nodes) and any(node.poll() is None for node in nodes):
            time.sleep(0.05)
        failed = any(node.poll() for node in nodes)
        until = time.monotonic() + 5  # they often fail together
        while any(node.poll() is None for node in nodes) and time.monotonic() < until:
            time.sleep(0.05)
        self._end(name)
        for node, pod in zip(nodes, self.pods.get(name, []), strict=False):
            ended = {"exitCode": node.returncode, "reason": "Error" if node.returncode else "Completed"}
            pod["status"] = {
                "phase": "Failed" if node.returncode else "Succeeded",
                "containerStatuses": [{"name": "node", "state": {"terminated": ended}}],
            }
        if name in self.jobs:
            kind = ("Failed", "FailedJobs") if failed else ("Complete", "AllJobsCompleted")
            self.set_condition(name, *kind)

    def _ended(self, name: str) -> bool:
        return all(node.poll() is not None for node in self.processes[name])

    def _end(self, name: str) -> None:
        nodes = self.processes.get(name, [])
        for number, seconds in ((signal.SIGTERM, 15), (signal.SIGKILL, 15)):
            living = [node for node in nodes if node.poll() is None]
            for node in living:
                os.killpg(node.pid, number)
            for node in living:
                with suppress(subprocess.TimeoutExpired):
                    node.wait(seconds)


def _stamped(pieces: Iterator[bytes], lost: int, burst: int) -> Iterator[bytes]:
    """Yields a log with a time before every line, as the kubelet writes it, without the lines that it has lost."""
    number, begun = 0, False
    for piece in pieces:
        marked = b""
        for part in piece.splitlines(keepends=True):
            stamp = b"" if begun else b"2026-11-30T12:00:00.%09dZ " % (number // burst)
            marked += stamp + part if number >= lost else b""
            begun = not part.endswith(b"\n")
            number += not begun
        yield marked


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    double: TrainerDouble

    def _answer(self) -> None:
        parts = urlsplit(self.path)
        query = {key: values[0] for key, values in parse_qs(parts.query).items()}
        if parts.path.endswith("/log"):
            return self._log(parts.path.split("/")[-2], query)
        length = int(self.headers.get("Content-Length") or 0)
        content = self.rfile.read(length)
        body = json.loads(content) if content else None
        try:
            self._send(200, self.double.answer(self.command, parts.path, query, body))
        except Refused as refused:
            self._send(refused.status, {"kind": "Status", "code": refused.status, "message": str(refused)})

    do_GET = do_POST = do_DELETE = _answer  # noqa: N815

    def _send(self, status: int, document: dict) -> None:
        content = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _log(self, pod: str, query: dict[str, str]) -> None:
        assert (query["container"], query["timestamps"]) == ("node", "True")
        self.double.requests.append(("LOG", pod))
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        left = self.double.cuts.pop(0) if self.double.cuts and query.get("follow") == "True" else None
        lost = 0 if left is not None else self.double.rotated.get(pod, 0)
        for piece in _stamped(self.double.log(pod), lost, self.double.burst):
            if left is not None and piece.count(b"\n") > left:
                whole = b"".join(line + b"\n" for line in piece.split(b"\n")[:left])
                self._chunk(whole + piece[len(whole) :][:3])  # and a part of the next line
                self.close_connection = True
                self.connection.shutdown(socket.SHUT_RDWR)
                return
            self._chunk(piece)
        self._chunk(b"")

    def _chunk(self, piece: bytes) -> None:
        self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def trainer_double(folder: Path) -> Iterator[TrainerDouble]:
    """Serves a double on a free port of loopback; a file ``kubeconfig`` in the folder leads to it."""
    double = TrainerDouble(folder)
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"double": double}))
    server.daemon_threads = True
    address = f"http://127.0.0.1:{server.server_address[1]}"
    context = {"name": "double", "context": {"cluster": "double", "user": "double", "namespace": NAMESPACE}}
    configuration = {
        "apiVersion": "v1", "kind": "Config", "current-context": "double", "contexts": [context],
        "clusters": [{"name": "double", "cluster": {"server": address}}], "users": [{"name": "double", "user": {}}],
    }  # fmt: skip
    (folder / "kubeconfig").write_text(yaml.safe_dump(configuration))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield double
    finally:
        double.stop()
        server.shutdown()
        server.server_close()
        thread.join()
