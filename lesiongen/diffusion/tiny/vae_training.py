"""Fits the tiny VAE to a run's own training images."""

import math
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from lesiongen.diffusion.orientations import orient
from lesiongen.diffusion.tiny.config import TinyBaseConfig
from lesiongen.progress import progress
from lesiongen.seeds import derive_seed

__all__ = ["fit_vae", "peak_signal_to_noise", "texture_loss", "unit_variance_latents"]

WARMUP_STEPS = 50
# Keeps the posterior from shrinking to a point; far too weak to blur.
KL_WEIGHT = 1e-8
AT_ONCE = 64
# Side and stride of the patches whose fine structure is compared, in pixels of the image.
PATCH, STRIDE = 6, 3
# Added to the energy of the Laplacian: below it, on plain skin, noise is not told from structure.
FLOOR = 1e-4


def fit_vae(vae: Any, images: NDArray[np.uint8], config: TinyBaseConfig) -> None:
    """Trains the VAE in place for ``config.vae_steps`` steps of mean squared error and, weighted, `texture_loss`.

    Each batch is turned and mirrored at random, and so are its latents: what is decoded from turned latents must
    be the turned image. Latents then behave like small images, which the denoiser learns more easily (EQ-VAE,
    Kouzelis et al. 2025). The steps, not the clock, end the training: the same images and seed give the same VAE.

    Args:
        vae: An ``AutoencoderKL``.
        images: Training images [n, size, size, 3].
        config: Steps, batch size, learning rate, seed.
    """
    random = np.random.default_rng(derive_seed(config.seed, "vae batches"))
    noise = torch.Generator().manual_seed(derive_seed(config.seed, "vae noise"))
    vae.to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(vae.parameters(), lr=config.vae_learning_rate, betas=(0.9, 0.99))
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _rate(step, config.vae_steps))
    vae.train()
    with progress("Fitting the VAE", total=config.vae_steps, unit="steps") as bar:
        for _ in range(config.vae_steps):
            chosen = images[random.integers(len(images), size=config.vae_batch_size)]
            batch = _turned(pixels(chosen), random)
            posterior = vae.encode(batch).latent_dist
            turn, mirrored = _orientation(random)
            drawn = vae.decode(orient(posterior.sample(noise), turn, mirrored)).sample
            shown = orient(batch, turn, mirrored)
            error = F.mse_loss(drawn, shown)
            loss = error + KL_WEIGHT * posterior.kl().mean()
            if config.vae_texture_weight:
                loss = loss + config.vae_texture_weight * texture_loss(drawn, shown)
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(vae.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            bar.advance(1, f"{_decibels(error.item()):.1f} dB")
    vae.eval()


def texture_loss(drawn: torch.Tensor, shown: torch.Tensor) -> torch.Tensor:
    """Returns how far the amount of fine structure in small patches differs, wherever in the patch it lies.

    The squared error alone rewards a blur: fine structure that lies a pixel aside costs twice as much as none. Here the
    root mean square of the grey image's Laplacian is compared by patch, as texture statistics are in Gatys et al. 2015.

    Args:
        drawn: Reconstructions [n, 3, side, side] in [-1, 1].
        shown: What they should show.
    """
    return F.mse_loss(_roughness(drawn), _roughness(shown))


def _roughness(images: torch.Tensor) -> torch.Tensor:
    """Root mean square of the Laplacian in patches [n, 1, rows, columns]."""
    kernel = images.new_tensor([[0.0, 1.0, 0.0], [1.0, -4.0, 1.0], [0.0, 1.0, 0.0]])[None, None]
    edges = F.conv2d(images.mean(dim=1, keepdim=True), kernel)
    return (F.avg_pool2d(edges.square(), PATCH, STRIDE) + FLOOR).sqrt()


@torch.inference_mode()
def peak_signal_to_noise(vae: Any, images: NDArray[np.uint8]) -> float:
    """Returns the mean peak signal-to-noise ratio of the images' reconstructions, in dB; images [n, s, s, 3]."""
    ratios: list[float] = []
    for start in range(0, len(images), AT_ONCE):
        batch = pixels(images[start : start + AT_ONCE])
        drawn = vae.decode(vae.encode(batch).latent_dist.mean).sample.clamp(-1, 1)
        errors = (drawn - batch).square().mean(dim=(1, 2, 3))
        ratios += [_decibels(error) for error in errors.tolist()]
    return float(np.mean(ratios))


@torch.no_grad()
def unit_variance_latents(vae: Any, images: NDArray[np.uint8]) -> None:
    """Folds a shift and a scale per latent channel into the VAE, so that latents have mean 0 and variance 1.

    The denoiser's noise schedule assumes such latents. One scaling factor for all channels, as Stable Diffusion
    has, would leave weak channels to the noise.
    """
    encoded = [
        vae.encode(pixels(images[start : start + AT_ONCE])).latent_dist.mean for start in range(0, len(images), AT_ONCE)
    ]
    latents = torch.cat(encoded)
    mean, deviation = latents.mean(dim=(0, 2, 3)), latents.std(dim=(0, 2, 3))
    count = len(mean)
    before: Any = vae.quant_conv
    after: Any = vae.post_quant_conv
    after.bias += (after.weight[:, :, 0, 0] * mean).sum(dim=1)
    after.weight *= deviation[:, None, None]
    before.weight[:count] /= deviation[:, None, None, None]
    before.bias[:count] = (before.bias[:count] - mean) / deviation
    before.bias[count:] -= 2 * deviation.log()


def pixels(images: NDArray[np.uint8]) -> torch.Tensor:
    """Turns images [n, size, size, 3] into what a VAE reads: [n, 3, size, size] in [-1, 1]."""
    scaled = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 127.5 - 1
    return scaled.contiguous(memory_format=torch.channels_last)


def _turned(batch: torch.Tensor, random: np.random.Generator) -> torch.Tensor:
    """Returns a batch in one orientation drawn for all its images."""
    turn, mirrored = _orientation(random)
    return orient(batch, turn, mirrored).contiguous(memory_format=torch.channels_last)


def _orientation(random: np.random.Generator) -> tuple[int, bool]:
    return int(random.integers(4)), bool(random.integers(2))


def _rate(step: int, steps: int) -> float:
    """Warm-up, then a cosine down to a fiftieth."""
    return min(1.0, (step + 1) / WARMUP_STEPS) * (0.51 + 0.49 * math.cos(math.pi * step / max(steps, 1)))


def _decibels(mean_squared_error: float) -> float:
    """Peak signal-to-noise ratio of pixels in [-1, 1], whose range is 2."""
    return 10 * math.log10(4 / max(mean_squared_error, 1e-12))
