"""What ``cancel`` does about TrainJobs of a run whose steps were killed."""

from types import SimpleNamespace

import pytest

from pipelines.compiling import compile_pipeline
from pipelines.kubeflow.leftovers import say_how_to_delete
from pipelines.kubeflow.profile import Profile
from pipelines.settings import CompileSettings
from tests.kubeflow.conftest import PARAMETERS
from tests.kubeflow.trainer import NAMESPACE, trainer_double

RUN_LABEL = "lesiongen/pipeline-run"


@pytest.fixture
def cluster(tmp_path, monkeypatch):
    pytest.importorskip("kubeflow")
    folder = tmp_path / "cluster"
    folder.mkdir()
    with trainer_double(folder) as double:
        monkeypatch.setenv("KUBECONFIG", str(folder / "kubeconfig"))
        yield double


@pytest.fixture
def run_id(server, write_profile, lesiongen, tmp_path):
    """A run that trains in a TrainJob, and whose training has begun."""
    write_profile(endpoint=server.address, namespace="another")
    settings = CompileSettings(finetune_nodes=2, finetune_namespace=NAMESPACE)
    package = compile_pipeline("release", settings, tmp_path / "release.yaml")
    server.course = [{"run": "RUNNING", "finetune": "RUNNING"}]
    given = [f"--set={name}={value}" for name, value in PARAMETERS.items()]
    return lesiongen("submit", "--package", package, *given, "--json").json["run"]


def trainjob(name, run):
    return {"metadata": {"name": name, "uid": name, "labels": {RUN_LABEL: run}}, "spec": {"trainer": {}}}


def test_the_trainjobs_of_a_cancelled_run_are_deleted(cluster, server, run_id, lesiongen):
    cluster.jobs = {"lg-1": trainjob("lg-1", run_id), "lg-2": trainjob("lg-2", "another-run")}
    result = lesiongen("cancel", run_id)
    assert (result.code, server.runs[run_id].states["run"]) == (0, "CANCELED")
    assert set(cluster.jobs) == {"lg-2"}
    assert "Deleted TrainJobs: lg-1." in result.out
    assert "The run has left no TrainJobs in the namespace science." in lesiongen("cancel", run_id).out


def test_without_a_cluster_the_command_says_how_to_delete_them(server, run_id, lesiongen, monkeypatch, tmp_path):
    pytest.importorskip("kubeflow")
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "nothing"))
    result = lesiongen("cancel", run_id)
    assert (result.code, server.runs[run_id].states["run"]) == (0, "CANCELED")
    assert "No cluster is configured" in result.out
    assert f"kubectl -n {NAMESPACE} delete trainjobs -l {RUN_LABEL}={run_id}" in result.out


def test_a_run_that_does_not_end_says_what_becomes_of_its_trainjobs(server, run_id, lesiongen):
    server.stubborn = True
    result = lesiongen("cancel", run_id, "--timeout", "0.1")
    assert result.code == 75
    assert f"kubectl -n {NAMESPACE} delete trainjobs -l {RUN_LABEL}={run_id}" in result.out


def test_without_a_namespace_in_the_package_they_are_where_the_steps_run():
    """A Kubeflow of one user runs all steps in its own namespace, whatever the profile names."""
    server_of_one, server_of_several = (SimpleNamespace(namespace=name, profile=Profile(
        endpoint="http://127.0.0.1", namespace="science")) for name in (None, "science"))  # fmt: skip
    run = SimpleNamespace(spec={"root": {"dag": {"tasks": {"finetune": {"inputs": {"parameters": {"trainjob": {
        "runtimeValue": {"constant": {"nodes": 2}}}}}}}}}}, id="the-run")  # fmt: skip
    said = []
    for each in (server_of_one, server_of_several):
        say_how_to_delete(each, run, said.append)
    assert ["-n kubeflow " in said[0], "-n science " in said[1]] == [True, True]


def test_no_cluster_is_asked_about_a_run_that_trains_in_its_own_step(cluster, server, profile, submit, lesiongen):
    run = submit("--json").json["run"]
    assert lesiongen("cancel", run).code == 0
    assert cluster.requests == []
