"""Prediction: a model is drawn with as it was trained, whatever its base predicts."""

import logging

import pytest
import torch
from diffusers import StableDiffusionPipeline

from lesiongen.diffusion import finetune
from lesiongen.diffusion.families.supported import family_of
from lesiongen.diffusion.sampling.generator import load_generator
from lesiongen.diffusion.training.validation_images import ValidationImages
from lesiongen.tracking import StageRun

from .conftest import build_pipeline


@pytest.fixture
def velocity_folder(tmp_path):
    """A base of its own for every test: a folder is warned of once in a process."""
    return build_pipeline(tmp_path / "velocity", prediction="v_prediction")


@pytest.mark.parametrize("scheduler", ["ddim", "dpmsolver++"])
@pytest.mark.parametrize(("prediction", "expected"), [("epsilon", "epsilon"), (None, "v_prediction")])
@pytest.mark.parametrize("method", ["lora", "full"])
@pytest.mark.slow
def test_a_model_is_drawn_with_as_it_was_trained(
    config, velocity_folder, dataset_uri, tmp_path, method, prediction, expected, scheduler
):
    changes = {"base": str(velocity_folder), "method": method, "prediction_type": prediction, "max_train_steps": 2}
    finetune(config.changed(**changes), dataset_uri, str(tmp_path / "model"))
    generator = load_generator(str(tmp_path / "model"))
    generator.set_scheduler(scheduler)
    assert generator.pipeline.scheduler.config.prediction_type == expected


def test_pictures_are_drawn_as_the_run_trains(config, velocity_folder, monkeypatch):
    run, used = StageRun(), []
    call = StableDiffusionPipeline.__call__

    def watched(self, *arguments, **named):
        used.append(self.scheduler.config.prediction_type)
        return call(self, *arguments, **named)

    monkeypatch.setattr(StableDiffusionPipeline, "__call__", watched)
    settings = config.changed(num_inference_steps=2)
    for prediction in ("epsilon", None):
        family = family_of(velocity_folder, prediction)
        pictures = ValidationImages(settings, family, (("mel", "melanoma"),), run)
        pictures.draw(family.denoiser(), 1, 16)
    assert used == ["epsilon", "v_prediction"]


def test_the_rest_of_the_schedule_stays(velocity_folder):
    before, after = (family_of(velocity_folder, prediction).noise_process.schedule for prediction in (None, "epsilon"))
    assert dict(after.config) == dict(before.config) | {"prediction_type": "epsilon"}
    torch.testing.assert_close(after.alphas_cumprod, before.alphas_cumprod)


def test_another_prediction_than_the_base_s_is_warned_of_once(velocity_folder, caplog):
    with caplog.at_level(logging.WARNING):
        for prediction in (None, "v_prediction"):
            family_of(velocity_folder, prediction)
        assert not caplog.records
        for _ in range(2):
            family_of(velocity_folder, "epsilon")
    assert [record.getMessage() for record in caplog.records] == [
        f"The base {velocity_folder} was trained to predict v_prediction, and is used to predict epsilon; "
        "prediction_type=null trains as the base was"
    ]
