"""What the denoiser is asked to predict, and how much each timestep counts."""

import torch

__all__ = ["loss_per_image", "min_snr_weights", "signal_to_noise", "target"]


def target(
    prediction: str, noise_schedule: object, latents: torch.Tensor, noise: torch.Tensor, timesteps: torch.Tensor
) -> torch.Tensor:
    """Returns the noise, or the velocity (Salimans and Ho 2022, appendix D), [n, c, h, w]."""
    if prediction == "epsilon":
        return noise
    velocity: torch.Tensor = noise_schedule.get_velocity(latents, noise, timesteps)  # type: ignore[attr-defined]
    return velocity


def signal_to_noise(noise_schedule: object, timesteps: torch.Tensor) -> torch.Tensor:
    """Signal-to-noise ratio of the timesteps, [n]; 0 where a schedule ends in pure noise."""
    from diffusers.training_utils import compute_snr

    snr: torch.Tensor = compute_snr(noise_schedule, timesteps)
    return snr


def min_snr_weights(snr: torch.Tensor, gamma: float, prediction: str) -> torch.Tensor:
    """Min-SNR-gamma weights of the squared error (Hang et al. 2023, section 3.4).

    The weight of the predicted clean image is ``min(SNR, gamma)``; divided by SNR for a predicted noise, by
    SNR + 1 for a predicted velocity. At SNR = 0 the limits are 1 and 0, without a division by zero; at
    infinite SNR both are 0.

    Args:
        snr: Signal-to-noise ratios, [n].
        gamma: Ratio above which a timestep counts no more.
        prediction: ``epsilon`` or ``v_prediction``.

    >>> min_snr_weights(torch.tensor([1.0, 20.0]), gamma=5.0, prediction="epsilon").tolist()
    [1.0, 0.25]
    """
    if prediction == "epsilon":
        return torch.clamp(gamma / snr, max=1.0)
    return snr.clamp(max=gamma) / (snr + 1)


def loss_per_image(prediction: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    """Mean squared error of each image, in fp32, [n]."""
    return (prediction.float() - wanted.float()).square().mean(dim=tuple(range(1, wanted.ndim)))
