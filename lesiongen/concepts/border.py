"""The passage from skin to lesion along rays from the lesion's middle: where it lies, and how wide it is."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from lesiongen.concepts.lab import to_lab

__all__ = ["Border", "irregularity", "trace_border"]

Mask = NDArray[np.bool_]
Plane = NDArray[np.float32]
Values = NDArray[np.float64]

RAYS = 128
RADIAL_STEP = 1.0
"""Pixels of the mask between two looks at it, along a ray from its middle."""

STEPS = 33
REACH = 0.18
"""How far along a ray the passage is looked at on either side of the outline, in lesion radii."""

ENDS = 9
"""Steps at either end of a ray's stretch whose colours are taken for the lesion's and the skin's."""

SMOOTHED = 7
"""Rays over which the outline's place is a median: what is narrower is a streak or a hair."""

BEYOND, SLACK = 2.0, 0.2
"""How strongly a colour on the far side of the skin's counts as lesion, such as white scale, and from where."""

NEIGHBOURS = 8
"""Rays on either side with which a ray shares what it takes for the lesion's and the skin's colour."""

GRAIN = (1.0, 0.8)
"""Deviation in rays and in steps of the Gaussian that takes the sensor's noise away before the width is measured: a
place is the mean of many colours, a width adds up their noise."""

LIKE_NOISE = 0.3
"""Variance that every channel of CIELAB is taken to have at least: the rounding of bytes alone."""

SECTOR = 4
"""Rays whose mean passage has one width."""

LEAST_DIFFERENCE = 4.0
"""CIELAB difference across the outline below which a ray says nothing."""


@dataclass(frozen=True)
class Border:
    """``radii`` of the outline along equally spaced rays and ``width`` of the passage, in lesion radii.

    ``width`` is None where too few rays cross a visible border. ``share`` is the share of rays that do.
    """

    radii: Values
    width: float | None
    share: float


def trace_border(pixels: NDArray[np.uint8], lesion: Mask, filled: Plane, hidden: Mask) -> Border:
    """Places the outline between the pixels, at half the way from the skin's colour to the lesion's.

    Along every ray the colours are projected on the direction that best separates the skin's from the lesion's colour
    near it (Fisher 1936); the outline lies where as much is lesion as the projection adds up to (the moment-preserving
    edge, Tabatabai and Mitchell 1984), and its width is the edge's rise distance (as in ISO 12233, between its
    quarters).

    Args:
        pixels: sRGB bytes [h, w, 3], of the lesion's image or a larger copy of it.
        lesion: The lesion [h', w'], not empty.
        filled: CIELAB [h', w', 3] with what is hidden filled in.
        hidden: What hair and marks cover [h', w'].
    """
    scale = pixels.shape[0] / lesion.shape[0]
    middle = np.array(ndimage.center_of_mass(lesion))
    turns = np.arange(RAYS) * 2 * np.pi / RAYS
    towards = np.stack([np.sin(turns), np.cos(turns)], axis=1)
    radius = float(np.sqrt(lesion.sum() / np.pi))
    coarse = _radii(lesion, middle, towards) / radius
    offsets = np.linspace(-REACH, REACH, STEPS)
    places = middle + (coarse[:, None, None] + offsets[None, :, None]) * radius * towards[:, None, :]
    lab = _along(pixels, places, scale, filled, hidden)
    passage, clear = _passages(lab)
    shift = ndimage.median_filter(passage.mean(axis=1) * 2 * REACH - REACH, SMOOTHED, mode="wrap")
    even, _ = _passages(ndimage.gaussian_filter(lab, (*GRAIN, 0), mode=("wrap", "nearest", "nearest"), truncate=3))
    return Border(_over_gaps(coarse + shift, clear), _width(even[clear]), float(clear.mean()))


def _over_gaps(radii: Values, clear: NDArray[np.bool_]) -> Values:
    """Draws the outline on between the rays that show it."""
    if not clear.any():
        return radii
    rays = np.arange(RAYS)
    return np.interp(rays, rays[clear], radii[clear], period=RAYS)


WAVES = (6, 18)
"""Waves around the outline that are raggedness; fewer are the lesion's form: place, ellipse, lobes."""

TRIMMED = 0.85
"""Share of the rays, those of the least deviation, that raggedness is taken from: it is everywhere, a hair is not."""


def irregularity(radii: Values) -> float:
    """Returns how ragged an outline is: the deviation of its radius in 6 to 17 waves, over the mean radius.

    Fourier descriptors of the radius (Zahn and Roskies 1972), with a trimmed root mean square in place of the sum of
    the squared coefficients.
    """
    spectrum = np.fft.rfft(radii)
    mean = float(spectrum[0].real) / len(radii)
    spectrum[: WAVES[0]] = 0
    spectrum[WAVES[1] :] = 0
    deviations = np.sort(np.fft.irfft(spectrum, len(radii)) ** 2)[: int(TRIMMED * len(radii))]
    return float(np.sqrt(deviations.mean()) / max(mean, 1e-9))


def _radii(lesion: Mask, middle: Values, towards: Values) -> Values:
    outermost = np.linalg.norm(np.argwhere(lesion) - middle, axis=1).max() + 3
    steps = np.arange(0, outermost, RADIAL_STEP)
    places = middle + steps[None, :, None] * towards[:, None, :]
    soft = ndimage.gaussian_filter(lesion.astype(np.float32), 0.7)
    along = ndimage.map_coordinates(soft, np.moveaxis(places, -1, 0), order=1, mode="constant")
    radii: Values = along.sum(axis=1) * RADIAL_STEP
    return radii


def _along(pixels: NDArray[np.uint8], places: Values, scale: float, filled: Plane, hidden: Mask) -> Plane:
    """The CIELAB colours along the rays [rays, steps, 3], from the smaller image where something hides the larger."""
    coarse, fine = np.moveaxis(places, -1, 0), np.moveaxis((places + 0.5) * scale - 0.5, -1, 0)
    lab = to_lab(_sampled(pixels, fine) / np.float32(255))
    if hidden.any():
        covered = ndimage.map_coordinates(hidden.astype(np.uint8), coarse, order=0, mode="nearest") > 0
        lab[covered] = _sampled(filled, coarse[:, covered])
    return lab


def _passages(lab: Plane) -> tuple[Values, NDArray[np.bool_]]:
    """How much of the lesion's colour each step has, 1 inside to 0 outside [rays, steps], and which rays show it."""
    inner, outer = _shared(lab[:, :ENDS]), _shared(lab[:, -ENDS:])
    difference = inner - outer
    within = np.concatenate([lab[:, :ENDS] - inner[:, None], lab[:, -ENDS:] - outer[:, None]]).reshape(-1, 3)
    noise = np.cov(within.T) + LIKE_NOISE * np.eye(3)
    direction = np.linalg.solve(noise, difference.T).T.astype(np.float32)
    extent = np.maximum((difference * direction).sum(axis=1), 1e-6)
    passage = ((lab - outer[:, None]) @ direction[:, :, None])[..., 0] / extent[:, None]
    clear = (difference**2).sum(axis=1) > LEAST_DIFFERENCE**2
    return np.clip(np.maximum(passage, BEYOND * (-passage - SLACK)), 0, 1), clear


def _sampled(image: NDArray[Any], places: Values) -> Plane:
    """Returns the three planes of an image at places [2, ...] (row, column), interpolated linearly."""
    planes = [
        ndimage.map_coordinates(image[..., plane], places, order=1, mode="nearest", output=np.float32)
        for plane in range(3)
    ]
    return np.stack(planes, axis=-1)


def _shared(lab: Plane) -> Plane:
    """The typical colour of a stretch of the rays, shared with the neighbouring rays."""
    typical: Plane = ndimage.median_filter(lab.mean(axis=1), (2 * NEIGHBOURS + 1, 1), mode="wrap")
    return typical


def _width(passage: Values) -> float | None:
    """The width over which a sector's mean passage falls from three quarters to one quarter, the sectors' median."""
    if len(passage) < RAYS // 4:
        return None
    step = 2 * REACH / (STEPS - 1)
    shift = np.rint((passage.mean(axis=1) - 0.5) * STEPS).astype(int)
    steps = np.clip(np.arange(STEPS)[None, :] + shift[:, None], 0, STEPS - 1)
    aligned = np.take_along_axis(passage, steps, axis=1)
    starts = np.arange(0, len(aligned), SECTOR)
    profiles = np.add.reduceat(aligned, starts, axis=0) / np.diff(np.append(starts, len(aligned)))[:, None]
    falling = np.minimum.accumulate(ndimage.uniform_filter1d(profiles, 3, axis=1), axis=1)
    return float(np.median(_crossing(falling, 0.25) - _crossing(falling, 0.75))) * step


def _crossing(falling: Values, level: float) -> Values:
    """Where profiles [n, steps] that never rise pass a level, in steps; at an end where they do not."""
    after = np.clip((falling > level).sum(axis=1), 1, falling.shape[1] - 1)[:, None]
    above, below = (np.take_along_axis(falling, places, axis=1)[:, 0] for places in (after - 1, after))
    share = np.clip((above - level) / np.maximum(above - below, 1e-9), 0, 1)
    places: Values = after[:, 0] - 1 + share
    return places
