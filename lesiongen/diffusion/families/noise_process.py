"""Noise processes: how noise is added in training, what the denoiser predicts, and how noise is removed in drawing."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import torch

from lesiongen import limits
from lesiongen.damage import told_as_damage
from lesiongen.diffusion.families.model_index import scheduler_type
from lesiongen.errors import UsageError

__all__ = ["LossWeights", "NoiseProcess", "read_schedule"]

LossWeights = Callable[[torch.Tensor], torch.Tensor]
"""Timesteps [n] to the weight of each image's squared error [n]."""


class NoiseProcess(ABC):
    """The way from an image to noise and back, as one pipeline folder describes it.

    The trainer and the generator know of it only what is declared here.

    Args:
        folder: The pipeline folder.
        prediction_type: What the denoiser predicts; None: what the folder's scheduler says.

    Attributes:
        schedule: diffusers' scheduler of the training, which is saved with the model.
        prediction_type: What the denoiser predicts, in diffusers' words.
        timestep_density: How the timesteps of the training are spread, in words that follow "timesteps".
        sampler_names: Names of the samplers, as `sampler_names` lists them; the first is the default.
    """

    schedule: Any
    prediction_type: str
    timestep_density: ClassVar[str]
    sampler_names: ClassVar[tuple[str, ...]]

    @abstractmethod
    def __init__(self, folder: Path, prediction_type: str | None = None) -> None: ...

    @abstractmethod
    def timesteps(self, uniform: torch.Tensor) -> torch.Tensor:
        """Returns the timesteps of the training [n], the inverse of their distribution function.

        Args:
            uniform: Numbers in [0, 1), [n]. Spread evenly, they give timesteps that represent the training's.
        """

    @abstractmethod
    def add_noise(self, latents: torch.Tensor, noise: torch.Tensor, timesteps: torch.Tensor) -> torch.Tensor:
        """Returns the noisy latents [n, c, h, w]."""

    @abstractmethod
    def target(self, latents: torch.Tensor, noise: torch.Tensor, timesteps: torch.Tensor) -> torch.Tensor:
        """Returns what the denoiser should predict of the noisy latents, [n, c, h, w]."""

    @abstractmethod
    def loss_weights(self, snr_gamma: float | None) -> LossWeights | None:
        """Returns the weights of the squared error; None: every image counts alike.

        Args:
            snr_gamma: Gamma of min-SNR weighting; None: none.

        Raises:
            UsageError: The process does not have this weighting.
        """

    @abstractmethod
    def _sampler(self, name: str) -> Any:
        """Returns a new diffusers scheduler for one of the process's own names."""

    def sampler(self, name: str | None = None) -> Any:
        """Returns a new diffusers scheduler that removes the noise of this process.

        Args:
            name: One of ``sampler_names``; None: the default.

        Raises:
            UsageError: The process has no sampler of this name.
        """
        return self._sampler(self.sampler_name(name))

    def sampler_name(self, name: str | None) -> str:
        """Returns the name of a sampler, the default's for None.

        Raises:
            UsageError: The process has no sampler of this name.
        """
        if name is None:
            return self.sampler_names[0]
        if name not in self.sampler_names:
            raise UsageError(
                f"scheduler = {name}: unknown sampler for a model that predicts {self.prediction_type}",
                hint=f"Available: {', '.join(self.sampler_names)}.",
            )
        return name

    def save(self, folder: Path) -> None:
        """Writes the schedule as diffusers' own configuration file."""
        self.schedule.save_pretrained(folder)


def read_schedule(folder: Path, kind: Any) -> Any:
    """Reads a pipeline folder's scheduler configuration as a diffusers scheduler of this kind.

    Raises:
        UsageError: The pipeline's scheduler is not a class of diffusers.
        DataError: The configuration is damaged, or has too many timesteps.
    """
    with told_as_damage(folder / "scheduler", OSError):
        described = kind.load_config(folder, subfolder="scheduler", local_files_only=True)
        steps = described.get("num_train_timesteps", 1000)
        if not 0 < steps <= limits.MAX_TIMESTEPS:  # the schedule has several numbers for each
            raise ValueError(f"num_train_timesteps = {steps:,} is not within 1 and {limits.MAX_TIMESTEPS:,}")
        schedule = kind.from_config(described)
    scheduler_type(folder)
    return schedule
