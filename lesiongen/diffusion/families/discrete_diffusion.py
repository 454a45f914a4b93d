"""Discrete diffusion (DDPM, Ho et al. 2020), as Stable Diffusion 1.x, 2.x and XL use it."""

import logging
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

import torch

from lesiongen.diffusion.families import sampler_names
from lesiongen.diffusion.families.noise_process import LossWeights, NoiseProcess, read_schedule
from lesiongen.errors import UsageError

__all__ = ["DiscreteDiffusion", "min_snr_weights", "signal_to_noise"]

logger = logging.getLogger(__name__)
_PREDICTION_TYPES = ("epsilon", "v_prediction")


class DiscreteDiffusion(NoiseProcess):
    """Noise in discrete steps of a fixed variance; the denoiser predicts the noise or the velocity.

    Args:
        folder: The pipeline folder.
        prediction_type: ``epsilon`` or ``v_prediction``; None: what the folder's scheduler says.

    Raises:
        UsageError: The denoiser predicts something else.
        DataError: The scheduler's configuration is damaged.
    """

    timestep_density = "alike"
    sampler_names: ClassVar[tuple[str, ...]] = sampler_names.DISCRETE_DIFFUSION

    def __init__(self, folder: Path, prediction_type: str | None = None) -> None:
        from diffusers import DDPMScheduler

        self.schedule = read_schedule(folder, DDPMScheduler)
        declared: str = self.schedule.config.prediction_type
        self.prediction_type = prediction_type or declared
        if self.prediction_type != declared:
            _warn_of_other_prediction(folder, declared, self.prediction_type)
            self.schedule = DDPMScheduler.from_config(self.schedule.config, prediction_type=self.prediction_type)
        if self.prediction_type not in _PREDICTION_TYPES:
            raise UsageError(f"{folder}: scheduler predicts {self.prediction_type!r}, not epsilon or v_prediction")

    def timesteps(self, uniform: torch.Tensor) -> torch.Tensor:
        """Returns timesteps [n] in [0, number of timesteps), all equally likely."""
        timesteps: torch.Tensor = (uniform * self.schedule.config.num_train_timesteps).long()
        return timesteps

    def add_noise(self, latents: torch.Tensor, noise: torch.Tensor, timesteps: torch.Tensor) -> torch.Tensor:
        """Returns the noisy latents [n, c, h, w] (Ho et al. 2020, equation 4)."""
        noisy: torch.Tensor = self.schedule.add_noise(latents, noise, timesteps)
        return noisy

    def target(self, latents: torch.Tensor, noise: torch.Tensor, timesteps: torch.Tensor) -> torch.Tensor:
        """Returns the noise, or the velocity (Salimans and Ho 2022, appendix D), [n, c, h, w]."""
        if self.prediction_type == "epsilon":
            return noise
        velocity: torch.Tensor = self.schedule.get_velocity(latents, noise, timesteps)
        return velocity

    def loss_weights(self, snr_gamma: float | None) -> LossWeights | None:
        """Returns the min-SNR weights, where a gamma is given."""
        if snr_gamma is None:
            return None
        return lambda timesteps: min_snr_weights(
            signal_to_noise(self.schedule, timesteps), snr_gamma, self.prediction_type
        )

    def _sampler(self, name: str) -> Any:
        from diffusers import DDIMScheduler, DPMSolverMultistepScheduler

        if name == "ddim":
            return DDIMScheduler.from_config(self.schedule.config, timestep_spacing="trailing", clip_sample=False)
        return DPMSolverMultistepScheduler.from_config(
            self.schedule.config,
            algorithm_type="dpmsolver++",
            timestep_spacing="trailing",
            final_sigmas_type="zero",
        )


def signal_to_noise(schedule: object, timesteps: torch.Tensor) -> torch.Tensor:
    """Signal-to-noise ratio of the timesteps, [n]; 0 where a schedule ends in pure noise."""
    from diffusers.training_utils import compute_snr

    snr: torch.Tensor = compute_snr(schedule, timesteps)
    return snr


def min_snr_weights(snr: torch.Tensor, gamma: float, prediction_type: str) -> torch.Tensor:
    """Min-SNR-gamma weights of the squared error (Hang et al. 2023, section 3.4).

    The weight of the predicted clean image is ``min(SNR, gamma)``; divided by SNR for a predicted noise, by
    SNR + 1 for a predicted velocity. At SNR = 0 the limits are 1 and 0, without a division by zero; at
    infinite SNR both are 0.

    Args:
        snr: Signal-to-noise ratios, [n].
        gamma: Ratio above which a timestep counts no more.
        prediction_type: ``epsilon`` or ``v_prediction``.

    >>> min_snr_weights(torch.tensor([1.0, 20.0]), gamma=5.0, prediction_type="epsilon").tolist()
    [1.0, 0.25]
    """
    if prediction_type == "epsilon":
        return torch.clamp(gamma / snr, max=1.0)
    return snr.clamp(max=gamma) / (snr + 1)


@cache
def _warn_of_other_prediction(folder: Path, declared: str, prediction_type: str) -> None:
    """Warns once in a process, however often the folder is opened."""
    logger.warning(
        "The base %s was trained to predict %s, and is used to predict %s; prediction_type=null trains as the base was",
        folder, declared, prediction_type,
    )  # fmt: skip
