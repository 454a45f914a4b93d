"""Reconstructions: the training images through a generator's own autoencoder, marked as what they are."""

import json
from dataclasses import fields, replace
from io import BytesIO

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from lesiongen.cli.app import app
from lesiongen.dataset import Dataset, DatasetWriter, Sample
from lesiongen.diffusion import ReconstructConfig, reconstruct
from lesiongen.diffusion.families.stable_diffusion import StableDiffusion
from lesiongen.diffusion.model.folder import model_version, write_manifest
from lesiongen.diffusion.reconstruction.autoencoder import Autoencoder
from lesiongen.errors import DataError, Interrupted, UsageError
from lesiongen.evaluation import DriftConfig, drift
from lesiongen.imaging import decode
from lesiongen.inspection import inspect_dataset
from lesiongen.records.model import BaseReference, Training
from lesiongen.records.origin import ReconstructOrigin
from lesiongen.records.provenance import is_generated, is_synthetic
from lesiongen.validation import ValidateConfig, validate

from .conftest import SIZE, build_dataset

CONFIG = ReconstructConfig(image_size=SIZE, batch_size=4)


def _samples(uri, split=None):
    return {sample.image_id: sample for sample in Dataset.open(uri).samples(split)}


@pytest.fixture(scope="module")
def made(tmp_path_factory, pipeline_folder, dataset_uri):
    return reconstruct(CONFIG, str(pipeline_folder), dataset_uri, str(tmp_path_factory.mktemp("made") / "set")).dataset


def through_autoencoder(folder, image):
    """The same by diffusers alone: the mean of the latents, decoded."""
    from diffusers import AutoencoderKL

    vae = AutoencoderKL.from_pretrained(folder / "vae").eval()
    pixels = torch.from_numpy(np.asarray(image, dtype=np.float32) / 127.5 - 1).permute(2, 0, 1)[None]
    with torch.no_grad():
        decoded = vae.decode(vae.encode(pixels).latent_dist.mode()).sample[0]
    return np.clip(decoded.permute(1, 2, 0).numpy() * 127.5 + 127.5, 0, 255)


@pytest.mark.parametrize("base", ["pipeline_folder", "xl_folder", "sd3_folder"])
def test_each_image_is_the_decoded_mean_of_its_latents(base, request, dataset_uri, tmp_path):
    folder = request.getfixturevalue(base)
    found = reconstruct(CONFIG, str(folder), dataset_uri, str(tmp_path / "set")).dataset
    originals = _samples(dataset_uri, "train")
    for image_id, sample in _samples(found.uri).items():
        expected = through_autoencoder(folder, decode(originals[image_id].image))
        assert np.abs(np.asarray(decode(sample.image)) - expected).max() <= 0.51


def test_ids_labels_and_captions_are_those_of_the_training_images(made, dataset_uri):
    originals, found = _samples(dataset_uri, "train"), _samples(made.uri)
    assert made.splits == {"train": 10, "validation": 0, "test": 0}
    assert list(found) == list(originals)
    columns = [field.name for field in fields(Sample) if field.name not in ("image", "provenance")]
    for image_id, sample in found.items():
        assert {name: getattr(sample, name) for name in columns} == {
            name: getattr(originals[image_id], name) for name in columns
        }


def test_it_says_what_it_is_and_of_which_model_in_the_dataset_and_in_the_file(made, pipeline_folder, dataset_uri):
    source, manifest = Dataset.open(dataset_uri), Dataset.open(made.uri).manifest
    assert manifest.name == "tiny-reconstructed"
    assert isinstance(manifest.origin, ReconstructOrigin)
    assert manifest.origin.model_version == model_version(pipeline_folder)
    assert manifest.origin.dataset_version == source.manifest.version
    for sample in _samples(made.uri).values():
        assert is_generated(sample.provenance)
        assert not is_synthetic(sample.provenance), "a patient is in the image: it may not be shown or handed on"
        with Image.open(BytesIO(sample.image)) as picture:
            assert picture.text == {
                "image_manipulation": "reconstruction",
                "model_version": model_version(pipeline_folder),
                "image_size": str(SIZE),
            }


def test_no_stage_takes_one_for_a_real_image(made, tmp_path):
    seen = inspect_dataset(made.uri)
    assert (seen.reconstructions, seen.synthetic) == (10, 0)
    with pytest.raises(DataError, match="has 0 real images"):
        drift(DriftConfig(), made.uri, made.uri, str(tmp_path / "drift"))

    def failed(uri):
        result = validate(ValidateConfig(), uri)
        return {finding.check for finding in result.findings if finding.severity == "error"}

    assert "synthetic_in_train_only" not in failed(made.uri)
    with DatasetWriter(str(tmp_path / "set"), name="passed-off") as writer:
        for sample in _samples(made.uri).values():
            writer.add(replace(sample, split="test"))
    assert "synthetic_in_train_only" in failed(str(tmp_path / "set"))


def test_an_adapter_has_the_autoencoder_of_its_base(made, pipeline_folder, dataset_uri, tmp_path):
    (tmp_path / "adapter").mkdir()
    write_manifest(
        tmp_path / "adapter", family="stable-diffusion", method="lora", prediction_type="epsilon", image_size=SIZE,
        training=Training(), base=BaseReference(uri=str(pipeline_folder), version=model_version(pipeline_folder)),
    )  # fmt: skip
    config = CONFIG.changed(image_size=None)  # the manifest names it
    found = reconstruct(config, str(tmp_path / "adapter"), dataset_uri, str(tmp_path / "set")).dataset
    pixels = [[decode(sample.image).tobytes() for sample in _samples(uri).values()] for uri in (found.uri, made.uri)]
    assert pixels[0] == pixels[1]
    assert Dataset.open(found.uri).manifest.origin.model_version == model_version(tmp_path / "adapter")


def test_a_second_attempt_makes_only_what_is_missing(made, pipeline_folder, dataset_uri, tmp_path, monkeypatch):
    plain, seen = Autoencoder.reconstruct, []

    def dying(self, images):
        if seen:
            raise KeyboardInterrupt
        return counting(self, images)

    def counting(self, images):
        seen.append(len(images))
        return plain(self, images)

    output = tmp_path / "set"
    monkeypatch.setattr(Autoencoder, "reconstruct", dying)
    with pytest.raises(Interrupted, match=f"4 of 10 images are reconstructed and kept in {output}"):
        reconstruct(CONFIG, str(pipeline_folder), dataset_uri, str(output))
    assert not (output / "_dataset.json").exists()
    monkeypatch.setattr(Autoencoder, "reconstruct", counting)
    again = reconstruct(CONFIG, str(pipeline_folder), dataset_uri, str(output)).dataset
    assert seen == [4, 4, 2]
    assert again.version == made.version
    assert not list((output / "_work").rglob("*.rows"))
    assert reconstruct(CONFIG, str(pipeline_folder), dataset_uri, str(output)).dataset == again
    assert seen == [4, 4, 2]


def test_what_cannot_be_reconstructed_is_refused(made, pipeline_folder, dataset_uri, tmp_path, monkeypatch):
    output = str(tmp_path / "set")
    with pytest.raises(UsageError, match="already holds a dataset"):
        reconstruct(CONFIG.changed(name="other"), str(pipeline_folder), dataset_uri, made.uri)
    with pytest.raises(DataError, match="has no train images"):
        reconstruct(CONFIG, str(pipeline_folder), build_dataset(tmp_path / "none", {"test": 2}), output)
    damaged = build_dataset(tmp_path / "damaged", {"train": 2}, image=b"no image")
    with pytest.raises(DataError, match="damaged: image train-0: "):
        reconstruct(CONFIG, str(pipeline_folder), damaged, output)
    with pytest.raises(UsageError, match="does not say at which size it was trained"):
        reconstruct(ReconstructConfig(), str(pipeline_folder), dataset_uri, output)
    monkeypatch.setattr(StableDiffusion, "image_parts", ())
    with pytest.raises(UsageError, match="the family stable-diffusion, which has no autoencoder"):
        reconstruct(CONFIG, str(pipeline_folder), dataset_uri, output)


def test_the_command_prints_json(made, pipeline_folder, dataset_uri, tmp_path):
    arguments = [str(pipeline_folder), "--dataset", dataset_uri, "--output", str(tmp_path / "set")]
    chosen = ["--image-size", str(SIZE), "--json"]
    result = CliRunner().invoke(app, ["reconstruct", *arguments, *chosen], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["version"] == made.version
