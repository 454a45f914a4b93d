"""The requests of the v2beta1 REST API that the double answers."""

import email
import email.policy
import functools
import json
import re
import uuid
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import yaml
from google.protobuf import json_format
from kfp.pipeline_spec import pipeline_spec_pb2

from tests.kubeflow.definitions import Problem
from tests.kubeflow.server_run import ServerRun, now

if TYPE_CHECKING:
    from tests.kubeflow.server import Kubeflow

PAGE_SIZE = 2
"""Small, so that every list has pages."""

_ROUTES: list[tuple[str, re.Pattern[str], Callable[..., Any]]] = []


def _on(method: str, path: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    pattern = re.compile(re.sub(r"{(\w+)}", r"(?P<\1>[^/:]+)", path))

    def register(handler: Callable[..., Any]) -> Callable[..., Any]:
        _ROUTES.append((method, pattern, handler))
        return handler

    return register


def route(method: str, path: str) -> tuple[Callable[..., Any], dict[str, str]]:
    """Returns what answers a request, and the values in its path."""
    for each, pattern, handler in _ROUTES:
        if each == method and (found := pattern.fullmatch(path)):
            return handler, found.groupdict()
    raise Problem(404, "Not Found")


API = "/apis/v2beta1"


@_on("GET", f"{API}/healthz")
def _healthz(server: "Kubeflow", **_: Any) -> Any:
    return {"multi_user": server.multi_user, "pipeline_store": "database"}


@_on("GET", f"{API}/pipelines/names/{{name}}")
def _pipeline_by_name(server: "Kubeflow", name: str, query: Any, **_: Any) -> Any:
    namespace = _namespace(server, query.get("namespace"))
    for each in server.pipelines.values():
        if each["name"] == name and each.get("namespace", "") == namespace:
            return each
    raise Problem(404, f"Pipeline {name} not found")


@_on("POST", f"{API}/pipelines")
def _create_pipeline(server: "Kubeflow", body: bytes, **_: Any) -> Any:
    wanted = _parsed(server, "v2beta1Pipeline", body)
    wanted["namespace"] = _namespace(server, wanted.get("namespace"))
    for each in server.pipelines.values():
        if (each["name"], each["namespace"]) == (wanted["name"], wanted["namespace"]):
            raise Problem(409, f"Already exist error: pipeline {wanted['name']}")
    return _stored(server.pipelines, "pipeline_id", wanted)


@_on("POST", f"{API}/pipelines/upload_version")
def _upload_version(server: "Kubeflow", query: Any, body: bytes, headers: Any, **_: Any) -> Any:
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
def _list_versions(server: "Kubeflow", pipeline: str, query: Any, **_: Any) -> Any:
    return _page("pipeline_versions", _of(server.versions, "pipeline_id", pipeline), query)


@_on("GET", f"{API}/pipelines/{{pipeline}}/versions/{{version}}")
def _get_version(server: "Kubeflow", version: str, **_: Any) -> Any:
    return _found(server.versions, version)


@_on("GET", f"{API}/experiments")
def _list_experiments(server: "Kubeflow", query: Any, **_: Any) -> Any:
    namespace = _namespace(server, query.get("namespace"))
    return _page("experiments", _of(server.experiments, "namespace", namespace), query)


@_on("POST", f"{API}/experiments")
def _create_experiment(server: "Kubeflow", body: bytes, **_: Any) -> Any:
    wanted = _parsed(server, "v2beta1Experiment", body)
    wanted["namespace"] = _namespace(server, wanted.get("namespace"))
    return _stored(server.experiments, "experiment_id", wanted)


@_on("POST", f"{API}/runs")
def _create_run(server: "Kubeflow", body: bytes, **_: Any) -> Any:
    wanted = _parsed(server, "v2beta1Run", body)
    _found(server.experiments, wanted["experiment_id"])
    version = _found(server.versions, wanted["pipeline_version_reference"]["pipeline_version_id"])
    spec = version["pipeline_spec"].get("pipeline_spec", version["pipeline_spec"])
    run = ServerRun(server, wanted, spec, server.folder / f"{version['pipeline_version_id']}.yaml")
    server.runs[run.id] = run
    return run.as_dict()


@_on("GET", f"{API}/runs")
def _list_runs(server: "Kubeflow", query: Any, **_: Any) -> Any:
    runs = [run.as_dict() for run in server.runs.values() if run.body["experiment_id"] == query["experiment_id"]]
    return _page("runs", runs[::-1] if query.get("sort_by") == "created_at desc" else runs, query)


@_on("GET", f"{API}/runs/{{run}}")
def _get_run(server: "Kubeflow", run: str, **_: Any) -> Any:
    found: ServerRun = _found(server.runs, run)
    found.advance()
    return found.as_dict()


@_on("POST", f"{API}/runs/{{run}}:terminate")
def _terminate(server: "Kubeflow", run: str, **_: Any) -> Any:
    _found(server.runs, run).cancel()
    return {}


@_on("GET", "/apis/v1alpha1/runs/{run}/nodes/{pod}/log")
def _read_log(server: "Kubeflow", run: str, pod: str, **_: Any) -> Any:
    log = _found(server.runs, run).log_of(pod) if server.serves_pod_logs else None
    # The server has begun its answer, with the status of success, before it looks for the log.
    return (
        json.dumps({"error_message": f"Failed to read logs for run {run}"}).replace('": ', '":') if log is None else log
    )


@_on("GET", "/k8s/pod/logs")
def _read_log_of_pages(server: "Kubeflow", query: Any, **_: Any) -> Any:
    if not server.behind_gateway:
        raise Problem(404, "404 page not found")
    if server.multi_user and "podnamespace" not in query:
        raise Problem(422, "podnamespace argument is required")
    log = _found(server.runs, query["runid"]).log_of(query["podname"]) if server.serves_pod_logs else None
    if log is None:
        raise Problem(500, "Could not get main container logs: Error: Unable to retrieve workflow status")
    return log


@_on("POST", f"{API}/recurringruns")
def _create_recurring(server: "Kubeflow", body: bytes, **_: Any) -> Any:
    wanted = _parsed(server, "v2beta1RecurringRun", body)
    _found(server.experiments, wanted["experiment_id"])
    if not 1 <= int(wanted.get("max_concurrency", 0)) <= 10:
        raise Problem(400, "The max concurrency of the recurring run should be between 1 and 10")
    status = "ENABLED" if wanted.get("mode") == "ENABLE" else "DISABLED"
    return _stored(server.recurring, "recurring_run_id", {**wanted, "status": status})


@_on("GET", f"{API}/recurringruns")
def _list_recurring(server: "Kubeflow", query: Any, **_: Any) -> Any:
    return _page("recurringRuns", _of(server.recurring, "experiment_id", query["experiment_id"]), query)


@_on("DELETE", f"{API}/recurringruns/{{id}}")
def _delete_recurring(server: "Kubeflow", id: str, **_: Any) -> Any:
    _found(server.recurring, id)
    del server.recurring[id]
    return {}


def _namespace(server: "Kubeflow", given: str | None) -> str:
    if not server.multi_user:
        return ""
    if not given:
        raise Problem(400, "Invalid input error: a namespace is required in multi-user mode")
    if given != "lesions":
        raise Problem(403, f"User is not authorized in the namespace {given}")
    return given


def _parsed(server: "Kubeflow", definition: str, body: bytes) -> Any:
    wanted = json.loads(body)
    server.definitions.check_body(definition, wanted)
    return wanted


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
    place[id] = {**value, key: id, "created_at": now()}
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
