"""Photographs an image again under worse conditions: slanting and coloured light, blur, sensor noise, many hairs."""

from dataclasses import dataclass

import numpy as np
from PIL import Image
from scipy import ndimage

from lesiongen.phantoms.fields import Field
from lesiongen.phantoms.render import draw_hairs
from lesiongen.seeds import derive_seed

__all__ = ["Disturbance", "disturb", "draw_disturbance"]

GAMMA = 2.2
LIGHT_HAIRS = 0.25
"""Share of the disturbed images whose hairs are light ones."""


@dataclass(frozen=True)
class Disturbance:
    """How an image is photographed.

    ``gradient`` is the logarithm of the light's gain from the centre to the image's edge, across and down;
    ``falloff`` the share of the light that is lost in the corners; ``cast`` the light's gain in red, green and blue;
    ``blur`` (Gaussian) and ``motion`` (length) are shares of the image's side, ``direction`` in radians; ``noise``
    is the sensor's deviation on the scale of 255; ``hairs`` cross the whole image.
    """

    gradient: tuple[float, float]
    falloff: float
    cast: tuple[float, float, float]
    blur: float
    motion: float
    direction: float
    noise: float
    hairs: int
    light_hairs: bool
    seed: int


def draw_disturbance(seed: int, index: int) -> Disturbance:
    """Draws the conditions of image ``index``; they do not depend on what it shows."""
    rng = np.random.default_rng(derive_seed(seed, "disturbance", index))
    slope, towards = rng.uniform(0.0, 0.2), rng.uniform(0, 2 * np.pi)
    exposure, warmth = rng.uniform(-0.05, 0.05), rng.uniform(-0.05, 0.05)
    return Disturbance(
        gradient=(float(slope * np.cos(towards)), float(slope * np.sin(towards))),
        falloff=float(rng.uniform(0.0, 0.25)),
        cast=(float(1 + exposure + warmth), float(1 + exposure), float(1 + exposure - warmth)),
        blur=float(rng.uniform(0.0, 0.006)),
        motion=float(rng.uniform(0.0, 0.012)),
        direction=float(rng.uniform(0, np.pi)),
        noise=float(rng.uniform(2.0, 8.0)),
        hairs=int(rng.integers(4, 16)),
        light_hairs=bool(rng.random() < LIGHT_HAIRS),
        seed=derive_seed(seed, "disturbance noise", index),
    )


def disturb(image: Image.Image, conditions: Disturbance) -> Image.Image:
    """Returns a square RGB image as it looks under these conditions, hairs first and the sensor last."""
    rng = np.random.default_rng(conditions.seed)
    pixels = np.asarray(image.convert("RGB"), dtype=np.float32) * np.float32(1 / 255)
    side = pixels.shape[0]
    cover = np.float32(0.85) * draw_hairs(rng, side, conditions.hairs)[..., None]
    hair = (0.85, 0.78, 0.62) if conditions.light_hairs else (0.2, 0.16, 0.14)
    pixels = pixels + cover * (np.array(hair, dtype=np.float32) - pixels)
    linear = pixels**GAMMA * _light(conditions, side)
    linear = ndimage.gaussian_filter(linear, (conditions.blur * side, conditions.blur * side, 0))
    linear = ndimage.convolve(linear, _trail(conditions, side)[..., None], mode="nearest")
    seen = np.clip(linear, 0, 1) ** (1 / GAMMA) * 255 + rng.normal(0, conditions.noise, pixels.shape)
    return Image.fromarray(np.clip(seen + 0.5, 0, 255).astype(np.uint8))


def _light(conditions: Disturbance, side: int) -> Field:
    """Returns the factors [side, side, 3] of uneven and coloured light."""
    ticks = np.linspace(-1, 1, side, dtype=np.float32)
    slant = conditions.gradient[0] * ticks[None, :] + conditions.gradient[1] * ticks[:, None]
    corners = 1 - conditions.falloff * (ticks[None, :] ** 2 + ticks[:, None] ** 2) / 2
    light: Field = (np.exp(slant) * corners)[..., None].astype(np.float32) * np.array(conditions.cast, dtype=np.float32)
    return light


def _trail(conditions: Disturbance, side: int) -> Field:
    """The path of a moving camera as a kernel that sums to one."""
    reach = max(int(np.ceil(conditions.motion * side / 2)), 1)
    ticks = np.arange(-reach, reach + 1, dtype=np.float32)
    cosine, sine = np.float32(np.cos(conditions.direction)), np.float32(np.sin(conditions.direction))
    along = ticks[None, :] * cosine + ticks[:, None] * sine
    across = ticks[:, None] * cosine - ticks[None, :] * sine
    outside = np.maximum(np.abs(along) - conditions.motion * side / 2, 0)
    kernel = np.clip(1 - np.hypot(outside, across), 0, 1)
    shares: Field = kernel / kernel.sum()
    return shares
