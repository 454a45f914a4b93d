"""A double of Kubeflow Pipelines' API server: the part of the v2beta1 REST API that LesionGen uses.

It refuses bodies that the API's Swagger document does not allow and packages that are not a PipelineSpec. Runs follow a
course that the test gives, or are executed with kfp.local. What it does not have: Argo, driver, launcher, cache.
"""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from tests.kubeflow.api import route
from tests.kubeflow.argo import Layout
from tests.kubeflow.definitions import Definitions, Problem
from tests.kubeflow.server_run import Course, ServerRun


class Kubeflow(ThreadingHTTPServer):
    """The server. Tests change its attributes while it runs.

    Args:
        folder: For uploaded packages and the outputs of executed runs.
    """

    daemon_threads = True

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.folder = folder
        self.multi_user = False
        self.token: str | None = None
        """The bearer token that requests must have."""
        self.cookie: str | None = None
        self.failing: list[int | str | Callable[[], object]] = []
        """What the next requests fail with; the last stays.

        A status, ``hang``, ``drop``, ``redirect``, ``page``, ``sign-in`` (a page with 403), or ``lost``: the request is
        carried out, then the connection ends. A function is called, then the request is answered.
        """
        self.course: Course = []
        """The course of the runs that are created."""
        self.stubborn = False
        """Whether cancelled runs stay CANCELING."""
        self.executes = False
        self.serves_pod_logs = True
        self.behind_gateway = False
        """Whether requests go through the server of the pages, which hands on only some paths."""
        self.logs: dict[str, str] = {}
        """Logs of the steps of runs that follow a course."""
        self.layout = Layout()
        self.requests: list[tuple[str, str]] = []
        self.pipelines: dict[str, dict[str, Any]] = {}
        self.versions: dict[str, dict[str, Any]] = {}
        self.experiments: dict[str, dict[str, Any]] = {}
        self.runs: dict[str, ServerRun] = {}
        self.recurring: dict[str, dict[str, Any]] = {}
        self.lock = threading.RLock()
        self.definitions = Definitions()

    @property
    def address(self) -> str:
        """The address that a profile names."""
        return f"http://127.0.0.1:{self.server_port}" + ("/pipeline" if self.behind_gateway else "")

    def sent(self, method: str) -> list[str]:
        """Returns the paths of the requests with a method."""
        return [path for each, path in self.requests if each == method]

    def close(self) -> None:
        """Ends the server and what it executes."""
        self.failing = [500]
        for run in self.runs.values():
            if run.execution:
                run.execution.kill()
        self.shutdown()
        self.server_close()


class _Handler(BaseHTTPRequestHandler):
    """Answers one request after the other of a connection."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Kubeflow

    def log_message(self, format: str, *args: Any) -> None:
        """Writes nothing."""

    def do_GET(self) -> None:
        """Answers a GET."""
        self._answer("GET")

    def do_POST(self) -> None:
        """Answers a POST."""
        self._answer("POST")

    def do_DELETE(self) -> None:
        """Answers a DELETE."""
        self._answer("DELETE")

    def _answer(self, method: str) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        parts = urlsplit(self.path)
        with self.server.lock:
            self.server.requests.append((method, parts.path))
            failing = self.server.failing
            fault = (failing.pop(0) if len(failing) > 1 else failing[0]) if failing else None
        if fault and self._fail(fault):
            return
        try:
            with self.server.lock:
                self._check_credentials()
                path = self._below_gateway(parts.path)
                handler, found = route(method, path)
                query = dict(parse_qsl(parts.query))
                answer = handler(self.server, query=query, body=body, headers=self.headers, **found)
                self.server.definitions.check_answer(method, path, answer)
        except Problem as problem:
            self._send(problem.status, {"code": 3, "message": str(problem), "error": str(problem), "details": []})
            return
        if fault == "lost":
            self.close_connection = True
        else:
            self._send(200, answer)

    def _fail(self, fault: int | str | Callable[[], object]) -> bool:
        if callable(fault):
            fault()
        elif fault == "redirect":
            self.send_response(302)
            self.send_header("Location", f"http://localhost:{self.server.server_port}/login")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return True
        elif fault == "hang":
            time.sleep(1.5)
        elif fault in ("page", "sign-in"):
            self._send(200 if fault == "page" else 403, "<html>Log in</html>", "text/html")
            return True
        elif isinstance(fault, int) and fault != 200:
            self._send(fault, {"message": "told to fail", "code": 2})
            return True
        if fault in ("hang", "drop"):
            self.close_connection = True
            return True
        return False

    def _check_credentials(self) -> None:
        server = self.server
        if server.token and self.headers.get("Authorization") != f"Bearer {server.token}":
            raise Problem(401, "Request header error: there is no user identity header.")
        if server.cookie and self.headers.get("Cookie") != server.cookie:
            raise Problem(401, "no session")

    def _below_gateway(self, path: str) -> str:
        if not self.server.behind_gateway:
            return path
        inner = path.removeprefix("/pipeline")
        if inner == path or not inner.startswith(("/apis/v2beta1/", "/apis/v1beta1/", "/k8s/")):
            raise Problem(404, f"Cannot GET {path}")
        return inner

    def _send(self, status: int, answer: Any, kind: str = "text/plain") -> None:
        is_text = isinstance(answer, str)
        data = answer.encode() if is_text else json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", kind if is_text else "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


@contextmanager
def kubeflow(folder: Path) -> Iterator[Kubeflow]:
    """Runs the double for the time of a block."""
    server = Kubeflow(folder)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.close()
        thread.join()
