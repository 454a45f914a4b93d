"""Rectified flow (Liu et al. 2022), as Stable Diffusion 3 uses it (Esser et al. 2024)."""

from pathlib import Path
from typing import Any, ClassVar

import torch

from lesiongen.diffusion.families import sampler_names
from lesiongen.diffusion.families.model_index import scheduler_type
from lesiongen.diffusion.families.noise_process import LossWeights, NoiseProcess, read_schedule
from lesiongen.errors import UsageError

__all__ = ["FlowMatching", "logit_normal"]

_UNSUPPORTED = ("use_dynamic_shifting", "invert_sigmas")


class FlowMatching(NoiseProcess):
    """A straight line from the image to noise; the denoiser predicts its direction.

    A timestep is the number of timesteps times sigma, the share of noise in the noisy latent. In training sigma is
    logit-normal before the scheduler's shift, as in the published training.

    Args:
        folder: The pipeline folder.
        prediction_type: ``flow_prediction`` or None, which mean the same.

    Raises:
        UsageError: Something else is to be predicted, or the folder's scheduler is of another kind.
        DataError: The scheduler's configuration is damaged.
    """

    timestep_density = "logit-normal"
    sampler_names: ClassVar[tuple[str, ...]] = sampler_names.FLOW_MATCHING
    prediction_type = "flow_prediction"

    def __init__(self, folder: Path, prediction_type: str | None = None) -> None:
        from diffusers import FlowMatchEulerDiscreteScheduler

        if prediction_type not in (None, self.prediction_type):
            raise UsageError(
                f"prediction_type = {prediction_type}: {folder} is trained by flow matching, which does not predict it",
                hint="Set prediction_type=null.",
            )
        if (declared := scheduler_type(folder)) is not FlowMatchEulerDiscreteScheduler:
            raise UsageError(
                f"{folder}: scheduler is a {declared.__name__}, not a {FlowMatchEulerDiscreteScheduler.__name__}"
            )
        self.schedule = read_schedule(folder, FlowMatchEulerDiscreteScheduler)
        for field in _UNSUPPORTED:
            if self.schedule.config[field]:
                raise UsageError(f"{folder}: scheduler sets {field}, which is not supported")

    def timesteps(self, uniform: torch.Tensor) -> torch.Tensor:
        """Returns timesteps [n], logit-normal before the shift (Esser et al. 2024, section 3.1).

        The density is that of diffusers' ``compute_density_for_timestep_sampling``.
        """
        increasing = self.schedule.timesteps.flip(0)
        places = (logit_normal(uniform) * len(increasing)).long().clamp(max=len(increasing) - 1)
        timesteps: torch.Tensor = increasing[places]
        return timesteps

    def add_noise(self, latents: torch.Tensor, noise: torch.Tensor, timesteps: torch.Tensor) -> torch.Tensor:
        """Returns (1 - sigma) latents + sigma noise, [n, c, h, w] (Esser et al. 2024, equation 13)."""
        sigma: torch.Tensor = (timesteps / self.schedule.config.num_train_timesteps).view(-1, 1, 1, 1)
        return (1 - sigma) * latents + sigma * noise

    def target(self, latents: torch.Tensor, noise: torch.Tensor, timesteps: torch.Tensor) -> torch.Tensor:
        """Returns the line's direction, noise - latents, [n, c, h, w]: the same at every timestep."""
        return noise - latents

    def loss_weights(self, snr_gamma: float | None) -> LossWeights | None:
        """Returns None: the density of the timesteps is the weighting (Esser et al. 2024, equation 18).

        Raises:
            UsageError: A gamma is given. Min-SNR weights belong to discrete diffusion.
        """
        if snr_gamma is not None:
            raise UsageError(
                f"snr_gamma = {snr_gamma}: flow matching has no min-SNR weights, its timesteps are weighted already",
                hint="Set snr_gamma=null.",
            )
        return None

    def _sampler(self, name: str) -> Any:
        return type(self.schedule).from_config(self.schedule.config)


def logit_normal(uniform: torch.Tensor) -> torch.Tensor:
    """Returns logit-normal numbers of location 0 and scale 1 (Esser et al. 2024, equation 19), from uniform ones.

    Inverse distribution function: the logistic function of the normal quantile.

    >>> logit_normal(torch.tensor([0.0, 0.5])).tolist()
    [0.0, 0.5]
    """
    return torch.sigmoid(torch.special.ndtri(uniform))
