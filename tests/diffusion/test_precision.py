"""Precision: parts that were saved in half of it, and a VAE that must not work in it."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from diffusers import AutoencoderKL, DiffusionPipeline, UNet2DConditionModel

from lesiongen.diffusion import finetune, sample, training_job
from lesiongen.diffusion.family import family_of
from lesiongen.diffusion.sample_config import SampleConfig
from lesiongen.tracking import StageRun

from .conftest import SIZE

CPU = torch.device("cpu")
DRAWING = SampleConfig(per_class=1, steps=2, image_size=SIZE)


@pytest.fixture(params=["pipeline_folder", "xl_folder"])
def whole(request):
    return request.getfixturevalue(request.param)


def _said_to_be_half(whole: Path, folder: Path) -> Path:
    """As published bases are: weights in fp32, and a configuration that was written when they were in fp16."""
    shutil.copytree(whole, folder)
    for path in folder.glob("text_encoder*/config.json"):
        config = {key: value for key, value in json.loads(path.read_text()).items() if key != "dtype"}
        path.write_text(json.dumps(config | {"torch_dtype": "float16"}))
    return folder


def _saved_in_half(whole: Path, folder: Path) -> Path:
    pipeline = DiffusionPipeline.from_pretrained(whole, dtype=torch.float32)
    for name, part in pipeline.components.items():
        if name.startswith("text_encoder"):
            part.half()
    pipeline.save_pretrained(folder)
    return folder


@pytest.mark.parametrize("made", [_said_to_be_half, _saved_in_half])
def test_text_encoders_of_half_precision_work_in_fp32(whole, made, dataset_uri, tmp_path):
    half = made(whole, tmp_path / "half")
    encode = {folder: family_of(folder).caption_encoder(CPU) for folder in (half, whole)}
    for name, values in encode[half](["melanoma, dark"]).items():
        exact = {"atol": 0, "rtol": 0} if made is _said_to_be_half else {"atol": 5e-3, "rtol": 5e-3}
        torch.testing.assert_close(values, encode[whole](["melanoma, dark"])[name], **exact)
    pipeline = family_of(half).load_pipeline()
    parts = [part for part in pipeline.components.values() if isinstance(part, torch.nn.Module)]
    assert {part.dtype for part in parts} == {torch.float32}
    assert sample(DRAWING, str(half), str(tmp_path / "set"), dataset=dataset_uri).dataset.rows == 3


@pytest.mark.parametrize("method", ["lora", "full"])
def test_pictures_are_decoded_in_fp32_while_the_denoiser_is_in_bf16(
    config, whole, dataset_uri, tmp_path, monkeypatch, method
):
    denoised, decoded = [], []
    forward, decode = UNet2DConditionModel.forward, AutoencoderKL.decode

    def watched_forward(self, *arguments, **named):
        denoised.append((self.training, torch.is_autocast_enabled("cpu")))
        return forward(self, *arguments, **named)

    def watched_decode(self, latents, **named):
        found = decode(self, latents, **named)
        decoded.append((latents.dtype, found[0].dtype))
        return found

    monkeypatch.setattr(UNet2DConditionModel, "forward", watched_forward)
    monkeypatch.setattr(AutoencoderKL, "decode", watched_decode)
    monkeypatch.setattr(training_job, "precision_for", lambda _: "bf16")
    monkeypatch.setattr(StageRun, "run_id", "drawn")
    changes = {"base": str(whole), "method": method, "validation_pictures": 2, "picture_steps": 2, "steps": 3}
    finetune(config.model_copy(update=changes), dataset_uri, str(tmp_path / "model"))
    assert set(decoded) == {(torch.float32, torch.float32)}
    assert set(denoised) == {(True, True), (False, True)}
