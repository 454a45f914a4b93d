"""Copies of training images, made to see which of them a search for near copies finds."""

from collections.abc import Callable
from functools import partial
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from lesiongen.concepts.segmentation import segment
from lesiongen.seeds import derive_seed

__all__ = ["KINDS", "planted"]

Pixels = NDArray[np.uint8]
LEAST_SIDE = 0.75
"""Share of the side that a crop keeps at least."""
JPEG_QUALITY = 50
CONTRAST, LIGHT, TINT = 0.2, 0.08, 0.05
"""Largest changes of contrast, of brightness and of a colour channel, in parts of their range."""
SHIFT = 0.1
"""How far a lesion is moved at most before it is pasted, in parts of the side."""
SOFT = 1 / 64
"""Deviation of the blur of the outline of a pasted lesion, in parts of the side."""
SPREAD = 1 / 8
"""How far around a lesion the skin that takes its place is taken from, in parts of the side."""


def planted(kind: str, images: Pixels, seed: int) -> Pixels:
    """Returns a copy of each image.

    Args:
        kind: One of `KINDS`.
        images: Training images [n, size, size, 3]; a lesion is pasted on the skin of the next image.
        seed: Seed of everything random.

    Returns:
        [n, size, size, 3]. Where no lesion is found in an image, it is pasted as a whole: its copy is exact.
    """
    rng = np.random.default_rng(derive_seed(seed, "planted", kind))
    if kind == "pasted lesion":
        return _pasted(images, rng)
    return np.stack([_ALTERED[kind](image, rng) for image in images])


def _exact(image: Pixels, rng: np.random.Generator) -> Pixels:
    return image


def _turned(image: Pixels, rng: np.random.Generator) -> Pixels:
    """One of the seven turns and mirrorings that change an image."""
    number = int(rng.integers(1, 8))
    return np.rot90(image[:, ::-1] if number >= 4 else image, number % 4)


def _cropped(image: Pixels, rng: np.random.Generator) -> Pixels:
    size = len(image)
    side = size * rng.uniform(LEAST_SIDE, 0.95)
    left, top = rng.uniform(0, size - side, 2)
    cut = Image.fromarray(image).resize(
        (size, size), Image.Resampling.BICUBIC, box=(left, top, left + side, top + side)
    )
    return np.asarray(cut)


def _recoloured(image: Pixels, rng: np.random.Generator) -> Pixels:
    pixels = image.astype(np.float32)
    mean = pixels.mean(axis=(0, 1))
    gain = rng.uniform(1 - CONTRAST, 1 + CONTRAST)
    offset = 255 * (rng.uniform(-LIGHT, LIGHT) + rng.uniform(-TINT, TINT, 3))
    changed = np.clip((pixels - mean) * gain + mean + offset, 0, 255)
    return np.asarray(changed.round(), dtype=np.uint8)


def _encoded(image: Pixels, rng: np.random.Generator) -> Pixels:
    file = BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=JPEG_QUALITY)
    return np.asarray(Image.open(file))


def _pasted(images: Pixels, rng: np.random.Generator) -> Pixels:
    """Puts the lesion of each image, moved a little, on the skin of the next one."""
    masks = [segment(Image.fromarray(image)).lesion for image in images]
    size = images.shape[1]
    copies = []
    for image, mask, skin, hole in zip(
        images, masks, np.roll(images, -1, axis=0), np.roll(masks, -1, axis=0), strict=True
    ):
        shift = rng.uniform(-SHIFT, SHIFT, 2) * size if mask.any() else np.zeros(2)
        move = partial(ndimage.shift, order=1, mode="nearest")
        lesion = move(image.astype(np.float32), (*shift, 0))
        inside = move(mask.astype(np.float32), shift) if mask.any() else np.ones_like(mask, dtype=np.float32)
        weight = ndimage.gaussian_filter(inside, SOFT * size)[..., None]
        copies.append(weight * lesion + (1 - weight) * _without_lesion(skin, hole))
    return np.asarray(np.stack(copies).round(), dtype=np.uint8)


def _without_lesion(image: Pixels, lesion: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Fills the lesion with the skin around it (normalised convolution, Knutsson and Westin 1993)."""
    pixels, size = image.astype(np.float32), len(image)
    seen = ~ndimage.binary_dilation(lesion, iterations=max(1, size // 32))
    if not seen.any():
        return pixels
    weight = ndimage.gaussian_filter(seen.astype(np.float32), SPREAD * size) + 1e-6
    smooth = ndimage.gaussian_filter(pixels * seen[..., None], (SPREAD * size, SPREAD * size, 0)) / weight[..., None]
    return np.asarray(np.where(seen[..., None], pixels, smooth), dtype=np.float32)


_ALTERED: dict[str, Callable[[Pixels, np.random.Generator], Pixels]] = {
    "exact": _exact,
    "turned": _turned,
    "cropped": _cropped,
    "recoloured": _recoloured,
    "re-encoded": _encoded,
}
KINDS = (*_ALTERED, "pasted lesion")
"""What may be done to a training image, and still show its patient."""
