"""What ``lesiongen doctor`` finds of a Kubeflow Pipelines server and of a namespace, against their doubles."""

import json
import re

import pytest
import yaml
from typer.testing import CliRunner

from lesiongen.cli.app import app
from lesiongen.doctor import cluster_checks, run_checks
from lesiongen.errors import UsageError
from lesiongen.launch import trainjob_sdk
from pipelines.kubeflow.health import cluster_of, kubeflow_checks
from tests.kubeflow import api
from tests.kubeflow.trainer import API, CORE, NAMESPACE, Refused, trainer_double

REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"


def found(checks):
    return {result.name: result for result in run_checks(checks)}


@pytest.fixture
def versioned(server, monkeypatch):
    """Gives a function that sets the version that the double of Kubeflow Pipelines says it is."""

    def answers(version):
        health = (
            "GET", re.compile("/apis/v1beta1/healthz"),
            lambda *_, **__: {"commit_sha": "x", "tag_name": version, "multi_user": False},
        )  # fmt: skip
        monkeypatch.setattr(api, "_ROUTES", [health, *api._ROUTES])

    return answers


@pytest.mark.parametrize(
    ("version", "state", "words"),
    [
        ("2.15.0", "ok", "Kubeflow Pipelines 2.15.0 at http"),
        ("2.17.1", "ok", "Kubeflow Pipelines 2.17.1 at http"),
        ("2.14.3", "failed", "Kubeflow Pipelines 2.14.3"),
        ("2.18.0", "warning", "Kubeflow Pipelines 2.18.0"),
        ("unknown", "warning", "of an unknown version"),
    ],
)
def test_the_version_is_judged(profile, versioned, version, state, words):
    versioned(version)
    results = found(kubeflow_checks("test"))
    assert (results["kubeflow"].state, results["experiments"].state) == (state, "ok")
    assert words in results["kubeflow"].message
    assert bool(results["kubeflow"].remedy) == (state != "ok")


def test_a_server_that_tells_no_version_is_a_warning(profile):
    assert found(kubeflow_checks("test"))["kubeflow"].state == "warning"


def test_a_namespace_of_others_and_rejected_credentials_fail(server, write_profile, token_file):
    server.multi_user = True
    write_profile(endpoint=server.address, token_file="token", namespace="others")
    results = found(kubeflow_checks("test"))
    assert (results["kubeflow"].state, results["experiments"].state) == ("warning", "failed")
    assert "role kubeflow-edit" in results["experiments"].remedy
    assert cluster_of("test") == ("others", None)
    token_file.write_text("another-token-than-that")
    assert "rejected the credentials" in found(kubeflow_checks("test"))["kubeflow"].message


def test_an_unknown_profile_fails_and_none_at_all_is_skipped(profile, monkeypatch, tmp_path):
    assert found(kubeflow_checks("prod"))["kubeflow"].message.startswith("Unknown profile 'prod'")
    monkeypatch.setenv("LESIONGEN_PROFILES", str(tmp_path / "none.yaml"))
    assert found(kubeflow_checks(None))["kubeflow"].state == "skipped"
    assert found(kubeflow_checks("prod"))["kubeflow"].state == "failed"


def test_without_a_profile_the_cluster_is_that_of_the_default_one(write_profile, monkeypatch, tmp_path):
    path = write_profile(port_forward=True)
    assert cluster_of(None) == (None, None), "there is no profile default"
    with pytest.raises(UsageError, match="Unknown profile 'prod'"):
        cluster_of("prod")
    path.write_text("default: {port_forward: true, namespace: lesions, kube_context: lab}", encoding="utf-8")
    assert cluster_of(None) == cluster_of("default") == ("lesions", "lab")
    monkeypatch.setenv("LESIONGEN_PROFILES", str(tmp_path / "none.yaml"))
    assert cluster_of(None) == (None, None)


def test_the_command_checks_the_cluster_of_the_default_profile(namespace, server, write_profile, tmp_path):
    values = {"endpoint": server.address, "namespace": "lesions", "kube_context": "lab"}
    write_profile().write_text(yaml.safe_dump({"default": values}), encoding="utf-8")
    path = tmp_path / "kubeconfig"
    configuration = yaml.safe_load(path.read_text())
    configuration["contexts"].append({"name": "lab", "context": configuration["contexts"][0]["context"]})
    configuration["current-context"] = "elsewhere"
    path.write_text(yaml.safe_dump(configuration))
    answer = CliRunner().invoke(app, ["doctor", "--json"])
    messages = {one["name"]: one["message"] for one in json.loads(answer.stdout)["checks"]}
    assert messages["kubernetes"] == "Kubernetes v1.34.1, namespace lesions"


class Namespace:
    """What the double of a cluster answers beside what it does for TrainJobs."""

    def __init__(self, double):
        self.denied, self.requests = set(), []
        self.objects = {
            "secrets/lesiongen-storage": {"access-key": "c2VjcmV0", "secret-key": "c2VjcmV0"},
            "configmaps/lesiongen-services": {"mlflow-uri": "https://mlflow.example"},
        }
        self.double, self.answer_of_double = double, double.answer
        double.answer = self.answer

    def answer(self, method, path, query, body):
        for (refused, pattern), answer in self.double.refuse.items():
            if refused == method and re.search(pattern, path):
                raise answer
        if path == "/version/":
            return {"gitVersion": "v1.34.1", "major": "1", "minor": "34", "gitCommit": "", "gitTreeState": "",
                    "buildDate": "", "goVersion": "", "compiler": "", "platform": ""}  # fmt: skip
        if (method, path) == ("POST", REVIEWS):
            asked = body["spec"]["resourceAttributes"]
            self.requests.append(asked)
            return {"spec": body["spec"], "status": {"allowed": (asked["verb"], asked["resource"]) not in self.denied}}
        if path in (f"{API}/namespaces/{NAMESPACE}/trainingruntimes", f"{API}/clustertrainingruntimes"):
            return {"items": [*self.double.runtimes.values()] if NAMESPACE in path else []}
        if (name := path.removeprefix(f"{CORE}/")) in self.objects:
            return {"metadata": {"name": name}, "data": self.objects[name]}
        return self.answer_of_double(method, path, query, body)


@pytest.fixture
def namespace(tmp_path, monkeypatch):
    pytest.importorskip("kubeflow")
    with trainer_double(tmp_path) as double:
        monkeypatch.setenv("KUBECONFIG", str(tmp_path / "kubeconfig"))
        yield Namespace(double)


def test_a_namespace_that_is_ready_passes_and_no_value_is_shown(namespace):
    results = found(cluster_checks(None))
    assert {name: result.state for name, result in results.items()} == dict.fromkeys(
        ("kubernetes", "permissions", "trainer", "lesiongen-storage", "lesiongen-services"), "ok"
    )
    assert results["kubernetes"].message == f"Kubernetes v1.34.1, namespace {NAMESPACE}"
    assert "lesiongen-torch-cpu" in results["trainer"].message
    assert "access-key, secret-key" in results["lesiongen-storage"].message
    assert not [
        result for result in results.values() if "c2VjcmV0" in result.message or "mlflow.example" in result.message
    ]
    assert {(one["verb"], one["resource"]) for one in namespace.requests} >= {("create", "trainjobs"), ("get", "pods")}


def test_what_is_missing_is_named_with_what_to_do(namespace):
    namespace.denied = {("delete", "trainjobs")}
    namespace.double.runtimes = {}
    namespace.objects = {"secrets/lesiongen-storage": {"acces-key": "x"}}
    results = found(cluster_checks(None))
    assert results["permissions"].state == "warning"
    assert "may not delete trainjobs in the namespace" in results["permissions"].message
    assert "lesiongen-trainjobs (infra/kubernetes) or the role kubeflow-edit" in results["permissions"].remedy
    assert results["trainer"].remedy == f"Apply the runtimes: kubectl apply -n {NAMESPACE} -k infra/trainer"
    assert (results["lesiongen-storage"].state, results["lesiongen-services"].state) == ("warning", "warning")
    assert "keys that nothing reads: acces-key" in results["lesiongen-storage"].message
    assert results["lesiongen-services"].remedy.startswith("kubectl create configmap lesiongen-services -n science")


def test_without_the_extra_the_checks_of_trainjobs_are_skipped(namespace, monkeypatch):
    def absent(name):  # a folder kubeflow of another package, without the trainer
        return object() if name == "kubeflow" else None

    monkeypatch.setattr(trainjob_sdk, "find_spec", absent)
    namespace.denied = {("create", "trainjobs")}
    results = found(cluster_checks(None))
    assert {name for name, result in results.items() if result.state == "skipped"} == {"permissions", "trainer"}
    assert ".[cluster]" in results["permissions"].message
    assert results["kubernetes"].state == "ok"


@pytest.mark.parametrize(
    ("path", "status", "check", "state", "words"),
    [
        ("trainingruntimes", 404, "trainer", "failed", "is not there"),
        ("trainingruntimes", 403, "trainer", "skipped", "may not list the TrainingRuntimes"),
        ("secrets", 403, "lesiongen-storage", "skipped", "this account may not read the Secret"),
        ("version", 401, "kubernetes", "failed", "rejects the credentials"),
        ("selfsubject", 500, "permissions", "failed", "the cluster answers: told to"),
    ],
)
def test_a_refusal_of_the_cluster_is_said(namespace, path, status, check, state, words):
    namespace.double.refuse = {(method, path): Refused(status, "told to") for method in ("GET", "POST")}
    result = found({check: cluster_checks(None)[check]})[check]
    assert result.state == state
    assert words in result.message


def test_a_cluster_that_does_not_answer_is_said(namespace, tmp_path, unused_endpoint):
    path = tmp_path / "kubeconfig"
    path.write_text(re.sub(r"http://127\.0\.0\.1:\d+", unused_endpoint, path.read_text()))
    result = found({"kubernetes": cluster_checks("other")["kubernetes"]})["kubernetes"]
    assert (result.state, "does not answer" in result.message) == ("failed", True)
    assert "VPN" in result.remedy
