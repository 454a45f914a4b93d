"""Evaluated models that can be registered, and an MLflow server that takes them."""

import functools
import hashlib
import uuid

import pytest

from lesiongen.dataset import Dataset, DatasetWriter, Sample
from lesiongen.mlflow_server import mlflow_client
from lesiongen.records.origin import OtherOrigin
from lesiongen.registry import register
from lesiongen.registry.tags import CLASSIFIER_NAME_TAG
from lesiongen.storage import open_storage, unique_prefix
from tests.registry.models import manifest
from tests.registry.proxy import running_proxy


def copy_search(share):
    return {
        "synthetic": {"share": share, "n": 400, "high": share + 0.01},
        "held_out": {"share": 0.01, "n": 120, "low": 0.005},
        "above_chance": share - 0.01,
        "above_chance_low": share - 0.02,
        "above_chance_high": share + 0.005,
    }


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
        "concept_fidelity": {"fidelity": {"value": 0.4, "low": 0.3, "high": 0.5}},
        "memorisation": {"search": copy_search(share)},
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


def publish_real(root):
    return publish(f"{root}/real", {"train": [b"a", b"b"], "validation": [b"c"], "test": [b"d", b"e"]})


def store_evaluation(s3_root, real, evaluation, root=None, trained=None, drawn_by=None):
    """Stores a model, what it drew and the evaluation of that; returns the addresses that are registered."""
    key, root, trained = uuid.uuid4().hex[:8], root or s3_root, trained or real
    model, evaluated = open_storage(f"{root}/models/{key}"), open_storage(f"{root}/evaluations/{key}")
    made = manifest({"uri": trained.uri, "version": trained.manifest.version})
    model.write_json("_model.json", made.model_dump(mode="json"))
    drawn_by = drawn_by or hashlib.sha256(model.read_bytes("_model.json")).hexdigest()
    synthetic = publish(f"{s3_root}/synthetic/{key}", {"train": [b"s"]}, origin=OtherOrigin(model_version=drawn_by))
    sources = {
        which: {"uri": data.uri, "version": data.manifest.version}
        for which, data in (("real", real), ("synthetic", synthetic))
    }
    evaluated.write_json("evaluation.json", {**evaluation, "sources": sources})
    evaluated.write_text("classifier/model.safetensors", "weights")
    return {"evaluation_uri": evaluated.uri, "model_uri": model.uri}


@pytest.fixture
def real(s3_root):
    return publish_real(s3_root)


@pytest.fixture
def evaluate(s3_root, real):
    """Stores a model and its evaluation; returns the addresses that are registered."""
    return functools.partial(store_evaluation, s3_root, real)


class Passing:
    """An evaluated model that passes the gates: its addresses, and the tags of its version."""

    def __init__(self):
        root = unique_prefix("s3://lesiongen/tests")
        self.addresses = store_evaluation(root, publish_real(root), GOOD)
        version = register(**self.addresses, name="passing")
        tags = mlflow_client().get_model_version("passing", version.version).tags
        kept = {tag: value for tag, value in tags.items() if tag.startswith("lesiongen.")}
        self.tags = {tag: value for tag, value in kept.items() if tag != CLASSIFIER_NAME_TAG}  # is another model's


@pytest.fixture(scope="session")
def passing(stack):
    with pytest.MonkeyPatch.context() as patch:
        for name, value in stack.environment().items():
            patch.setenv(name, value)
        ready = Passing()
    return ready


@pytest.fixture
def submit(evaluate, name, client):
    """Stores a model and its evaluation, and registers them."""
    return lambda *arguments, **options: register(**evaluate(*arguments, **options), name=name)


@pytest.fixture
def proxy(stack_environment):
    """A proxy in front of the MLflow server."""
    with running_proxy(stack_environment["MLFLOW_TRACKING_URI"]) as proxy:
        yield proxy
