"""Precision: parts that were saved in half of it, and a VAE that must not work in it."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL, DiffusionPipeline, UNet2DConditionModel

from lesiongen.diffusion import finetune, sample
from lesiongen.diffusion.families.supported import family_of
from lesiongen.diffusion.precision import drawing_precision, training_precision
from lesiongen.diffusion.sampling.config import SampleConfig
from lesiongen.diffusion.sampling.generator import load_generator
from lesiongen.diffusion.sampling.plan import Request
from lesiongen.diffusion.training import training_job
from lesiongen.tracking import StageRun

from .conftest import SIZE

CPU = torch.device("cpu")
DRAWING = SampleConfig(per_class=1, num_inference_steps=2, image_size=SIZE)


def _cpu(monkeypatch, *, matrix_units: bool) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": True, "amx_bf16": matrix_units})


@pytest.mark.parametrize("matrix_units", [True, False])
def test_a_cpu_computes_in_bf16_only_where_that_is_faster(monkeypatch, caplog, matrix_units):
    _cpu(monkeypatch, matrix_units=matrix_units)
    fastest = "bf16" if matrix_units else "fp32"
    assert (training_precision("auto"), drawing_precision("auto")) == ("fp32", fastest)
    assert (training_precision("fp32"), drawing_precision("fp32")) == ("fp32", "fp32")
    assert not caplog.text
    assert (training_precision("bf16"), drawing_precision("bf16")) == (fastest, fastest)
    assert ("slower in bf16" in caplog.text) == (not matrix_units)
    assert (training_precision("fp16"), drawing_precision("fp16")) == ("fp32", "fp32")
    assert "slower in fp16" in caplog.text


@pytest.mark.parametrize("chosen", [training_precision, drawing_precision])
@pytest.mark.parametrize(("bf16", "expected"), [(True, "bf16"), (False, "fp16")])
def test_a_gpu_computes_in_the_half_precision_that_it_has(monkeypatch, bf16, expected, chosen):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: bf16 or including_emulation)
    assert chosen("auto") == expected
    assert chosen("fp32") == "fp32"


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
@pytest.mark.slow
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
@pytest.mark.slow
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
    monkeypatch.setattr(training_job, "training_precision", lambda _: "bf16")
    monkeypatch.setattr(StageRun, "run_id", "drawn")
    changes = {
        "base": str(whole),
        "method": method,
        "num_validation_images": 2,
        "num_inference_steps": 2,
        "max_train_steps": 3,
    }
    finetune(config.changed(**changes), dataset_uri, str(tmp_path / "model"))
    assert set(decoded) == {(torch.float32, torch.float32)}
    assert set(denoised) == {(True, True), (False, True)}


@pytest.mark.slow
def test_training_in_bf16_on_a_cpu_follows_fp32(config, dataset_uri, tmp_path, monkeypatch):
    _cpu(monkeypatch, matrix_units=True)
    autocast, forward = [], UNet2DConditionModel.forward

    def watched(self, *arguments, **named):
        autocast.append(torch.is_autocast_enabled("cpu"))
        return forward(self, *arguments, **named)

    monkeypatch.setattr(UNet2DConditionModel, "forward", watched)
    losses = {}
    for precision in ("fp32", "bf16"):
        autocast.clear()
        changed = config.changed(method="full", mixed_precision=precision, max_train_steps=3)
        losses[precision] = finetune(changed, dataset_uri, str(tmp_path / precision)).held_out_loss
        assert set(autocast) == {precision == "bf16"}
    assert losses["bf16"] == pytest.approx(losses["fp32"], rel=0.02)
    assert losses["bf16"] != losses["fp32"]


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_a_precision_draws_the_same_pictures_up_to_rounding(whole, monkeypatch, precision):
    """Weights at random make edges everywhere: the pictures of a trained model differ by less."""
    wanted = [Request(index, "mel", "melanoma, dark", 2.0, 4) for index in range(3)]
    decoded, decode = set(), AutoencoderKL.decode

    def watched(self, latents, **named):
        decoded.add((latents.dtype, len(latents)))
        return decode(self, latents, **named)

    monkeypatch.setattr(AutoencoderKL, "decode", watched)
    pictures = {}
    for name in ("fp32", precision):
        generator = load_generator(str(whole), precision="fp32")
        generator.prepare(name)
        generator.set_scheduler("dpmsolver++")
        pictures[name] = np.stack([np.asarray(image, dtype=float) for image in generator.draw(wanted, DRAWING)])
    assert decoded == {(torch.float32, 1)}
    error = np.abs(pictures[precision] - pictures["fp32"])
    assert 0 < error.mean() < 1
    assert pictures["fp32"].std() > 20


@pytest.mark.parametrize("scheduler", ["dpmsolver++", "ddim"])
def test_the_denoiser_alone_works_in_half_precision_between_latents_in_fp32(whole, monkeypatch, scheduler):
    denoised, stepped, forward = set(), set(), UNet2DConditionModel.forward

    def watched(self, latents, *arguments, **named):
        denoised.add(latents.dtype)
        return forward(self, latents, *arguments, **named)

    monkeypatch.setattr(UNet2DConditionModel, "forward", watched)
    generator = load_generator(str(whole), precision="fp32").prepare("bf16")
    generator.set_scheduler(scheduler)
    step = generator.pipeline.scheduler.step

    def watched_step(prediction, *arguments, **named):
        found = step(prediction, *arguments, **named)
        stepped.add((prediction.dtype, found[0].dtype))
        return found

    monkeypatch.setattr(generator.pipeline.scheduler, "step", watched_step)
    generator.draw([Request(0, "mel", "melanoma, dark", 2.0, 3)], DRAWING)
    assert denoised == {torch.bfloat16}
    assert stepped == {(torch.float32, torch.float32)}
