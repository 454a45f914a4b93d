"""Stable Diffusion XL: both text encoders, sizes, adapters and whole models, as diffusers itself does it."""

import json
import shutil

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionXLPipeline, UNet2DConditionModel
from PIL import Image

from lesiongen.dataset import Dataset, DatasetWriter, Sample
from lesiongen.diffusion import finetune, sample
from lesiongen.diffusion.families.supported import family_of
from lesiongen.diffusion.latents.cache import cached
from lesiongen.diffusion.latents.cache_place import CachePlace
from lesiongen.diffusion.model.folder import read_manifest
from lesiongen.diffusion.orientations import Orientations
from lesiongen.diffusion.sampling.config import SampleConfig
from lesiongen.diffusion.sampling.generator import load_generator
from lesiongen.diffusion.sampling.plan import Request
from lesiongen.imaging import encode_png

from .conftest import SIZE

CPU = torch.device("cpu")
CAPTIONS = ["melanoma, dark", "nevus"]


@pytest.fixture(scope="module")
def pipeline(xl_folder):
    loaded = StableDiffusionXLPipeline.from_pretrained(xl_folder, add_watermarker=False)
    loaded.set_progress_bar_config(disable=True)
    return loaded


def test_captions_are_encoded_as_the_pipeline_encodes_them(xl_folder, pipeline):
    encoded = family_of(xl_folder).caption_encoder(CPU)(CAPTIONS)
    for row, caption in enumerate(CAPTIONS):
        text, _, pooled, _ = pipeline.encode_prompt(caption, do_classifier_free_guidance=False)
        torch.testing.assert_close(encoded["text"][row], text[0])
        torch.testing.assert_close(encoded["pooled"][row], pooled[0])


@pytest.mark.parametrize("zeros", [True, False])
def test_no_caption_is_the_same_in_training_and_in_drawing(xl_folder, tmp_path, monkeypatch, zeros):
    """The published base takes zeros for no prompt; a pipeline that says so takes the encoded empty text."""
    folder = shutil.copytree(xl_folder, tmp_path / "pipeline")
    index = json.loads((folder / "model_index.json").read_text())
    (folder / "model_index.json").write_text(json.dumps(index | {"force_zeros_for_empty_prompt": zeros}))
    told, forward = [], UNet2DConditionModel.forward

    def watched(self, *arguments, **named):
        told.append({"text": named["encoder_hidden_states"][0], "pooled": named["added_cond_kwargs"]["text_embeds"][0]})
        return forward(self, *arguments, **named)

    monkeypatch.setattr(UNet2DConditionModel, "forward", watched)
    drawing = SampleConfig(image_size=SIZE)
    load_generator(str(folder), precision="fp32").draw([Request(0, "mel", CAPTIONS[0], 2.0, 1)], drawing)
    trained = family_of(folder).caption_encoder(CPU)(["", CAPTIONS[0]])
    for name, values in trained.items():
        torch.testing.assert_close(told[0][name], values[0])
        assert bool(values[0].any()) != zeros
        assert values[1].any()


def test_what_is_encoded_is_kept_for_the_same_meaning_of_no_caption_alone(xl_folder, dataset_uri, tmp_path):
    folder = shutil.copytree(xl_folder, tmp_path / "pipeline")
    index = json.loads((folder / "model_index.json").read_text())
    empty = {}
    for zeros in (True, False):
        (folder / "model_index.json").write_text(json.dumps(index | {"force_zeros_for_empty_prompt": zeros}))
        cache = cached(
            Dataset.open(dataset_uri), "train", family_of(folder), image_size=SIZE,
            orientations=Orientations(False, False), device=CPU, place=CachePlace(tmp_path / "cache"),
        )  # fmt: skip
        empty[zeros] = cache.conditioning(np.array([0]), dropped=np.array([True]))["text"]
    assert not empty[True].any()
    assert empty[False].any()


def test_the_size_is_that_of_the_pipeline_for_a_picture_that_is_not_cropped(xl_folder, pipeline):
    expected = pipeline._get_add_time_ids((300, 300), (0, 0), (SIZE, SIZE), torch.float32, 16)
    assert torch.equal(family_of(xl_folder).size_conditioning([300], SIZE)["size"], expected)


def test_the_cache_tells_each_image_its_own_size(xl_folder, tmp_path):
    with DatasetWriter(str(tmp_path / "set"), name="sizes") as writer:
        for number, size in enumerate(((40, 30), (20, 20))):
            picture = encode_png(Image.new("RGB", size, "white"))
            writer.add(Sample(image=picture, image_id=str(number), diagnosis="nv", split="train", caption="nevus"))
    cache = cached(
        Dataset.open(str(tmp_path / "set")), "train", family_of(xl_folder), image_size=SIZE,
        orientations=Orientations(False, False), device=CPU, place=CachePlace(tmp_path / "cache"),
    )  # fmt: skip
    told = cache.conditioning(np.array([1, 0]))
    assert told["size"].tolist() == [[20, 20, 0, 0, SIZE, SIZE], [30, 30, 0, 0, SIZE, SIZE]]
    assert set(told) == {"text", "pooled", "size"}


def test_what_is_predicted_is_what_the_pipeline_uses(xl_folder, pipeline):
    family = family_of(xl_folder)
    generator = torch.Generator().manual_seed(3)
    noisy = torch.randn(2, 4, SIZE // 2, SIZE // 2, generator=generator)
    told = {**family.caption_encoder(CPU)(CAPTIONS), **family.size_conditioning([SIZE, SIZE], SIZE)}
    with torch.inference_mode():
        found = family.predict(family.denoiser(), noisy, torch.tensor([5, 700]), told)
        expected = pipeline.unet(
            noisy, torch.tensor([5, 700]), encoder_hidden_states=told["text"],
            added_cond_kwargs={"text_embeds": told["pooled"], "time_ids": told["size"]},
        ).sample  # fmt: skip
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("method", ["lora", "full"])
def test_it_is_trained_published_and_drawn_with(config, xl_folder, dataset_uri, tmp_path, method):
    trained = config.changed(base=str(xl_folder), method=method)
    result = finetune(trained, dataset_uri, str(tmp_path / "model"))
    manifest = read_manifest(tmp_path / "model")
    assert (manifest.family, manifest.method) == ("stable-diffusion-xl", method)
    assert result.held_out_loss is not None
    settings = SampleConfig(per_class=1, num_inference_steps=2)
    drawn = sample(settings, str(tmp_path / "model"), str(tmp_path / "drawn"), dataset=dataset_uri)
    base = sample(settings.changed(image_size=SIZE), str(xl_folder), str(tmp_path / "base"), dataset=dataset_uri)
    assert drawn.dataset.rows == base.dataset.rows == 3
    assert drawn.dataset.version != base.dataset.version


def test_an_adapter_loads_into_its_base_with_diffusers(config, xl_folder, pipeline, dataset_uri, tmp_path):
    trained = config.changed(base=str(xl_folder), method="lora", rank=2)
    finetune(trained, dataset_uri, str(tmp_path / "model"))
    pipeline.load_lora_weights(tmp_path / "model", weight_name="pytorch_lora_weights.safetensors")
    try:
        assert pipeline.get_active_adapters() == ["default_0"]
    finally:
        pipeline.unload_lora_weights()
