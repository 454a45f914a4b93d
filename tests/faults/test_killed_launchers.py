"""A step that waits for a TrainJob, killed at a request to the cluster: it goes on, trains once and leaves none."""

import functools
import re
import signal
import time

import pytest
from kubernetes.config import kube_config
from safetensors.numpy import load_file

from lesiongen.dataset import Dataset
from lesiongen.dataset.copying import copy_dataset
from lesiongen.diffusion import FinetuneConfig
from lesiongen.launch.trainjob_deletion import delete_jobs_of
from lesiongen.references import write_reference
from lesiongen.storage import open_storage, unique_prefix
from tests.diffusion.conftest import SIZE, build_dataset, build_pipeline
from tests.fault_points import EVERY
from tests.faults.launches import Launch, forked_node
from tests.kubeflow.trainer import NAMESPACE, trainer_double

pytestmark = pytest.mark.faults

STEPS = 2
TRAINJOB = {
    "runtime": "lesiongen-torch-cpu", "nodes": 1.0, "processes": 1.0, "image": "lesiongen:local", "deadline": 3600.0,
    "namespace": NAMESPACE,
}  # fmt: skip
# The first change creates the TrainJob that encodes the images, the second deletes it; then that of the training.
CREATION, DELETION = "3 POST trainjobs", "4 DELETE trainjobs/NAME"
CHOSEN = [
    "after 1 POST trainjobs",
    f"before {CREATION}",
    f"after {CREATION}",
    f"before {DELETION}",
    f"after {DELETION}",
]


@pytest.fixture
def cluster(tmp_path, monkeypatch, stack_environment):
    pytest.importorskip("kubeflow")
    folder = tmp_path / "cluster"
    folder.mkdir()
    with trainer_double(folder) as double:
        double.start_node = forked_node
        monkeypatch.setenv("KUBECONFIG", str(folder / "kubeconfig"))
        monkeypatch.setattr(kube_config, "KUBE_CONFIG_DEFAULT_LOCATION", str(folder / "kubeconfig"))
        yield double


@pytest.fixture
def launches(cluster, tmp_path, stack_environment, s3_root):
    """Makes steps that share nothing but model and data."""
    copy_dataset(build_dataset(tmp_path / "set", {"train": 4}), f"{s3_root}/dataset")
    open_storage(f"{s3_root}/base").upload_folder(build_pipeline(tmp_path / "base"))
    write_reference(Dataset.open(f"{s3_root}/dataset").reference(), tmp_path / "dataset")
    environment = {
        **stack_environment, "MLFLOW_TRACKING_URI": "", "LESIONGEN_PIPELINE_RUN": "the-run",
        "KUBECONFIG": str(cluster.folder / "kubeconfig"),
    }  # fmt: skip

    def make(steps=STEPS):
        config = FinetuneConfig().changed(
            base=f"{s3_root}/base", image_size=SIZE, max_train_steps=steps, batch_size=2, rank=2,
            mixed_precision="fp32", checkpoint_every=1,
        ).model_dump(mode="json", exclude={"name", "seed"})  # fmt: skip
        root = unique_prefix("s3://lesiongen/launches")
        folder = tmp_path / root.rpartition("/")[2]
        folder.mkdir()
        arguments = {"root": root, "name": "n", "seed": 0, "config": config, "trainjob": TRAINJOB}
        return Launch(arguments, tmp_path / "dataset", folder, environment)

    return make


def weights(launch, tmp_path):
    """Returns the bytes of the trained weights."""
    storage, path = open_storage(launch.model()), tmp_path / "weights.safetensors"
    path.write_bytes(storage.read_bytes("pytorch_lora_weights.safetensors"))
    return {name: values.tobytes() for name, values in load_file(path).items()}


def trainings(cluster):
    """Returns how often nodes have trained up to the last step, and forgets their logs."""
    logs = list(cluster.folder.glob("*.log"))
    ended = sum(path.read_text().count(f"Fine-tuning: {STEPS}/{STEPS} steps") for path in logs)
    for path in logs:
        path.unlink()
    return ended


def test_a_launcher_killed_at_a_request_goes_on_and_trains_once(cluster, launches, tmp_path):
    undisturbed = launches()
    assert undisturbed.run() == 0, undisturbed.said()
    expected, every = weights(undisturbed, tmp_path), undisturbed.points()
    assert (trainings(cluster), cluster.jobs) == (1, {})
    assert set(CHOSEN) <= set(every)
    for point in every if EVERY else CHOSEN:
        launch = launches()
        cluster.created.clear()
        assert launch.run(kill_at=point) == -signal.SIGKILL, f"{point}\n{launch.said()}"
        assert launch.run() == 0, f"{point}\n{launch.said()}"
        assert weights(launch, tmp_path) == expected, point
        assert (trainings(cluster), cluster.jobs) == (1, {}), point
        assert len(cluster.created) == 2, point  # one that encodes, one that trains: none queues for nothing
        kept = [item.key for item in open_storage(f"{launch.arguments['root']}/checkpoints/jobs").list()]
        # The small object of a lease stays where its TrainJob was deleted in the very moment, and is no more needed.
        assert len(kept) <= (point not in CHOSEN[:-1]), point


def test_nodes_whose_launcher_was_killed_save_their_state_and_end(cluster, launches):
    """Where Kubeflow does not start the step again; ``finish`` then deletes what is left of the TrainJob."""
    cluster.start_node = functools.partial(forked_node, silent_seconds=8.0)
    launch = launches(steps=100_000)
    assert launch.run(kill_at=f"after {CREATION}") == -signal.SIGKILL, launch.said()
    (name,) = cluster.jobs
    (node,) = cluster.processes[name]
    until = time.monotonic() + 60
    while node.poll() is None:
        assert time.monotonic() < until
        time.sleep(0.1)
    log = (cluster.folder / f"{name}-node-0.log").read_text()
    assert node.poll() == 75, log
    assert "The launcher has not renewed the lease" in log
    keys = [item.key for item in open_storage(f"{launch.arguments['root']}/checkpoints").list()]
    assert any(re.search(r"/step-\d+/manifest.json", key) for key in keys)
    assert delete_jobs_of("the-run", NAMESPACE) == [name]
    assert cluster.jobs == {}
