"""``lesiongen doctor``: what it finds of this machine and of real servers, and what it says to do."""

import json
from collections import namedtuple
from pathlib import Path
from typing import Any

import psutil
import pytest
from click.testing import Result
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from typer.testing import CliRunner

from lesiongen.cli.app import app
from lesiongen.doctor import (
    CheckResult,
    Outcome,
    cluster_checks,
    machine,
    machine_checks,
    run_checks,
    service_checks,
    services,
)  # fmt: skip
from lesiongen.errors import StorageError
from lesiongen.launch import cluster_connection
from lesiongen.mlflow_server import mlflow_client
from lesiongen.storage import open_storage

WITHOUT_USER = """
current-context: lab
contexts: [{name: lab, context: {cluster: lab, user: me}}]
clusters: [{name: lab, cluster: {server: "https://lab.example"}}]
users: [{name: me, token: not-to-be-shown}]
"""


@pytest.fixture(autouse=True)
def _no_cluster(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keeps the caller's cluster and profiles out, and the checks of this machine short."""
    monkeypatch.delenv("KUBECONFIG", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(cluster_connection, "_POD", tmp_path / "no-pod")
    monkeypatch.setenv("LESIONGEN_PROFILES", str(tmp_path / "no-profiles.yaml"))
    monkeypatch.setenv("LESIONGEN_HOME", str(tmp_path / "home"))


def found(checks: Any) -> dict[str, CheckResult]:
    return {result.name: result for result in run_checks(checks)}


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["doctor", *arguments])


def test_an_error_of_a_check_is_a_failure_with_its_remedy_and_the_others_are_made() -> None:
    def broken() -> Outcome:
        raise StorageError("The bucket 'x' does not exist", hint="Create it.")

    results = found({"one": broken, "two": lambda: Outcome("ok", "fine")})
    assert results["one"] == CheckResult("failed", "The bucket 'x' does not exist", "Create it.", "one")
    assert results["two"].state == "ok"


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (PermissionError(13, "Permission denied", "/data/x"), "/data/x: Permission denied"),
        (ConnectionResetError(104, "Connection reset"), "ConnectionResetError: [Errno 104] Connection reset"),
        (OSError("the proxy has closed"), "this check stopped with an error: OSError: the proxy has closed"),
        (ValueError("bad value"), "this check stopped with an error: ValueError: bad value"),
        (AssertionError(), "this check stopped with an error: AssertionError"),
    ],
)
def test_an_error_of_another_kind_ends_its_check_alone(error: Exception, message: str) -> None:
    def broken() -> Outcome:
        raise error

    results = found({"one": broken, "two": lambda: Outcome("ok", "fine")})
    assert results["one"].state == "failed"
    assert results["one"].message.endswith(message)
    assert results["one"].remedy
    assert results["two"].state == "ok"


@pytest.mark.parametrize(
    ("place", "content", "reason"),
    [
        ("kubeconfig", None, "does not exist"),
        ("kubeconfig", "users: [{token: not-to-be-shown", "it is not YAML (line 1)"),
        (".kube/config", "users: [{token: not-to-be-shown", "it is not YAML (line 1)"),
        (".kube/config", "- not-to-be-shown", "a field is missing or has another type"),
        (".kube/config", "", "is empty"),
        (".kube/config", WITHOUT_USER, "Expected key user in"),
        (".kube/config", "{current-context: '', contexts: [], clusters: [], users: []}", "cannot be loaded"),
    ],
)
def test_a_kubeconfig_that_cannot_be_loaded_is_a_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str, content: str | None, reason: str
) -> None:
    path = tmp_path / place
    if place == "kubeconfig":
        monkeypatch.setenv("KUBECONFIG", str(path))
    if content is not None:
        path.parent.mkdir(exist_ok=True)
        path.write_text(content)
    for result in found(cluster_checks(None)).values():
        assert result.state == "failed"
        assert reason in result.message
        assert "not-to-be-shown" not in result.message
        assert "KUBECONFIG" in result.remedy


def test_a_pod_without_a_token_is_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pod").mkdir()
    monkeypatch.setattr(cluster_connection, "_POD", tmp_path / "pod")
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    result = found(cluster_checks(None))["kubernetes"]
    assert (result.state, "service account of this pod" in result.message) == ("failed", True)


def test_this_machine_is_fit_to_run_the_tests() -> None:
    results = found(machine_checks())
    assert set(results) == {"python", "libraries", "cores", "memory", "disk", "gpu"}
    assert {results[name].state for name in ("python", "libraries")} == {"ok"}
    assert "torch 2." in results["libraries"].message
    assert all(result.remedy for result in results.values() if result.state in ("warning", "failed"))


def test_a_small_machine_is_warned_of(monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "total used free")
    memory = psutil.virtual_memory()._replace(available=10**9)
    monkeypatch.setattr(machine.shutil, "disk_usage", lambda _: usage(10**10, 9 * 10**9, 10**9))
    monkeypatch.setattr(machine.psutil, "virtual_memory", lambda: memory)
    monkeypatch.setattr(machine.os, "sched_getaffinity", lambda _: {0})
    checks = {name: check for name, check in machine_checks().items() if name in ("cores", "memory", "disk")}
    results = found(checks)
    assert {result.state for result in results.values()} == {"warning"}
    assert "TMPDIR" in results["disk"].remedy


def test_real_servers_pass_and_keep_nothing(stack_environment: dict[str, str], s3_root: str) -> None:
    results = found(service_checks(s3_root))
    assert {name: result.state for name, result in results.items()} == {"storage": "ok", "mlflow": "ok"}, results
    assert not list(open_storage(s3_root).list())
    assert results["mlflow"].message.startswith("MLflow 3.")
    client = mlflow_client()
    experiment = client.get_experiment_by_name("lesiongen").experiment_id
    assert not client.search_runs([experiment], "tags.`lesiongen.stage` = 'doctor'")


def test_a_run_is_deleted_where_its_files_cannot_be_written(
    stack_environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    deleted, delete = [], MlflowClient.delete_run

    def refuses(*_: Any) -> None:
        raise MlflowException("artifacts are not served")

    def noted(client: MlflowClient, run: str) -> None:
        deleted.append(run)
        delete(client, run)

    monkeypatch.setattr(MlflowClient, "log_text", refuses)
    monkeypatch.setattr(MlflowClient, "delete_run", noted)
    result = found({"mlflow": service_checks(None)["mlflow"]})["mlflow"]
    assert (result.state, "artifacts are not served" in result.message) == ("failed", True)
    assert [mlflow_client().get_run(run).info.lifecycle_stage for run in deleted] == ["deleted"]


@pytest.mark.parametrize("root", ["", "results/release"])
def test_a_folder_is_left_as_it_was(tmp_path: Path, root: str) -> None:
    before = sorted(tmp_path.rglob("*"))
    result = found({"storage": service_checks(str(tmp_path / root))["storage"]})["storage"]
    assert result.state == "ok"
    assert sorted(tmp_path.rglob("*")) == before


def test_a_root_that_is_given_is_checked_without_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    class Reached(Exception):
        pass

    def opened(root: str) -> None:
        raise Reached(root)

    monkeypatch.setattr(services, "open_storage", opened)
    for name in services.named_servers():
        monkeypatch.delenv(name)
    assert found({"storage": service_checks(None)["storage"]})["storage"].state == "skipped"
    assert "Reached: s3://mine" in found({"storage": service_checks("s3://mine")["storage"]})["storage"].message


@pytest.mark.parametrize(
    ("variable", "value", "check", "sentence", "remedy"),
    [
        ("AWS_SECRET_ACCESS_KEY", "wrong-key", "storage", "refused the access key", "AWS_SECRET_ACCESS_KEY"),
        ("AWS_ENDPOINT_URL", "minio.example:9000", "storage", "is not the address of a server", "Write https://"),
        ("MLFLOW_TRACKING_PASSWORD", "wrong-password", "mlflow", "refuses", ""),
        ("MLFLOW_TRACKING_URI", "sqlite:///x", "mlflow", "is a database", "Folders and databases need a server"),
    ],
)
def test_a_wrong_setting_is_one_sentence_and_a_remedy(
    stack_environment: dict[str, str], s3_root: str, monkeypatch: pytest.MonkeyPatch,
    variable: str, value: str, check: str, sentence: str, remedy: str,
) -> None:  # fmt: skip
    monkeypatch.setenv(variable, value)
    result = found({check: service_checks(s3_root)[check]})[check]
    assert result.state == "failed"
    assert sentence in result.message
    assert result.remedy
    assert remedy in result.remedy


def test_a_missing_bucket_and_a_silent_server_are_named(
    stack_environment: dict[str, str], monkeypatch: pytest.MonkeyPatch, unused_endpoint: str
) -> None:
    missing = found({"storage": service_checks("s3://no-such-bucket/x")["storage"]})["storage"]
    assert (missing.state, missing.remedy) == ("failed", "Create it, or check the name in the address.")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", unused_endpoint)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    silent = found({"mlflow": service_checks("s3://x")["mlflow"]})["mlflow"]
    assert (silent.state, "does not answer" in silent.message) == ("failed", True)


def test_a_machine_without_servers_passes_and_a_failure_is_the_exit_code(tmp_path: Any) -> None:
    passed = invoke("--json")
    assert passed.exit_code == 0, passed.output
    states = {one["name"]: one["state"] for one in json.loads(passed.stdout)["checks"]}
    assert {name for name, state in states.items() if state == "skipped"} >= {
        "storage", "mlflow", "kubeflow", "kubernetes", "permissions", "trainer", "lesiongen-storage",
    }  # fmt: skip
    (tmp_path / "file").write_text("x")
    failed = invoke("--root", str(tmp_path / "file"))
    assert failed.exit_code == 1, failed.output
    lines = failed.stdout.splitlines()
    number = next(number for number, line in enumerate(lines) if line.startswith("failed   storage"))
    assert lines[number + 1].strip(), "what to do is on the next line"
