import dataclasses
import json
import logging
import os
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import joblib
import numpy as np
import pytest
import torch
from diffusers import StableDiffusionPipeline, UNet2DConditionModel
from safetensors.torch import load_file

from lesiongen.dataset import Dataset
from lesiongen.diffusion import FinetuneConfig, SampleConfig, finetune, finetuning, sample
from lesiongen.diffusion.latents.cache import LatentCache
from lesiongen.diffusion.model.folder import local_model, read_manifest
from lesiongen.diffusion.training import trainer as trainer_module
from lesiongen.errors import DataError, LesionGenError, StorageError, UsageError
from lesiongen.records.model import MODEL_NAME
from lesiongen.storage import LocalStorage
from lesiongen.tracking import StageRun

from .conftest import SIZE, build_dataset, build_pipeline

# Run in a process of its own: trains both methods, is stopped by a real SIGTERM in the second step where asked to,
# and ends with the code of the error that it met.
CHILD = """
import json, os, signal, sys
import torch
from lesiongen.diffusion import FinetuneConfig, finetune
from lesiongen.diffusion.training.trainer import Trainer
from lesiongen.errors import LesionGenError

torch.set_num_threads(1)
configs, dataset, folder, stop = json.loads(sys.argv[1])
step = Trainer.step
def step_and_stop(self):
    finite = step(self)
    if self.history.step == stop:
        os.kill(os.getpid(), signal.SIGTERM)
    return finite
Trainer.step = step_and_stop
codes = []
for name, values in configs.items():
    try:
        result = finetune(FinetuneConfig(**values), dataset, f"{folder}/{name}")
        codes.append([0, result.resumed_from])
    except LesionGenError as error:
        codes.append([error.exit_code, str(error)])
print(json.dumps(codes))
"""


def _child(configs, dataset_uri, folder, stop):
    argument = json.dumps([configs, dataset_uri, str(folder), stop])
    done = subprocess.run([sys.executable, "-c", CHILD, argument], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def _weights(folder: Path) -> dict[str, torch.Tensor]:
    name = "pytorch_lora_weights" if (folder / "pytorch_lora_weights.safetensors").is_file() else None
    return load_file(folder / (f"{name}.safetensors" if name else "unet/diffusion_pytorch_model.safetensors"))


def _same(first: Path, second: Path) -> bool:
    one, two = _weights(first), _weights(second)
    return one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)


@pytest.mark.slow
def test_stopped_after_two_steps_and_resumed_equals_never_stopped_bit_for_bit(config, dataset_uri, tmp_path):
    configs = {method: config.changed(method=method).model_dump(mode="json") for method in ("full", "lora")}
    stopped = _child(configs, dataset_uri, tmp_path, stop=2)
    for code, message in stopped:
        assert code == 75
        assert "Stopped by SIGTERM after step 2 of 6" in message
    assert not (tmp_path / "full").exists()
    assert _child(configs, dataset_uri, tmp_path, stop=None) == [[0, 2], [0, 2]]
    for method, values in configs.items():
        whole = tmp_path / f"{method}-whole"
        result = finetune(FinetuneConfig(**values), dataset_uri, str(whole))
        assert result.resumed_from is None
        assert _same(whole, tmp_path / method)
        assert (whole / "losses.json").read_bytes() == (tmp_path / method / "losses.json").read_bytes()


@pytest.mark.slow
def test_a_full_model_is_a_pipeline_with_the_averaged_weights(config, dataset_uri, pipeline_folder, tmp_path):
    result = finetune(config, dataset_uri, str(tmp_path / "model"))
    manifest = read_manifest(tmp_path / "model")
    assert (manifest.method, manifest.family, manifest.base.uri) == ("full", "stable-diffusion", str(pipeline_folder))
    assert manifest.training.dataset.version == Dataset.open(dataset_uri).reference().version
    average = load_file(next(tmp_path.glob("model-checkpoints/*/step-*/average.safetensors")))
    assert all(torch.equal(average[name], value) for name, value in _weights(tmp_path / "model").items())
    pipeline = StableDiffusionPipeline.from_pretrained(tmp_path / "model", use_safetensors=True)
    assert pipeline.safety_checker is None
    assert not torch.equal(
        pipeline.unet.conv_in.weight, UNet2DConditionModel.from_pretrained(pipeline_folder / "unet").conv_in.weight
    )
    assert result.steps == len(result.losses) == 6
    assert {path.suffix for path in (tmp_path / "model").rglob("*") if path.is_file()} <= {
        ".json", ".safetensors", ".png", ".txt",
    }  # fmt: skip


@pytest.mark.slow
def test_training_and_drawing_use_the_cores_of_a_container(config, dataset_uri, pipeline_folder, tmp_path, monkeypatch):
    used = []
    monkeypatch.setattr(joblib, "cpu_count", lambda: 1)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 64)
    monkeypatch.setattr(torch, "set_num_threads", used.append)
    finetune(config.changed(max_train_steps=2), dataset_uri, str(tmp_path / "model"))
    assert used == [1]
    drawing = SampleConfig(plan={"nv": 1}, num_inference_steps=1, image_size=SIZE)
    sample(drawing, str(pipeline_folder), str(tmp_path / "set"), dataset=dataset_uri)
    assert used == [1, 1]


@pytest.mark.slow
def test_an_adapter_loads_into_its_base_with_diffusers(config, dataset_uri, pipeline_folder, tmp_path):
    finetune(config.changed(method="lora", rank=2), dataset_uri, str(tmp_path / "model"))
    pipeline = StableDiffusionPipeline.from_pretrained(pipeline_folder)
    latent, told = torch.randn(1, 4, 8, 8), torch.randn(1, 24, 16)
    before = pipeline.unet(latent, 500, told).sample
    pipeline.load_lora_weights(tmp_path / "model", use_safetensors=True)
    assert pipeline.unet.peft_config["default_0"].r == 2
    assert not torch.allclose(before, pipeline.unet(latent, 500, told).sample, atol=1e-6)
    assert read_manifest(tmp_path / "model").base.uri == str(pipeline_folder)


@pytest.mark.slow
def test_training_learns(dataset_uri, config, tmp_path):
    longer = config.changed(max_train_steps=60, validation_every=60, ema=False, learning_rate=3e-3)
    losses = finetune(longer, dataset_uri, str(tmp_path / "model")).losses
    assert np.mean(losses[-10:]) < 0.8 * np.mean(losses[:5])


def test_only_train_rows_are_trained_on_and_test_rows_are_never_read(config, dataset_uri, tmp_path, monkeypatch):
    read, samples = [], Dataset.samples
    monkeypatch.setattr(Dataset, "samples", lambda self, split=None: (read.append(split), samples(self, split))[1])
    trained, latents = set(), LatentCache.latents

    def spy(self, images, orientations, noise):
        if noise is not None:
            trained.update((len(self), int(image)) for image in images)
        return latents(self, images, orientations, noise)

    monkeypatch.setattr(LatentCache, "latents", spy)
    finetune(config, dataset_uri, str(tmp_path / "model"))
    assert read == ["train", "validation"]
    assert {size for size, _ in trained} == {10}  # the train split has ten images, validation four


@pytest.mark.slow
def test_validation_images_do_not_change_the_weights(config, tmp_path):
    for name, validation in {"with": 4, "without": 0}.items():
        uri = build_dataset(tmp_path / f"{name}-set", {"train": 10, "validation": validation, "test": 3})
        result = finetune(config, uri, str(tmp_path / name))
        assert (result.held_out_loss is None) == (validation == 0)
    assert _same(tmp_path / "with", tmp_path / "without")


@pytest.mark.slow
def test_a_non_finite_gradient_never_reaches_the_weights(config, dataset_uri, tmp_path, monkeypatch, caplog):
    loss = trainer_module.Trainer._loss

    def poisoned(self, step, places):
        value = loss(self, step, places)
        return value * torch.nan if step == 3 else value

    monkeypatch.setattr(trainer_module.Trainer, "_loss", poisoned)
    with caplog.at_level(logging.WARNING):
        result = finetune(config, dataset_uri, str(tmp_path / "model"))
    assert result.skipped_steps == 1
    assert result.losses[3] is None
    assert "Step 4: its loss or gradient is not finite" in caplog.text
    assert all(torch.isfinite(value).all() for value in _weights(tmp_path / "model").values())


def test_a_run_that_diverges_fails(config, dataset_uri, tmp_path, monkeypatch):
    monkeypatch.setattr(trainer_module.Trainer, "_loss", lambda self, step, places: _nan_loss(self))
    with pytest.raises(LesionGenError, match=r"not finite for 3 steps in a row, up to step 3"):
        finetune(config.changed(max_nonfinite=3), dataset_uri, str(tmp_path / "model"))
    assert not (tmp_path / "model").exists()


def _nan_loss(trainer):
    return torch.stack([value.sum() for value in trainer.learner.weights.values()]).sum() * torch.nan


def test_a_checkpoint_is_written_after_minutes_too(config, dataset_uri, tmp_path, monkeypatch):
    """A pod that is evicted or cancelled is killed at once: what it had learnt since the last checkpoint is lost."""
    now = [0.0]

    class Clock:
        monotonic = staticmethod(lambda: now[0])

    step = trainer_module.Trainer.step

    def three_minutes(self):
        now[0] += 180.0
        return step(self)

    monkeypatch.setattr(trainer_module, "time", Clock)
    monkeypatch.setattr(trainer_module.Trainer, "step", three_minutes)
    settings = config.changed(max_train_steps=6, checkpoint_every=100, checkpoint_minutes=5.0, keep_checkpoints=9)
    finetune(settings, dataset_uri, str(tmp_path / "model"), checkpoints=str(tmp_path / "checkpoints"))
    assert sorted(path.name for path in tmp_path.glob("checkpoints/*/step-*")) == [
        "step-00000002", "step-00000004", "step-00000006",
    ]  # fmt: skip


@pytest.mark.slow
def test_without_resume_it_begins_anew(config, dataset_uri, tmp_path):
    place = str(tmp_path / "checkpoints")
    first = finetune(config, dataset_uri, str(tmp_path / "first"), checkpoints=place)
    again = finetune(config, dataset_uri, str(tmp_path / "again"), checkpoints=place)
    anew = finetune(config, dataset_uri, str(tmp_path / "anew"), checkpoints=place, resume=False)
    assert (first.resumed_from, again.resumed_from, anew.resumed_from) == (None, 6, None)
    assert first.model.version == again.model.version == anew.model.version
    # Another spelling of the base's place is the same run, another configuration is another.
    respelt = config.changed(base=os.path.relpath(config.base_model.base))
    assert finetune(respelt, dataset_uri, str(tmp_path / "respelt"), checkpoints=place).resumed_from == 6
    other = config.changed(learning_rate=2e-3)
    assert finetune(other, dataset_uri, str(tmp_path / "other"), checkpoints=place).resumed_from is None


@pytest.mark.slow
def test_a_storage_that_fails_for_a_while_costs_no_checkpoint(config, dataset_uri, tmp_path, monkeypatch):
    place = tmp_path / "checkpoints"
    first = finetune(config, dataset_uri, str(tmp_path / "first"), checkpoints=str(place))
    read = LocalStorage.read_bytes

    def refuse(self, key):
        if "step-" in f"{self.uri}/{key}":
            raise StorageError("the server cannot be reached")
        return read(self, key)

    with monkeypatch.context() as patch, pytest.raises(StorageError, match="cannot be reached"):
        patch.setattr(LocalStorage, "read_bytes", refuse)
        finetune(config, dataset_uri, str(tmp_path / "again"), checkpoints=str(place))
    again = finetune(config, dataset_uri, str(tmp_path / "again"), checkpoints=str(place))
    assert (again.resumed_from, again.model.version) == (6, first.model.version)


@pytest.mark.slow
def test_damaged_checkpoints_are_passed_over_and_not_deleted(config, dataset_uri, tmp_path):
    place = tmp_path / "checkpoints"
    often = config.changed(checkpoint_every=5)
    finetune(often, dataset_uri, str(tmp_path / "first"), checkpoints=str(place))
    for state in place.glob("*/step-*/state.json"):
        state.write_text("{}")
    finetune(config, dataset_uri, str(tmp_path / "again"), checkpoints=str(place))
    kept = {path.parent.name for path in place.glob("*/step-*/state.json")}
    assert kept == {"step-00000005", "step-00000006"}


@pytest.mark.slow
def test_other_code_begins_anew(config, dataset_uri, tmp_path, monkeypatch):
    place = str(tmp_path / "checkpoints")
    finetune(config, dataset_uri, str(tmp_path / "first"), checkpoints=place)
    for number, (name, value) in enumerate({"__version__": "99.0", "TRAINING_FORMAT": -1}.items()):
        with monkeypatch.context() as patch:
            patch.setattr(finetuning, name, value)
            result = finetune(config, dataset_uri, str(tmp_path / f"other{number}"), checkpoints=place)
        assert result.resumed_from is None, name


@pytest.mark.slow
def test_only_a_run_of_the_same_pipeline_run_is_gone_on_with(config, dataset_uri, tmp_path, monkeypatch):
    asked, opened = [], iter("abcdef")

    @contextmanager
    def stage_run(stage, params, run_id=None):
        asked.append(run_id)
        run = StageRun()
        run.run_id = run_id or next(opened)
        yield run

    monkeypatch.setattr(finetuning, "stage_run", stage_run)
    place = str(tmp_path / "checkpoints")
    for number, pipeline_run in enumerate(("release-1", "release-1", "release-2", None)):
        if pipeline_run is None:
            monkeypatch.delenv("LESIONGEN_PIPELINE_RUN")
        else:
            monkeypatch.setenv("LESIONGEN_PIPELINE_RUN", pipeline_run)
        finetune(config, dataset_uri, str(tmp_path / f"model{number}"), checkpoints=place)
    assert asked == [None, "a", None, None]


@pytest.mark.slow
def test_a_held_out_loss_that_is_not_finite_ends_nothing(config, dataset_uri, tmp_path, monkeypatch, caplog):
    losses = trainer_module.Trainer._held_out_losses

    def poisoned(self, *arguments):
        value = losses(self, *arguments)
        return value * torch.inf if self.history.step == 6 else value

    monkeypatch.setattr(trainer_module.Trainer, "_held_out_losses", poisoned)
    with caplog.at_level(logging.WARNING):
        result = finetune(config, dataset_uri, str(tmp_path / "model"))
    (_, first), last = json.loads((tmp_path / "model" / "losses.json").read_text())["held_out"]
    assert np.isfinite(first)
    assert last == [6, None]
    assert result.held_out_loss is None
    assert "Step 6: the held-out loss is not finite" in caplog.text
    again = finetune(config, dataset_uri, str(tmp_path / "again"), checkpoints=str(Path(result.checkpoints).parent))
    assert (again.resumed_from, again.held_out_loss) == (6, None)


@pytest.mark.parametrize("zero_snr", [False, True])
@pytest.mark.slow
def test_velocity_models_train_and_stay_velocity_models(config, dataset_uri, tmp_path, zero_snr):
    base = build_pipeline(tmp_path / "base", prediction="v_prediction", zero_snr=zero_snr)
    result = finetune(config.changed(base=str(base)), dataset_uri, str(tmp_path / "model"))
    assert None not in result.losses
    scheduler = json.loads((tmp_path / "model" / "scheduler" / "scheduler_config.json").read_text())
    assert scheduler["prediction_type"] == "v_prediction"
    assert scheduler["rescale_betas_zero_snr"] is zero_snr


def test_pickled_weights_are_refused(config, dataset_uri, tmp_path):
    base = build_pipeline(tmp_path / "base")
    weights = base / "unet" / "diffusion_pytorch_model.safetensors"
    torch.save(load_file(weights), base / "unet" / "diffusion_pytorch_model.bin")
    weights.unlink()
    with pytest.raises(UsageError, match="contains no safetensors weights of a UNet2DConditionModel"):
        finetune(config.changed(base=str(base)), dataset_uri, str(tmp_path / "model"))


def test_what_is_no_base_model_is_refused(config, dataset_uri, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="contains no model"):
        finetune(config.changed(base=str(tmp_path / "empty")), dataset_uri, str(tmp_path / "model"))
    index = {"_class_name": "SomethingElsePipeline"}
    (tmp_path / "empty" / "model_index.json").write_text(json.dumps(index))
    with pytest.raises(UsageError, match="SomethingElsePipeline, which is not supported"):
        finetune(config.changed(base=str(tmp_path / "empty")), dataset_uri, str(tmp_path / "model"))


@pytest.mark.slow
def test_a_taken_output_and_a_damaged_model_are_refused(config, dataset_uri, tmp_path):
    model = str(tmp_path / "model")
    finetune(config, dataset_uri, model)
    for other, resume in ((config.changed(seed=99), True), (config, False)):
        with pytest.raises(UsageError, match="already holds a model"):
            finetune(other, dataset_uri, model, resume=resume)
    (tmp_path / "model" / "vae" / "config.json").write_text("{}")
    with pytest.raises(DataError, match=r"vae/config.json differs"), local_model(str(tmp_path / "model")):
        pass
    (tmp_path / "model" / MODEL_NAME).write_text("{}")
    with pytest.raises(DataError, match="not a valid model manifest"), local_model(str(tmp_path / "model")):
        pass


@pytest.mark.slow
def test_what_has_ended_before_is_found_again(config, dataset_uri, tmp_path, monkeypatch):
    """A run may be killed after its last write and before it could say so."""
    model = str(tmp_path / "model")
    first = finetune(config, dataset_uri, model)
    monkeypatch.setattr(finetuning, "encoded", None)  # nothing is encoded for it
    again = finetune(config, dataset_uri, model)
    assert again.model == first.model
    assert again.losses == first.losses
    assert again.resumed_from == config.optimisation.max_train_steps


def test_a_dataset_without_captions_is_refused_before_a_base_is_built(config, tmp_path, monkeypatch):
    monkeypatch.setattr(finetuning, "prepared_base", None)
    uncaptioned = build_dataset(tmp_path / "data", {"train": 3}, caption=None)
    with pytest.raises(DataError, match="3 of 3 train images have no caption: train-0, train-1, train-2"):
        finetune(config, uncaptioned, str(tmp_path / "out"))


@pytest.mark.slow
def test_the_result_is_plain(config, dataset_uri, tmp_path):
    result = finetune(config, dataset_uri, str(tmp_path / "model"))
    written = json.loads((tmp_path / "model" / "losses.json").read_text())
    assert tuple(written["losses"]) == result.losses
    assert written["held_out"][-1] == [6, result.held_out_loss]
    assert dataclasses.asdict(result)["model"]


@pytest.mark.parametrize("where", ["output", "checkpoints"])
def test_a_place_that_cannot_be_written_is_refused_before_the_base_is_looked_for(config, dataset_uri, tmp_path, where):
    (tmp_path / "file").touch()
    places = {"output": str(tmp_path / "out"), "checkpoints": str(tmp_path / "ck"), where: str(tmp_path / "file/out")}
    with pytest.raises(StorageError, match="cannot be written: .*file is not a folder"):
        finetune(config.changed(base="no/model/at/all"), dataset_uri, **places)
