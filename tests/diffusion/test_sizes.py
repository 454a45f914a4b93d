"""Sizes: what a model is told while it learns, it is told again when it draws."""

import json

import pytest
from diffusers import StableDiffusionPipeline, StableDiffusionXLPipeline
from PIL import Image

from lesiongen.dataset import DatasetWriter, Sample
from lesiongen.diffusion import FinetuneConfig, finetune, sample
from lesiongen.diffusion.model.folder import read_manifest
from lesiongen.diffusion.sampling.config import SampleConfig
from lesiongen.errors import UsageError
from lesiongen.imaging import encode_png
from lesiongen.records.model import MODEL_NAME
from lesiongen.tracking import StageRun

from .conftest import SIZE

SIDES = (40, 20, 30)
DRAWING = SampleConfig(per_class=1, num_inference_steps=2)


@pytest.fixture
def sized(tmp_path):
    with DatasetWriter(str(tmp_path / "sized"), name="sizes") as writer:
        for split in ("train", "validation"):
            for number, side in enumerate(SIDES):
                picture = encode_png(Image.new("RGB", (side + 10, side), (90 + number, 60, 50)))
                name = f"{split}-{number}"
                writer.add(Sample(image=picture, image_id=name, diagnosis="nv", split=split, caption="nevus"))
    return str(tmp_path / "sized")


@pytest.fixture
def told(monkeypatch):
    """What diffusers' pipelines are told of sizes, call by call."""
    calls = []
    for kind in (StableDiffusionPipeline, StableDiffusionXLPipeline):

        def watched(self, *arguments, call=kind.__call__, **named):
            calls.append({name: value for name, value in named.items() if name.endswith("_size")})
            return call(self, *arguments, **named)

        monkeypatch.setattr(kind, "__call__", watched)
    return calls


@pytest.mark.parametrize("method", ["lora", "full"])
def test_xl_is_told_the_middle_side_of_its_training_images(
    config, xl_folder, sized, tmp_path, told, monkeypatch, method
):
    model = tmp_path / "model"
    with monkeypatch.context() as tracked:
        tracked.setattr(StageRun, "run_id", "drawn")
        changes = {
            "base": str(xl_folder),
            "method": method,
            "max_train_steps": 2,
            "num_validation_images": 1,
            "num_inference_steps": 2,
        }
        finetune(config.changed(**changes), sized, str(model))
    assert read_manifest(model).original_side == 30
    sample(DRAWING, str(model), str(tmp_path / "same"), dataset=sized)
    sample(DRAWING.changed(image_size=24), str(model), str(tmp_path / "larger"), dataset=sized)
    same = {"original_size": (30, 30), "target_size": (SIZE, SIZE)}
    assert told == [same, same, {"original_size": (30, 30), "target_size": (24, 24)}]


def test_other_families_are_told_nothing(config, sized, tmp_path, told):
    finetune(config.changed(max_train_steps=2), sized, str(tmp_path / "model"))
    sample(DRAWING, str(tmp_path / "model"), str(tmp_path / "set"), dataset=sized)
    assert told == [{}]


def test_a_model_that_does_not_say_the_side_is_drawn_with_all_the_same(config, xl_folder, sized, tmp_path, told):
    model = tmp_path / "model"
    finetune(config.changed(base=str(xl_folder), max_train_steps=2), sized, str(model))
    manifest = json.loads((model / MODEL_NAME).read_text())
    del manifest["original_side"], manifest["manifest_sha256"]  # as earlier releases wrote it
    (model / MODEL_NAME).write_text(json.dumps(manifest))
    assert read_manifest(model).original_side is None
    assert sample(DRAWING, str(model), str(tmp_path / "set"), dataset=sized).dataset.rows == 1
    assert told == [{}]


@pytest.mark.parametrize("kind", [FinetuneConfig, SampleConfig])
@pytest.mark.parametrize("size", [8, 30, 100])
def test_a_size_that_the_vae_cannot_make_is_refused(kind, size):
    with pytest.raises(UsageError, match="image_size"):
        kind().changed(image_size=size)
    assert "image_size=104" in repr(kind().changed(image_size=104))
