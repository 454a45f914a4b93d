"""Whose images were evaluated, and what a generator and the models it began from had seen."""

import hashlib
import uuid

import numpy as np
import pytest
from PIL import Image

from lesiongen.dataset import Dataset, DatasetWriter, Sample
from lesiongen.errors import DataError
from lesiongen.imaging import encode_png
from lesiongen.model_ancestry import Ancestor
from lesiongen.records.evaluation import EvaluationRecord, Source
from lesiongen.records.image_measures import Contamination
from lesiongen.registry.lineage import check_same_model, contamination
from lesiongen.storage import open_storage
from tests.registry.models import manifest


def picture(level, **metadata):
    return encode_png(Image.fromarray(np.full((4, 4, 3), level, dtype=np.uint8)), metadata)


def publish(path, splits, origin=None):
    with DatasetWriter(str(path), name="d", licence=None, attribution=None, origin=origin) as writer:
        for split, images in splits.items():
            for image in images:
                writer.add(Sample(image=image, image_id=uuid.uuid4().hex, diagnosis="nv", split=split))
    return Dataset.open(str(path))


def named(dataset):
    return {"uri": dataset.uri, "version": dataset.manifest.version}


def evaluation_of(**datasets):
    return EvaluationRecord(sources={which: Source(**named(dataset)) for which, dataset in datasets.items()})


@pytest.fixture
def real(tmp_path):
    images = {"train": [picture(1)], "validation": [picture(2)], "test": [picture(3), picture(4)]}
    return publish(tmp_path / "real", images)


@pytest.fixture
def other(tmp_path):
    """Another dataset whose training images are, in other files, a validation and a test image of the first."""
    images = {"train": [picture(2, note="x"), picture(4, note="y"), picture(9)], "test": [picture(3)]}
    return publish(tmp_path / "other", images)


@pytest.fixture
def save(tmp_path):
    """Stores a model folder and returns what a model that began from it says of it."""

    def save(dataset, base=None, method="full"):
        storage = open_storage(str(tmp_path / uuid.uuid4().hex))
        model = manifest(dataset and named(dataset), base=base, method=method)
        storage.write_json("_model.json", model.model_dump(mode="json"))
        return {"uri": storage.uri, "version": hashlib.sha256(storage.read_bytes("_model.json")).hexdigest()}

    return save


def seen(real, base, **training):
    return counted(real, manifest(named(real), base=base, **training))


def counted(real, model):
    return contamination(evaluation_of(real=real), Ancestor(model, open_storage(real.uri)))


NONE, SOME = Contamination(validation=0, test=0), Contamination(validation=1, test=1)


def test_the_same_pixels_in_another_file_count(real, other):
    assert counted(real, manifest(named(other))) == SOME


def test_what_a_base_has_seen_counts_however_far_back(real, other, save):
    assert seen(real, None) == NONE
    assert seen(real, save(real)) == NONE
    assert seen(real, save(other, method="base")) == SOME
    assert seen(real, save(real, base=save(real, base=save(other)))) == SOME


def test_a_base_without_images_one_from_the_hub_and_a_plain_pipeline_saw_nothing_known(real, save, tmp_path):
    plain = open_storage(str(tmp_path / "plain"))
    plain.write_json("model_index.json", {})
    assert seen(real, save(None, method="base")) == NONE
    assert seen(real, {"uri": plain.uri, "version": "0" * 64}) == NONE
    assert seen(real, {"uri": "owner/name", "version": "0" * 64}) == NONE
    assert seen(real, {"uri": "tiny", "version": "0" * 64}, base_trained_on_own_images=True) == NONE


def test_what_cannot_be_followed_is_unknown(real, other, save, tmp_path):
    assert seen(real, save(None)) is None
    assert seen(real, {"uri": str(tmp_path / "gone"), "version": "0" * 64}) is None
    assert seen(real, {**save(real), "version": "0" * 64}) is None
    base = save(other)
    open_storage(other.uri).delete_all()
    assert seen(real, base) is None


def test_a_dataset_that_was_ingested_again_leaves_it_unknown(real, other, save, caplog):
    base, generator = save(other), manifest(named(other))
    open_storage(other.uri).delete_all()
    publish(other.uri, {"train": [picture(7)]})
    assert (counted(real, generator), seen(real, base)) == (None, None)
    assert caplog.text.count("is no longer the version") == 2
    evaluated, model = evaluation_of(real=real), Ancestor(manifest(None, method="base"), open_storage(real.uri))
    assert contamination(evaluated, model) == NONE
    third = publish(real.uri + "-third", {"train": [picture(3)]})
    open_storage(real.uri).delete_all()
    publish(real.uri, {"train": [picture(1)], "test": [picture(8)]})
    assert contamination(evaluated, Ancestor(manifest(named(third)), open_storage(third.uri))) is None


def test_images_that_replaced_the_evaluated_ones_vouch_for_nothing(tmp_path):
    uri, model = str(tmp_path / "drawn"), "a" * 64
    evaluated = publish(uri, {"train": [picture(1)]}, {"model_version": "b" * 64})
    evaluation = evaluation_of(synthetic=evaluated)
    check_same_model(evaluation, "b" * 64)
    open_storage(uri).delete_all()
    publish(uri, {"train": [picture(2)]}, {"model_version": model})
    with pytest.raises(DataError, match="is no longer the version"):
        check_same_model(evaluation, model)
