"""Dropout in a base: it would draw from a random stream that no checkpoint holds."""

import pytest
import torch
from diffusers import UNet2DConditionModel

from lesiongen.diffusion import finetune
from lesiongen.diffusion.families.supported import family_of

from .conftest import build_pipeline


@pytest.fixture
def dropping_folder(tmp_path):
    folder = build_pipeline(tmp_path / "dropping")
    unet = UNet2DConditionModel.from_pretrained(folder / "unet")
    UNet2DConditionModel.from_config(unet.config, dropout=0.5).save_pretrained(folder / "unet")
    return folder


def test_the_denoiser_drops_nothing(dropping_folder):
    dropouts = [
        part.p for part in family_of(dropping_folder).denoiser().modules() if isinstance(part, torch.nn.Dropout)
    ]
    assert dropouts
    assert not any(dropouts)


@pytest.mark.parametrize("method", ["lora", "full"])
@pytest.mark.slow
def test_two_runs_are_equal_whatever_the_global_stream(config, dropping_folder, dataset_uri, tmp_path, method):
    settings = config.changed(base=str(dropping_folder), method=method)
    losses = []
    for seed in (1, 2):
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            losses.append(finetune(settings, dataset_uri, str(tmp_path / str(seed))).losses)
    assert losses[0] == losses[1]
