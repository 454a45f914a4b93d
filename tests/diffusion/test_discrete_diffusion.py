import pytest
import torch
from diffusers import DDPMScheduler

from lesiongen.diffusion.families.discrete_diffusion import DiscreteDiffusion, min_snr_weights, signal_to_noise
from lesiongen.diffusion.training.objective import loss_per_image
from lesiongen.errors import UsageError


@pytest.mark.parametrize(
    ("prediction", "expected"),
    # min(SNR, 5) / SNR for a predicted noise, min(SNR, 5) / (SNR + 1) for a predicted velocity.
    [
        ("epsilon", [1.0, 1.0, 1.0, 0.5, 0.0]),
        ("v_prediction", [0.0, 0.5, 5 / 6, 5 / 11, 0.0]),
    ],
)
def test_min_snr_follows_the_paper_and_stays_finite_at_its_ends(prediction, expected):
    snr = torch.tensor([0.0, 1.0, 5.0, 10.0, torch.inf])
    weights = min_snr_weights(snr, 5.0, prediction)
    torch.testing.assert_close(weights, torch.tensor(expected))


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
def test_a_schedule_that_ends_in_pure_noise_gives_finite_weights(prediction):
    schedule = DDPMScheduler(rescale_betas_zero_snr=True)
    snr = signal_to_noise(schedule, torch.arange(1000))
    assert snr[-1] == 0
    weights = min_snr_weights(snr, 5.0, prediction)
    assert torch.isfinite(weights).all()
    assert weights.max() <= 1


def test_the_three_parametrisations_weigh_the_clean_image_alike():
    # An error e of the clean image is an error e * sqrt(SNR) of the noise, and e * sqrt(SNR + 1) of the velocity.
    snr = torch.logspace(-3, 3, 50)
    noise = min_snr_weights(snr, 5.0, "epsilon") * snr
    velocity = min_snr_weights(snr, 5.0, "v_prediction") * (snr + 1)
    torch.testing.assert_close(noise, snr.clamp(max=5.0))
    torch.testing.assert_close(velocity, snr.clamp(max=5.0))


def test_the_target_gives_back_the_clean_image(pipeline_folder):
    process = DiscreteDiffusion(pipeline_folder, "v_prediction")
    latents, noise = torch.randn(3, 4, 2, 2), torch.randn(3, 4, 2, 2)
    timesteps = torch.tensor([1, 500, 999])
    noisy = process.add_noise(latents, noise, timesteps)
    kept = process.schedule.alphas_cumprod[timesteps].view(-1, 1, 1, 1)
    velocity = process.target(latents, noise, timesteps)
    torch.testing.assert_close(kept.sqrt() * noisy - (1 - kept).sqrt() * velocity, latents, atol=1e-5, rtol=1e-4)
    assert DiscreteDiffusion(pipeline_folder).target(latents, noise, timesteps) is noise


def test_every_timestep_is_drawn_alike(pipeline_folder):
    timesteps = DiscreteDiffusion(pipeline_folder).timesteps((torch.arange(2000, dtype=torch.float64) + 0.5) / 2000)
    assert timesteps.tolist() == [place for place in range(1000) for _ in range(2)]


def test_the_loss_is_weighted_where_a_gamma_is_given(pipeline_folder):
    process = DiscreteDiffusion(pipeline_folder)
    assert process.loss_weights(None) is None
    timesteps = torch.tensor([0, 999])
    ratio = process.schedule.alphas_cumprod[timesteps] / (1 - process.schedule.alphas_cumprod[timesteps])
    torch.testing.assert_close(process.loss_weights(5.0)(timesteps), torch.stack([5 / ratio[0], torch.tensor(1.0)]))


def test_a_sampler_of_another_process_is_refused(pipeline_folder):
    process = DiscreteDiffusion(pipeline_folder)
    assert type(process.sampler()).__name__ == "DPMSolverMultistepScheduler"
    with pytest.raises(UsageError, match="scheduler = euler: unknown sampler") as caught:
        process.sampler("euler")
    assert caught.value.hint == "Available: dpmsolver++, ddim."


def test_the_loss_is_one_number_per_image():
    losses = loss_per_image(torch.zeros(2, 4, 2, 2), torch.stack([torch.ones(4, 2, 2), torch.full((4, 2, 2), 2.0)]))
    assert losses.tolist() == [1.0, 4.0]
