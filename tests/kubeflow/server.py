"""A double of Kubeflow Pipelines' API server: the part of the v2beta1 REST API that LesionGen uses.

It refuses bodies that the API's Swagger document does not allow and packages that are not a PipelineSpec. Runs follow a
course that the test gives, or are executed with kfp.local. What it does not have: Argo, driver, launcher, cache.
"""

import email
import email.policy
import functools
import itertools
import json
import os
import re
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import jsonschema
import yaml
from google.protobuf import json_format
from kfp.pipeline_spec import pipeline_spec_pb2

from tests.kubeflow.argo import Layout, Node, workflow
from tests.kubeflow.execution import Execution

ROOT = Path(__file__).parent.parent.parent
_SHARED = os.environ.get("LESIONGEN_SHARED_DATA")
SWAGGER = (Path(_SHARED).parent if _SHARED else ROOT.parent / "shared") / "kfp-api" / "kfp_api_v2beta1.swagger.json"
"""The API's own description; where it is absent, bodies are not checked."""
ENDED = ("SUCCEEDED", "FAILED", "CANCELED", "SKIPPED")
NEVER = "1970-01-01T00:00:00Z"
"""What the server writes for a time that has not come."""
PAGE_SIZE = 2
"""Small, so that every list has pages."""
Course = list[dict[str, str]]
"""States of steps, and of the run as ``run``; one after the other comes into force as the run is asked for."""


class Problem(Exception):
    """An answer that is an error."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


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
        self.failing: list[int | str] = []
        """What the next requests fail with: a status, ``hang``, ``drop``, ``page``, ``redirect``; the last stays."""
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
        self.runs: dict[str, _Run] = {}
        self.recurring: dict[str, dict[str, Any]] = {}
        self.lock = threading.RLock()
        self._definitions: dict[str, Any] = {}
        self.swagger = json.loads(SWAGGER.read_text(encoding="utf-8")) if SWAGGER.exists() else None

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

    def check_body(self, definition: str, body: Any) -> None:
        """Refuses a body that the Swagger document does not allow, as the server's parser does."""
        if problem := self._problem({"$ref": f"#/definitions/{definition}"}, body):
            raise Problem(400, problem)

    def check_answer(self, method: str, path: str, answer: Any) -> None:
        """Checks an answer of this double itself, which must be one of the API's."""
        for template, methods in (self.swagger or {"paths": {}})["paths"].items():
            if method.lower() in methods and re.fullmatch(re.sub(r"{[^}]+}", "[^/:]+", template), path):
                schema = methods[method.lower()]["responses"]["200"]["schema"]
                problem = self._problem(schema, answer)
                assert not problem, f"{method} {path}: {problem}"

    def _problem(self, schema: dict[str, Any], value: Any) -> str | None:
        if self.swagger is None:
            return None
        if not self._definitions:
            self._definitions = {name: _closed(each) for name, each in self.swagger["definitions"].items()}
        validator = jsonschema.Draft4Validator({**schema, "definitions": self._definitions})
        problem = next(iter(validator.iter_errors(value)), None)
        return problem and f"{'.'.join(map(str, problem.absolute_path))}: {problem.message}"


class _Run:
    """A run: its object, and how it goes on."""

    def __init__(self, server: Kubeflow, body: dict[str, Any], spec: dict[str, Any], package: Path) -> None:
        self.server, self.spec, self.id = server, spec, str(uuid.uuid4())
        self.body = {**body, "run_id": self.id, "created_at": _now()}
        self.states: dict[str, str] = {"run": "PENDING"}
        self.times: dict[str, list[str]] = {}
        self.course = iter(list(server.course))
        self.cancelled = False
        self.execution: Execution | None = None
        if server.executes:
            inputs = spec["root"].get("inputDefinitions", {}).get("parameters", {})
            given = body.get("runtime_config", {}).get("parameters", {})
            arguments = {name: value for name, value in given.items() if name in inputs}
            self.execution = Execution(package, arguments, server.folder / self.id)

    def advance(self) -> None:
        """Goes one step further on its course."""
        if self.states["run"] in ENDED:
            return
        if self.cancelled:
            if not self.server.stubborn:
                running = [name for name, state in self.states.items() if state == "RUNNING" and name != "run"]
                self.set({**dict.fromkeys(running, "FAILED"), "run": "CANCELED"})
        elif self.execution:
            state = {None: "RUNNING", True: "SUCCEEDED", False: "FAILED"}[self.execution.ended]
            self.set({**self.execution.states, "run": state})
        else:
            self.set(next(self.course, {}))

    def set(self, states: dict[str, str]) -> None:
        """Puts states into force."""
        for name, state in states.items():
            times = self.times.setdefault(name, [_now(), NEVER])
            if state in ENDED:
                times[1] = _now()
        self.states.update(states)

    def cancel(self) -> None:
        """Ends it: steps are killed."""
        if self.states["run"] in (*ENDED, "CANCELING"):
            raise Problem(400, f"Failed to terminate a run {self.id}. Row not found")
        self.cancelled = True
        self.states["run"] = "CANCELING"
        if self.execution:
            self.execution.kill()
            self.set(self.execution.states)

    def as_dict(self) -> dict[str, Any]:
        """Returns the object of the API."""
        details = [self._detail(node) for node in self._nodes().all() if self._has_begun(node)]
        return {
            **self.body,
            "state": self.states["run"],
            "finished_at": self.times.get("run", [NEVER, NEVER])[1],
            "run_details": {"task_details": details},
        }

    def log_of(self, pod: str) -> str | None:
        """Returns the log of a pod, None where there is no such pod."""
        for node in self._nodes().all():
            if node.template and node.step and node.pod == pod and node.step in self.states:
                if self.execution:
                    return self.execution.logs.get(node.step)
                number = node.name.rpartition(".executor")[2] or "(0)"
                text = self.server.logs.get(node.step)
                return None if text is None else text.replace("{node}", node.name).replace("{attempt}", number)
        return None

    def _nodes(self) -> Node:
        return workflow(self.spec, self.server.layout)

    def _has_begun(self, node: Node) -> bool:
        return not node.step or node.step in self.states

    def _detail(self, node: Node) -> dict[str, Any]:
        start, end = self.times.get(node.step or "run", [_now(), NEVER])
        return {
            "run_id": self.id,
            "task_id": str(uuid.uuid5(uuid.NAMESPACE_URL, node.id)),
            "display_name": node.display_name,
            "create_time": self.body["created_at"],
            "start_time": start,
            "end_time": end,
            "state": self.states.get(node.step or "run", "RUNNING"),
            "child_tasks": [{"pod_name": child.id} for child in node.children],
        }


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
                handler, found = _route(method, path)
                query = dict(parse_qsl(parts.query))
                answer = handler(self.server, query=query, body=body, headers=self.headers, **found)
                self.server.check_answer(method, path, answer)
        except Problem as problem:
            self._send(problem.status, {"code": 3, "message": str(problem), "error": str(problem), "details": []})
            return
        self._send(200, answer)

    def _fail(self, fault: int | str) -> bool:
        if fault == "redirect":
            self.send_response(302)
            self.send_header("Location", f"http://localhost:{self.server.server_port}/login")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return True
        if fault == "hang":
            time.sleep(1.5)
        elif fault == "page":
            self._send(200, "<html>Log in</html>", "text/html")
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


_ROUTES: list[tuple[str, re.Pattern[str], Callable[..., Any]]] = []


def _on(method: str, path: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    pattern = re.compile(re.sub(r"{(\w+)}", r"(?P<\1>[^/:]+)", path))

    def register(handler: Callable[..., Any]) -> Callable[..., Any]:
        _ROUTES.append((method, pattern, handler))
        return handler

    return register


def _route(method: str, path: str) -> tuple[Callable[..., Any], dict[str, str]]:
    for each, pattern, handler in _ROUTES:
        if each == method and (found := pattern.fullmatch(path)):
            return handler, found.groupdict()
    raise Problem(404, "Not Found")


API = "/apis/v2beta1"


@_on("GET", f"{API}/healthz")
def _healthz(server: Kubeflow, **_: Any) -> Any:
    return {"multi_user": server.multi_user, "pipeline_store": "database"}


@_on("GET", f"{API}/pipelines/names/{{name}}")
def _pipeline_by_name(server: Kubeflow, name: str, query: Any, **_: Any) -> Any:
    namespace = _namespace(server, query.get("namespace"))
    for each in server.pipelines.values():
        if each["name"] == name and each.get("namespace", "") == namespace:
            return each
    raise Problem(404, f"Pipeline {name} not found")


@_on("POST", f"{API}/pipelines")
def _create_pipeline(server: Kubeflow, body: bytes, **_: Any) -> Any:
    wanted = _parsed(server, "v2beta1Pipeline", body)
    wanted["namespace"] = _namespace(server, wanted.get("namespace"))
    for each in server.pipelines.values():
        if (each["name"], each["namespace"]) == (wanted["name"], wanted["namespace"]):
            raise Problem(409, f"Already exist error: pipeline {wanted['name']}")
    return _stored(server.pipelines, "pipeline_id", wanted)


@_on("POST", f"{API}/pipelines/upload_version")
def _upload_version(server: Kubeflow, query: Any, body: bytes, headers: Any, **_: Any) -> Any:
    if query["pipelineid"] not in server.pipelines:
        raise Problem(400, "Failed to create a pipeline version")
    if any(each["name"] == query["name"] for each in server.versions.values()):
        raise Problem(409, "Failed to create a pipeline version")
    text = _uploaded(body, headers)
    stored = {"pipeline_id": query["pipelineid"], "name": query["name"], "display_name": query["name"]}
    version = _stored(server.versions, "pipeline_version_id", {**stored, "pipeline_spec": _checked_package(text)})
    (server.folder / f"{version['pipeline_version_id']}.yaml").write_text(text, encoding="utf-8")
    return version


@_on("GET", f"{API}/pipelines/{{pipeline}}/versions")
def _list_versions(server: Kubeflow, pipeline: str, query: Any, **_: Any) -> Any:
    return _page("pipeline_versions", _of(server.versions, "pipeline_id", pipeline), query)


@_on("GET", f"{API}/pipelines/{{pipeline}}/versions/{{version}}")
def _get_version(server: Kubeflow, version: str, **_: Any) -> Any:
    return _found(server.versions, version)


@_on("GET", f"{API}/experiments")
def _list_experiments(server: Kubeflow, query: Any, **_: Any) -> Any:
    namespace = _namespace(server, query.get("namespace"))
    return _page("experiments", _of(server.experiments, "namespace", namespace), query)


@_on("POST", f"{API}/experiments")
def _create_experiment(server: Kubeflow, body: bytes, **_: Any) -> Any:
    wanted = _parsed(server, "v2beta1Experiment", body)
    wanted["namespace"] = _namespace(server, wanted.get("namespace"))
    return _stored(server.experiments, "experiment_id", wanted)


@_on("POST", f"{API}/runs")
def _create_run(server: Kubeflow, body: bytes, **_: Any) -> Any:
    wanted = _parsed(server, "v2beta1Run", body)
    _found(server.experiments, wanted["experiment_id"])
    version = _found(server.versions, wanted["pipeline_version_reference"]["pipeline_version_id"])
    spec = version["pipeline_spec"].get("pipeline_spec", version["pipeline_spec"])
    run = _Run(server, wanted, spec, server.folder / f"{version['pipeline_version_id']}.yaml")
    server.runs[run.id] = run
    return run.as_dict()


@_on("GET", f"{API}/runs")
def _list_runs(server: Kubeflow, query: Any, **_: Any) -> Any:
    runs = [run.as_dict() for run in server.runs.values() if run.body["experiment_id"] == query["experiment_id"]]
    return _page("runs", runs[::-1] if query.get("sort_by") == "created_at desc" else runs, query)


@_on("GET", f"{API}/runs/{{run}}")
def _get_run(server: Kubeflow, run: str, **_: Any) -> Any:
    found: _Run = _found(server.runs, run)
    found.advance()
    return found.as_dict()


@_on("POST", f"{API}/runs/{{run}}:terminate")
def _terminate(server: Kubeflow, run: str, **_: Any) -> Any:
    _found(server.runs, run).cancel()
    return {}


@_on("GET", "/apis/v1alpha1/runs/{run}/nodes/{pod}/log")
def _read_log(server: Kubeflow, run: str, pod: str, **_: Any) -> Any:
    log = _found(server.runs, run).log_of(pod) if server.serves_pod_logs else None
    # The server has begun its answer, with the status of success, before it looks for the log.
    return (
        json.dumps({"error_message": f"Failed to read logs for run {run}"}).replace('": ', '":') if log is None else log
    )


@_on("GET", "/k8s/pod/logs")
def _read_log_of_pages(server: Kubeflow, query: Any, **_: Any) -> Any:
    if not server.behind_gateway:
        raise Problem(404, "404 page not found")
    if server.multi_user and "podnamespace" not in query:
        raise Problem(422, "podnamespace argument is required")
    log = _found(server.runs, query["runid"]).log_of(query["podname"]) if server.serves_pod_logs else None
    if log is None:
        raise Problem(500, "Could not get main container logs: Error: Unable to retrieve workflow status")
    return log


@_on("POST", f"{API}/recurringruns")
def _create_recurring(server: Kubeflow, body: bytes, **_: Any) -> Any:
    wanted = _parsed(server, "v2beta1RecurringRun", body)
    _found(server.experiments, wanted["experiment_id"])
    if not 1 <= int(wanted.get("max_concurrency", 0)) <= 10:
        raise Problem(400, "The max concurrency of the recurring run should be between 1 and 10")
    status = "ENABLED" if wanted.get("mode") == "ENABLE" else "DISABLED"
    return _stored(server.recurring, "recurring_run_id", {**wanted, "status": status})


@_on("GET", f"{API}/recurringruns")
def _list_recurring(server: Kubeflow, query: Any, **_: Any) -> Any:
    return _page("recurringRuns", _of(server.recurring, "experiment_id", query["experiment_id"]), query)


@_on("DELETE", f"{API}/recurringruns/{{id}}")
def _delete_recurring(server: Kubeflow, id: str, **_: Any) -> Any:
    _found(server.recurring, id)
    del server.recurring[id]
    return {}


def _namespace(server: Kubeflow, given: str | None) -> str:
    if not server.multi_user:
        return ""
    if not given:
        raise Problem(400, "Invalid input error: a namespace is required in multi-user mode")
    if given != "lesions":
        raise Problem(403, f"User is not authorized in the namespace {given}")
    return given


def _parsed(server: Kubeflow, definition: str, body: bytes) -> Any:
    wanted = json.loads(body)
    server.check_body(definition, wanted)
    return wanted


def _closed(schema: Any) -> Any:
    """Returns a schema that allows no other properties, and numbers where protobuf's JSON has texts of them."""
    if isinstance(schema, list):
        return [_closed(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {key: _closed(value) for key, value in schema.items() if key != "format"}
    if isinstance(schema.get("properties"), dict) and "additionalProperties" not in schema:
        closed["additionalProperties"] = False
    if schema.get("format") == "int64":
        closed["type"] = ["string", "integer"]
    return closed


def _uploaded(body: bytes, headers: Any) -> str:
    head = f"Content-Type: {headers['Content-Type']}\r\n\r\n".encode()
    message = email.message_from_bytes(head + body, policy=email.policy.HTTP)
    for part in message.iter_parts():
        if part.get_param("name", header="Content-Disposition") == "uploadfile":
            return part.get_payload(decode=True).decode()
    raise Problem(400, "Failed to read pipeline from file")


@functools.cache
def _checked_package(text: str) -> Any:
    try:
        spec, *platforms = yaml.safe_load_all(text)
        parsed = json_format.ParseDict(spec, pipeline_spec_pb2.PipelineSpec())
        for platform in platforms:
            json_format.ParseDict(platform, pipeline_spec_pb2.PlatformSpec())
    except (yaml.YAMLError, json_format.Error, ValueError) as error:
        raise Problem(400, f"Failed to parse the pipeline: {error}") from error
    if parsed.schema_version != "2.1.0" or not re.fullmatch("[a-z0-9][a-z0-9-]{0,127}", parsed.pipeline_info.name):
        raise Problem(400, "the schema version or the name is not supported")
    return {"pipeline_spec": spec, "platform_spec": platforms[0]} if platforms else spec


def _stored(place: dict[str, Any], key: str, value: dict[str, Any]) -> dict[str, Any]:
    id = str(uuid.uuid4())
    place[id] = {**value, key: id, "created_at": _now()}
    return place[id]


def _found(place: dict[str, Any], id: str) -> Any:
    if id not in place:
        raise Problem(404, f"ResourceNotFoundError: {id} not found")
    return place[id]


def _of(place: dict[str, dict[str, Any]], field: str, value: str) -> list[dict[str, Any]]:
    return [each for each in place.values() if each[field] == value]


def _page(name: str, items: list[dict[str, Any]], query: Any) -> Any:
    for predicate in json.loads(query.get("filter", "{}")).get("predicates", ()):
        assert predicate["operation"] in (1, "EQUALS")
        items = [each for each in items if each.get(predicate["key"]) == predicate["stringValue"]]
    start = int(query.get("page_token") or 0)
    end = start + min(PAGE_SIZE, int(query.get("page_size", PAGE_SIZE)))
    token = str(end) if end < len(items) else ""
    return {name: items[start:end], "total_size": len(items), "next_page_token": token}


_clock = itertools.count()


def _now() -> str:
    # A second for every question: orders and durations are the same in every run of a test.
    return f"{datetime.fromtimestamp(1_700_000_000 + next(_clock), UTC):%Y-%m-%dT%H:%M:%SZ}"


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
