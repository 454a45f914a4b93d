"""The release package on doubles of Kubeflow Pipelines and Trainer, with real S3 and MLflow servers: one whole path."""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from lesiongen.mlflow_server import mlflow_client
from lesiongen.stack import running_stack
from lesiongen.storage import open_storage
from tests.e2e.conftest import COMMAND
from tests.kubeflow.server import kubeflow
from tests.kubeflow.trainer import NAMESPACE, TrainerDouble, trainer_double

pytestmark = pytest.mark.e2e
STAGES = {"ingest", "validate", "caption", "finetune", "sample", "reconstruct", "evaluate", "register", "promote"}


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[TrainerDouble]:
    """Runs TrainJobs; a profile leads to a server beside it that executes packages, both with the embedded servers."""
    pytest.importorskip("kubeflow")
    folders = {name: tmp_path / name for name in ("server", "cluster")}
    for folder in folders.values():
        folder.mkdir()
    profiles = tmp_path / "profiles.yaml"
    monkeypatch.setenv("LESIONGEN_PROFILES", str(profiles))
    monkeypatch.setenv("KUBECONFIG", str(folders["cluster"] / "kubeconfig"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    with running_stack(tmp_path / "home"), kubeflow(folders["server"]) as server:
        server.executes = True
        profiles.write_text(yaml.safe_dump({"test": {"endpoint": server.address, "namespace": NAMESPACE}}))
        with trainer_double(folders["cluster"]) as double:
            yield double


def _lesiongen(*words: str) -> Any:
    command = [COMMAND, "pipeline", *words, "--profile", "test", "--json"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=500, check=False, env=os.environ)
    assert ended.returncode == 0, ended.stderr[-6000:]
    return json.loads(ended.stdout)


def test_a_release_is_submitted_trained_on_two_nodes_and_registered(cluster: TrainerDouble, phantoms: Path) -> None:
    open_storage("s3://lesiongen/source").upload_folder(phantoms)
    done = _lesiongen(
        "submit", "release", "--preset", "miniature", "--finetune-nodes", "2", "--wait",
        "--set", "source=s3://lesiongen/source", "--set", "format=image_folder", "--set", "name=ph",
    )  # fmt: skip
    assert {step["state"] for step in done["steps"]} == {"SUCCEEDED"}
    assert _lesiongen("status", done["run"])["state"] == "SUCCEEDED"

    trained = [job["spec"]["trainer"]["numNodes"] for job in cluster.created]
    assert (trained, cluster.jobs) == ([1, 2], {}), "images are encoded on one node; no TrainJob outlives the run"
    assert {job["metadata"]["labels"]["lesiongen/pipeline-run"] for job in cluster.created} == {done["run"]}
    shown = subprocess.run(
        [COMMAND, "pipeline", "logs", done["run"], "finetune", "--profile", "test"],
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    assert "Fine-tuning: " in shown.stdout, "the first node's log is part of the step's"

    client = mlflow_client()
    assert client.get_model_version_by_alias("ph", "challenger").version == "1"
    runs = client.search_runs([client.get_experiment_by_name("lesiongen").experiment_id])
    [parent] = [run for run in runs if "mlflow.parentRunId" not in run.data.tags]
    assert (parent.data.tags["lesiongen.pipeline_run"], parent.info.status) == (done["run"], "FINISHED")
    stages = {run.info.run_name: run for run in runs if run is not parent}
    assert {name for name, run in stages.items() if run.info.status == "FINISHED"} == STAGES
    assert client.get_metric_history(stages["finetune"].info.run_id, "loss"), "the first process logs to the step's run"
