"""Rectified flow: as Esser et al. (2024) write it and as diffusers computes it."""

import json
import math
import shutil

import pytest
import torch
from diffusers import FlowMatchEulerDiscreteScheduler
from diffusers.training_utils import compute_density_for_timestep_sampling

from lesiongen.diffusion.families.flow_matching import FlowMatching, logit_normal
from lesiongen.errors import UsageError

from .conftest import build_sd3_pipeline

EVENLY = (torch.arange(20_000, dtype=torch.float64) + 0.5) / 20_000


@pytest.fixture(params=[1.0, 3.0])
def process(request, tmp_path):
    return FlowMatching(build_sd3_pipeline(tmp_path / "pipeline", shift=request.param))


def test_noise_is_added_as_diffusers_adds_it(process):
    generator = torch.Generator().manual_seed(0)
    latents, noise = torch.randn(2, 64, 4, 2, 2, generator=generator)
    timesteps = process.timesteps(torch.rand(64, generator=generator, dtype=torch.float64))
    reference = FlowMatchEulerDiscreteScheduler(shift=process.schedule.shift)
    torch.testing.assert_close(
        process.add_noise(latents, noise, timesteps), reference.scale_noise(latents, timesteps, noise)
    )


def test_the_target_leads_from_the_noisy_latent_to_both_ends(process):
    latents, noise = torch.randn(2, 8, 4, 2, 2)
    timesteps = process.timesteps(torch.rand(8, dtype=torch.float64))
    noisy, direction = process.add_noise(latents, noise, timesteps), process.target(latents, noise, timesteps)
    sigma = (timesteps / 1000).view(-1, 1, 1, 1)
    torch.testing.assert_close(noisy - sigma * direction, latents)
    torch.testing.assert_close(noisy + (1 - sigma) * direction, noise)


def test_euler_steps_along_the_target_end_at_the_image(process):
    latents, noise = torch.randn(2, 1, 4, 2, 2)
    sampler = process.sampler("euler")
    sampler.set_timesteps(5)
    drawn = noise
    for timestep in sampler.timesteps:
        drawn = sampler.step(process.target(latents, noise, timestep), timestep, drawn, return_dict=False)[0]
    torch.testing.assert_close(drawn, latents)


def test_the_density_is_the_published_one():
    """The share below t is the normal distribution function of logit(t), the integral of equation 19."""
    found = logit_normal(EVENLY)
    for limit in (0.05, 0.25, 0.5, 0.75, 0.95):
        expected = 0.5 * (1 + math.erf(math.log(limit / (1 - limit)) / math.sqrt(2)))
        assert float((found < limit).double().mean()) == pytest.approx(expected, abs=1e-4)


def test_the_density_is_that_of_diffusers():
    drawn = compute_density_for_timestep_sampling(
        "logit_normal", 200_000, logit_mean=0.0, logit_std=1.0, generator=torch.Generator().manual_seed(0)
    )
    levels = torch.linspace(0.05, 0.95, 19)
    found = logit_normal(EVENLY).float().quantile(levels)
    torch.testing.assert_close(found, drawn.quantile(levels), atol=0.005, rtol=0)


def test_timesteps_are_shifted_as_the_schedule_says(process):
    shift = process.schedule.shift
    middle = float(process.timesteps(torch.tensor([0.5], dtype=torch.float64))) / 1000
    before = 0.501  # of timesteps 1 to 1000 that which follows the half
    assert middle == pytest.approx(shift * before / (1 + (shift - 1) * before), abs=1e-6)


def test_the_ends_of_the_uniform_numbers_are_timesteps_too(process):
    ends = process.timesteps(torch.tensor([0.0, 1 - 2**-53], dtype=torch.float64))
    assert ends.tolist() == [process.schedule.timesteps[-1], process.schedule.timesteps[0]]


def test_min_snr_weights_are_refused(process):
    assert process.loss_weights(None) is None
    with pytest.raises(UsageError, match=r"snr_gamma = 5\.0: flow matching has no min-SNR weights") as caught:
        process.loss_weights(5.0)
    assert caught.value.hint == "Set snr_gamma=null."


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
def test_another_prediction_is_refused(sd3_folder, prediction):
    with pytest.raises(UsageError, match=f"prediction_type = {prediction}: .* is trained by flow matching"):
        FlowMatching(sd3_folder, prediction)
    assert FlowMatching(sd3_folder, "flow_prediction").prediction_type == FlowMatching(sd3_folder).prediction_type


@pytest.mark.parametrize("name", ["ddim", "dpmsolver++"])
def test_samplers_of_another_process_are_refused(sd3_folder, name):
    process = FlowMatching(sd3_folder)
    assert isinstance(process.sampler(), FlowMatchEulerDiscreteScheduler)
    with pytest.raises(UsageError, match=f"scheduler = {name}".replace("+", r"\+")) as caught:
        process.sampler(name)
    assert caught.value.hint == "Available: euler."


def test_a_scheduler_of_another_process_is_refused(sd3_folder, tmp_path):
    folder = shutil.copytree(sd3_folder, tmp_path / "pipeline")
    index = json.loads((folder / "model_index.json").read_text()) | {"scheduler": ["diffusers", "DDIMScheduler"]}
    (folder / "model_index.json").write_text(json.dumps(index))
    with pytest.raises(UsageError, match="scheduler is a DDIMScheduler, not a FlowMatchEulerDiscreteScheduler"):
        FlowMatching(folder)


@pytest.mark.parametrize("field", ["use_dynamic_shifting", "invert_sigmas"])
def test_a_schedule_that_training_would_not_follow_is_refused(sd3_folder, tmp_path, field):
    folder = shutil.copytree(sd3_folder, tmp_path / "pipeline")
    path = folder / "scheduler" / "scheduler_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {field: True}))
    with pytest.raises(UsageError, match=f"scheduler sets {field}"):
        FlowMatching(folder)
