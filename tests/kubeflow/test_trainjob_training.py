"""A training as a TrainJob: real processes on two nodes, of which only the cluster between them is a double."""

import json
import logging
import os
import re
import signal
import threading
import time
from types import SimpleNamespace

import pytest
from kubernetes.config import kube_config

from components.finetune.component import finetune as finetune_step
from components.finish.component import finish
from lesiongen.dataset import Dataset
from lesiongen.dataset.copying import copy_dataset
from lesiongen.diffusion import FinetuneConfig, finetune
from lesiongen.errors import Interrupted
from lesiongen.launch import TrainJobLauncher, trainjob_deletion
from lesiongen.references import write_reference
from lesiongen.storage import open_storage
from tests.diffusion.conftest import SIZE, build_dataset, build_pipeline
from tests.kubeflow.trainer import NAMESPACE, Refused, trainer_double

pytestmark = pytest.mark.slow


@pytest.fixture
def cluster(tmp_path, monkeypatch):
    pytest.importorskip("kubeflow")
    folder = tmp_path / "cluster"
    folder.mkdir()
    monkeypatch.setattr(trainjob_deletion, "DELETE_SECONDS", 0.02)
    with trainer_double(folder) as double:
        monkeypatch.setenv("KUBECONFIG", str(folder / "kubeconfig"))
        # Read when the module is imported; the namespace of the current context is looked up there.
        monkeypatch.setattr(kube_config, "KUBE_CONFIG_DEFAULT_LOCATION", str(folder / "kubeconfig"))
        yield double


@pytest.fixture
def there(tmp_path, s3_root):
    """A configuration, a dataset and a place for checkpoints that the nodes can read."""
    copy_dataset(build_dataset(tmp_path / "set", {"train": 10, "validation": 4}), f"{s3_root}/dataset")
    open_storage(f"{s3_root}/base").upload_folder(build_pipeline(tmp_path / "pipeline"))
    config = FinetuneConfig().changed(
        base=f"{s3_root}/base", method="full", processes=2, max_train_steps=2, batch_size=2,
        gradient_accumulation_steps=2, image_size=SIZE, learning_rate=1e-3, lr_scheduler="constant", warmup_steps=0,
        checkpoint_every=100, log_every=1, mixed_precision="fp32",
    )  # fmt: skip
    return config, f"{s3_root}/dataset", f"{s3_root}/checkpoints"


def _launcher(checkpoints):
    return TrainJobLauncher(f"{checkpoints}/jobs", runtime="lesiongen-torch-cpu", nodes=2, namespace=NAMESPACE)


def _steps(checkpoints):
    keys = [item.key for item in open_storage(checkpoints).list()]
    return {int(found[1]) for key in keys if (found := re.search(r"/step-0*(\d+)", key))}


def test_two_nodes_learn_what_two_processes_of_this_host_learn(cluster, there, tmp_path, caplog):
    config, dataset, checkpoints = there
    here = finetune(config, dataset, str(tmp_path / "here"), checkpoints=str(tmp_path / "checkpoints"))
    with caplog.at_level(logging.INFO, "lesiongen"):
        result = finetune(
            config, dataset, str(tmp_path / "out"), checkpoints=checkpoints, launcher=_launcher(checkpoints)
        )
    assert result.losses == pytest.approx(here.losses, rel=1e-4)
    assert [
        (each["args"][1].rpartition(".")[2], each["numNodes"], each["numProcPerNode"]) for each in _trainers(cluster)
    ] == [
        ("encoding_job", 1, 1),
        ("training_job", 2, 1),
    ]
    assert all(job["spec"]["activeDeadlineSeconds"] == 48 * 3600 for job in cluster.created)
    assert (cluster.jobs, len(cluster.deleted)) == ({}, 2)
    assert not list(open_storage(f"{checkpoints}/jobs").list())
    progress = [line for line in caplog.messages if line.startswith("Fine-tuning: 2/2 steps")]
    assert len(progress) == 1, caplog.messages


def test_a_stop_reaches_the_nodes_by_the_lease_and_the_next_start_resumes(cluster, there, tmp_path, caplog):
    caplog.set_level(logging.INFO, "lesiongen")
    config, dataset, checkpoints = there
    endless = config.changed(max_train_steps=100_000, checkpoint_every=1)

    def train_until(step):
        """Trains until a checkpoint of this step is there, or a later one; returns the step that was saved last."""

        def stop():
            while max(_steps(checkpoints), default=0) < step:
                time.sleep(0.1)
            os.kill(os.getpid(), signal.SIGTERM)

        threading.Thread(target=stop, daemon=True).start()
        with pytest.raises(
            Interrupted, match=r"Stopped by .* after step \d+ .* the state is saved in s3://"
        ) as stopped:
            finetune(endless, dataset, str(tmp_path / "out"), checkpoints=checkpoints, launcher=_launcher(checkpoints))
        assert stopped.value.exit_code == 75
        assert cluster.jobs == {}
        assert all(node.poll() is not None for nodes in cluster.processes.values() for node in nodes)
        return int(re.search(r"after step (\d+)", str(stopped.value))[1])

    first = train_until(1)
    assert max(_steps(checkpoints)) == first
    second = train_until(first + 1)
    assert second > first
    assert f"Resuming from the checkpoint of step {first}" in caplog.messages


def test_the_step_of_a_pipeline_trains_in_a_trainjob_of_its_run(cluster, there, tmp_path, s3_root, monkeypatch):
    """With as many processes as the compile says; what another run has left is not this run's to delete."""
    config, dataset, _ = there
    monkeypatch.setenv("LESIONGEN_PIPELINE_RUN", "the-run")
    given, made = (SimpleNamespace(path=str(tmp_path / name), metadata={}) for name in ("dataset", "model"))
    write_reference(Dataset.open(dataset).reference(), given.path)
    trainjob = {
        "runtime": "lesiongen-torch-cpu", "nodes": 2.0, "processes": 2.0, "image": "registry.example/i:1",
        "deadline": 3600.0,
    }  # fmt: skip
    one = config.changed(processes=1, max_train_steps=1).model_dump(mode="json", exclude={"name", "seed"})
    finetune_step.python_func(
        root=f"{s3_root}/root", name="n", seed=0, config=one, trainjob=trainjob, dataset=given, model=made
    )
    assert json.loads((tmp_path / "model").read_text())["uri"].startswith(f"{s3_root}/root/models/")
    labels = [job["metadata"]["labels"]["lesiongen/pipeline-run"] for job in cluster.created]
    nodes = [(each["image"], each["numNodes"], each["numProcPerNode"]) for each in _trainers(cluster)]
    assert labels == ["the-run"] * 2
    assert nodes == [("registry.example/i:1", 1, 1), ("registry.example/i:1", 2, 1)]
    assert cluster.created[1]["spec"]["activeDeadlineSeconds"] == 3600

    mine, another = (json.loads(json.dumps(cluster.created[1])) for _ in range(2))
    another["metadata"]["name"], another["metadata"]["labels"]["lesiongen/pipeline-run"] = "another", "another-run"
    cluster.jobs = {job["metadata"]["name"]: job for job in (mine, another)}
    ended = SimpleNamespace(state="CANCELED", error_message="")
    finish.python_func(name="n", last="promote", status=ended)
    assert set(cluster.jobs) == {mine["metadata"]["name"], "another"}
    finish.python_func(name="n", last="promote", trainjob=trainjob, status=ended)
    assert set(cluster.jobs) == {"another"}
    cluster.refuse = {("GET", "/trainjobs"): Refused(500, "no leader")}
    finish.python_func(name="n", last="promote", trainjob=trainjob, status=ended)  # a warning: the run has ended


def _trainers(cluster):
    return [job["spec"]["trainer"] for job in cluster.created]
