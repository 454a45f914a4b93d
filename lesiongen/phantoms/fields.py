"""Smooth random fields, soft thresholds and CIELAB: the brushes that phantoms are painted with."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

__all__ = ["Field", "lab_to_srgb", "smooth_noise", "smoothstep", "stamp"]

Field = NDArray[np.float32]

_XYZ_TO_RGB = np.array(
    [
        [3.2404542, -1.5371385, -0.4985314],
        [-0.9692660, 1.8760108, 0.0415560],
        [0.0556434, -0.2040259, 1.0572252],
    ],
    dtype=np.float32,
)
_WHITE_D65 = np.array([0.95047, 1.0, 1.08883], dtype=np.float32)
_GAMMA = (1.055 * np.linspace(0.0, 1.0, 4097) ** (1 / 2.4) - 0.055).clip(0).astype(np.float32)
_GAMMA[:14] = 12.92 * np.linspace(0.0, 1.0, 4097)[:14]


def smooth_noise(rng: np.random.Generator, side: int, cells: float) -> Field:
    """Draws a smooth field [side, side] of about zero mean and unit deviation, ``cells`` blobs across."""
    coarse = int(np.ceil(cells)) + 3
    grid = Image.fromarray(rng.standard_normal((coarse, coarse), dtype=np.float32))
    shift = rng.uniform(0, 1, 2)
    box = (1 + shift[0], 1 + shift[1], 1 + shift[0] + cells, 1 + shift[1] + cells)
    wide = grid.resize((side, side), Image.Resampling.BICUBIC, box=box)
    noise: Field = np.asarray(wide, dtype=np.float32) * np.float32(1.3)
    return noise


def smoothstep(value: Field, low: float, high: float) -> Field:
    """Rises smoothly from 0 at ``low`` to 1 at ``high``."""
    ramp: Field = np.clip((value - np.float32(low)) * np.float32(1 / (high - low)), 0, 1)
    return ramp * ramp * (3 - 2 * ramp)


def stamp(side: int, points: NDArray[np.floating], radii: NDArray[np.floating]) -> Field:
    """Draws soft discs: points [n, 2] and radii [n] in image half-widths; returns [side, side]."""
    canvas = np.zeros((side, side), dtype=np.float32)
    scale = side / 2
    for (x, y), radius in zip((points + 1) * scale, radii * scale, strict=True):
        reach = int(np.ceil(radius)) + 1
        left, top = max(int(x) - reach, 0), max(int(y) - reach, 0)
        right, bottom = min(int(x) + reach + 1, side), min(int(y) + reach + 1, side)
        if left >= right or top >= bottom:
            continue
        across = (np.arange(left, right, dtype=np.float32) + 0.5 - np.float32(x)) ** 2
        down = (np.arange(top, bottom, dtype=np.float32) + 0.5 - np.float32(y)) ** 2
        disc = np.clip(1.35 - (across[None, :] + down[:, None]) / np.float32(radius**2), 0, 1)
        patch = canvas[top:bottom, left:right]
        np.maximum(patch, disc, out=patch)
    return canvas


def lab_to_srgb(lab: Field) -> NDArray[np.uint8]:
    """Converts CIELAB (D65) [..., 3] to sRGB bytes, clipped to the gamut (CIE 15:2004; IEC 61966-2-1)."""
    level = (lab[..., 0] + 16) / 116
    cubes = np.stack([level + lab[..., 1] / 500, level, level - lab[..., 2] / 200], axis=-1)
    delta = np.float32(6 / 29)
    xyz = np.where(cubes > delta, cubes**3, 3 * delta**2 * (cubes - np.float32(4 / 29))) * _WHITE_D65
    linear = np.clip(xyz @ _XYZ_TO_RGB.T, 0, 1)
    encoded: NDArray[np.uint8] = (_GAMMA[(linear * 4096).astype(np.int32)] * 255 + 0.5).astype(np.uint8)
    return encoded
