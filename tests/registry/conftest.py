"""Evaluated models that can be registered, and an MLflow server that takes them."""

import hashlib
import uuid

import pytest

from lesiongen.dataset import Dataset, DatasetWriter, Sample
from lesiongen.registry import register
from lesiongen.storage import open_storage
from lesiongen.tracking import mlflow_client
from tests.registry.proxy import running_proxy


def numbers(difference=0.01, share=0.0):
    worst = {"column": "sex", "group": "female", "n": 40, "recall": 0.5, "low": 0.4, "high": 0.6}
    condition = {
        "balanced_accuracy": {"mean": 0.6, "low": 0.55, "per_seed": [0.6]},
        "per_class": {"mel": {"n": 20}, "nv": {"n": 40}},
        "worst_group": worst,
    }
    low, high = difference - 0.01, difference + 0.01
    compared = {"name": "both vs real", "metric": "balanced_accuracy"}
    return {
        "utility": {"real": condition, "both": condition},
        "comparisons": [{**compared, "difference": difference, "low": low, "high": high}],
        "memorisation": {"threshold": 0.9, "share_above": share, "n_held_out": 120},
        "counts": {"test": {"n": 60}, "test_lesions": 50, "test_excluded": 0},
    }


GOOD, UNSURE, COPYING = numbers(), numbers(difference=-0.02), numbers(share=0.4)


@pytest.fixture
def client(stack_environment):
    return mlflow_client()


@pytest.fixture
def name():
    return f"lesions-{uuid.uuid4().hex[:8]}"


def publish(uri, splits, origin=None):
    """Publishes a dataset whose images are the given bytes, by split."""
    with DatasetWriter(uri, name="d", licence=None, attribution=None, origin=origin) as writer:
        for split, images in splits.items():
            for image in images:
                writer.add(Sample(image=image, image_id=uuid.uuid4().hex, diagnosis="nv", split=split))
    return Dataset.open(uri)


@pytest.fixture
def real(s3_root):
    return publish(f"{s3_root}/real", {"train": [b"a", b"b"], "validation": [b"c"], "test": [b"d", b"e"]})


@pytest.fixture
def evaluate(s3_root, real):
    """Stores a model, what it drew and the evaluation of that; returns the addresses that are registered."""

    def evaluate(evaluation, root=s3_root, trained=real, drawn_by=None):
        key = uuid.uuid4().hex[:8]
        model, evaluated = open_storage(f"{root}/models/{key}"), open_storage(f"{root}/evaluations/{key}")
        training = {"dataset": {"uri": trained.uri, "version": trained.manifest.version}}
        model.write_json("_model.json", {"family": "sd", "method": "full", "base": None, "training": training})
        drawn_by = drawn_by or hashlib.sha256(model.read_bytes("_model.json")).hexdigest()
        synthetic = publish(f"{s3_root}/synthetic/{key}", {"train": [b"s"]}, origin={"model_version": drawn_by})
        sources = {
            which: {"uri": data.uri, "version": data.manifest.version}
            for which, data in (("real", real), ("synthetic", synthetic))
        }
        evaluated.write_json("evaluation.json", {**evaluation, "sources": sources})
        evaluated.write_text("classifier/model.safetensors", "weights")
        return {"evaluation_uri": evaluated.uri, "model_uri": model.uri}

    return evaluate


@pytest.fixture
def submit(evaluate, name, client):
    """Stores a model and its evaluation, and registers them."""
    return lambda *arguments, **options: register(**evaluate(*arguments, **options), name=name)


@pytest.fixture
def proxy(stack_environment):
    """A proxy in front of the MLflow server."""
    with running_proxy(stack_environment["MLFLOW_TRACKING_URI"]) as proxy:
        yield proxy
