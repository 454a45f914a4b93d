"""Finds the lesion in a close-up of skin: what lies over the skin masked, the light evened out, Otsu, refined."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage
from skimage.filters import threshold_otsu

from lesiongen.concepts.artefacts import foreign, visible, without_lines
from lesiongen.concepts.lab import to_lab
from lesiongen.concepts.regions import bounding_box, median_colour, notches_closed, without_holes
from lesiongen.imaging import to_array

__all__ = ["Segmentation", "segment", "without_fine_structure"]

Mask = NDArray[np.bool_]
Plane = NDArray[np.float32]

OTSU, NOISE = 0.45, 3.0
"""The threshold: this share of Otsu's, and no less than so many times the median distance of the margin."""

OTSU_EVERY = 3
"""One of so many pixels is enough for Otsu's threshold: a histogram needs no more."""

NOTCH = 0.3
"""Share of the region's radius up to which what cuts into it belongs to it, such as scale as pale as the skin."""

TAIL = 0.1
"""Share of the region's radius below which what sticks out of it is cut off."""

PRIOR = 0.05
"""Share of the image's side over which the outline may move in one round."""

MINIMAL_CONTRAST = 2.2
MINIMAL_AREA = 0.006
SAMPLES = 1000
MAXIMAL_AREA = 0.92
FIRST_LIGHTER, LIGHTER = 0.3, 0.7
"""How much a difference towards the light counts, before and after the light was evened out over the skin around:
lesions are darker or redder than skin, but so is the rim of a lit field beside its middle."""


@dataclass(frozen=True)
class Segmentation:
    """Where the lesion and the skin are, as masks [h, w].

    ``lab`` is CIELAB [h, w, 3] after hair was filled in.
    ``hidden`` is what hair, marks, ink and glints cover. ``contrast`` is the mean colour difference between lesion
    and skin. ``problem`` says why no lesion was found; ``lesion`` is then empty.
    """

    lab: Plane
    lesion: Mask
    skin: Mask
    visible: Mask
    hidden: Mask
    contrast: float
    problem: str | None


def segment(image: Image.Image) -> Segmentation:
    """Separates lesion and skin in an image of about a hundred pixels on a side.

    The lesion is what differs from the skin of the image's margin under a light that falls off as a quadratic of
    the place (Cavalcanti and Scharcanski 2011): Otsu's threshold (1979) on the CIELAB distance, with a prior for the
    centre. The region is then refined by the colours inside and outside of it (as GrabCut, Rother et al. 2004, with
    histograms and a smoothed log ratio in place of mixtures and a cut), and notches in it are closed (Serra 1982).
    """
    lab, lines = without_lines(to_lab(to_array(image)))
    seen = visible(lab[..., 0])
    centre = _centre_prior(*lab.shape[:2])
    margin = _margin(seen, centre)
    over = foreign(lab, median_colour(lab[margin]))
    if over.any():
        seen &= ~over
        margin = _margin(seen, centre)
    smooth = ndimage.uniform_filter(lab, (3, 3, 1))
    residual = smooth - _skin_surface(smooth, margin)
    lesion = _threshold(_distance(residual, FIRST_LIGHTER), seen, margin, centre)
    if MINIMAL_AREA < lesion.mean() < 0.6:
        around = seen & ~_wider(lesion)
        residual = smooth - _skin_surface(smooth, around if around.mean() > 0.15 else margin)
        lesion = _threshold(_distance(residual), seen, margin, centre)
    lesion = notches_closed(_refined(residual, lesion, seen), NOTCH)
    distance = _distance(residual)
    contrast = _contrast(distance, lesion, seen)
    problem = _problem(lesion, seen, contrast, _restlessness(distance, lesion, seen))
    if problem is not None:
        lesion = np.zeros_like(lesion)
    skin = seen & ~_wider(lesion)
    return Segmentation(lab, lesion, skin, seen, lines, contrast, problem)


def without_fine_structure(lab: Plane, width: int) -> Plane:
    """Removes lines and dots, dark (network, globules, vessels) and bright (scale, cysts), and keeps the regions.

    Args:
        lab: CIELAB [h, w, 3].
        width: What is narrower goes, in pixels.
    """
    smooth: Plane = ndimage.uniform_filter(lab, (width, width, 1))
    closed = ndimage.grey_closing(lab[..., 0], size=(width, width))
    smooth[..., 0] = ndimage.grey_opening(closed, size=(width, width))
    return smooth


def _wider(lesion: Mask) -> Mask:
    """Returns the lesion with a margin of a twentieth of the shorter side around it."""
    wider: Mask = (
        ndimage.binary_dilation(lesion, iterations=max(min(lesion.shape) // 20, 1)) if lesion.any() else lesion
    )
    return wider


@lru_cache(maxsize=8)
def _centre_prior(height: int, width: int) -> Plane:
    """Returns a weight [height, width] that falls from 1 at the centre towards the corners."""
    down = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    across = np.linspace(-1, 1, width, dtype=np.float32)[None, :]
    prior: Plane = np.exp(-(down**2 + across**2) / np.float32(2 * 0.75**2))
    return prior


def _margin(seen: Mask, centre: Plane) -> Mask:
    """The image's outer part, or of a round image what is far from the middle."""
    if seen.sum() < 20:
        return np.ones_like(seen)
    margin: Mask = seen & (centre < np.quantile(centre[seen], 0.33))
    return margin if margin.sum() >= 20 else seen


def _skin_surface(lab: Plane, skin: Mask) -> Plane:
    """The skin's colour under uneven light: a quadratic of the place for lightness, a plane for a and b.

    Fitted robustly (iteratively reweighted, Tukey's biweight), the curvature damped.
    """
    places = np.flatnonzero(skin)
    places = places[:: max(len(places) // SAMPLES, 1)]
    everywhere = _terms(*skin.shape)
    terms, samples = everywhere[places], lab.reshape(-1, 3)[places]
    damping = np.diag([0, 0, 0, 1, 1, 1]) * 0.02 * len(places) + 1e-6 * np.eye(6)
    weights = _start(samples)
    for _ in range(4):
        weighted = terms * weights[:, None]
        fitted = np.linalg.solve(weighted.T @ terms + damping, (weighted.T @ samples).astype(np.float64))
        away = np.sqrt(((samples - terms @ fitted) ** 2).sum(axis=1))
        limit = 3.0 * max(float(np.median(away)), 1.0)
        weights = (np.clip(1 - (away / limit) ** 2, 0, 1) ** 2).astype(np.float32)
    surface: Plane = (everywhere @ fitted.astype(np.float32)).reshape(lab.shape)
    return surface


def _start(samples: Plane) -> Plane:
    """Returns 1 for the 70% of samples [n] that are nearest to the median colour, 0 for the others."""
    spread = np.abs(samples - median_colour(samples)).sum(axis=1)
    near: Plane = (spread <= np.quantile(spread, 0.7)).astype(np.float32)
    return near


@lru_cache(maxsize=8)
def _terms(height: int, width: int) -> Plane:
    """The quadratic's terms at every pixel [h w, 6]."""
    ticks = np.linspace(-1, 1, height, dtype=np.float32), np.linspace(-1, 1, width, dtype=np.float32)
    down, across = (plane.ravel() for plane in np.meshgrid(*ticks, indexing="ij"))
    return np.stack([np.ones_like(down), down, across, down**2, across**2, down * across], axis=-1)


def _distance(residual: Plane, lighter: float = LIGHTER) -> Plane:
    """Colour difference from the skin; what is lighter, and what is greener, counts less."""
    light, red, yellow = (residual[..., plane] for plane in range(3))
    light = np.where(light > 0, np.float32(lighter) * light, light)
    red = np.where(red < 0, np.float32(0.7) * red, red)
    distance: Plane = np.sqrt(light**2 + red**2 + (np.float32(0.7) * yellow) ** 2)
    return distance


def _threshold(distance: Plane, seen: Mask, margin: Mask, centre: Plane) -> Mask:
    """Returns the lesion where the distance to skin, weighted towards the centre, exceeds a threshold of Otsu."""
    if seen.sum() < 0.2 * seen.size:
        return np.zeros_like(seen)
    weighted = distance * (0.35 + 0.65 * centre)
    values = weighted[seen][::OTSU_EVERY]
    otsu = float(threshold_otsu(np.minimum(values, np.quantile(values, 0.98))))
    noise = NOISE * float(np.median(weighted[margin]))
    return _region(seen & (weighted > min(max(noise, OTSU * otsu), otsu)), distance * centre**2)


def _region(mask: Mask, weight: Plane) -> Mask:
    """Smooths a mask and keeps its heaviest component, holes filled."""
    width = max(mask.shape) / 128
    soft = ndimage.gaussian_filter(mask.astype(np.float32), 1.5 * width) > 0.5
    region = np.zeros_like(mask)
    box = bounding_box(soft)
    radius = float(np.sqrt(soft.sum() / np.pi))
    smooth = ndimage.binary_opening(soft[box], iterations=int(np.clip(TAIL * radius, max(2 * width, 1), 6 * width)))
    labels, count = ndimage.label(smooth)
    if count > 0:
        weights = np.bincount(labels.ravel(), weight[box].ravel())
        region[box] = without_holes(labels == 1 + int(np.argmax(weights[1:])))
    return region


BINS = np.array([16, 12, 12], dtype=np.int32)
REACH = np.array([[-48.0, -20.0, -24.0], [16.0, 28.0, 18.0]], dtype=np.float32)
"""Range of the difference from the skin in L, a and b that the colour histograms resolve."""

ROUNDS = 2


def _refined(residual: Plane, lesion: Mask, seen: Mask) -> Mask:
    """Moves the outline to where the colours inside and outside of it part."""
    if not MINIMAL_AREA < lesion.mean() < 0.85:
        return lesion
    scaled = (residual - REACH[0]) * (BINS / (REACH[1] - REACH[0])).astype(np.float32)
    places = np.clip(scaled.astype(np.int32), 0, BINS - 1)
    codes = (places[..., 0] * BINS[1] + places[..., 1]) * BINS[2] + places[..., 2]
    side = max(lesion.shape)
    counts = np.bincount(codes[seen], minlength=int(np.prod(BINS)))
    for _ in range(ROUNDS):
        odds = _log_odds(codes, lesion & seen, counts)
        near = _blurred(lesion, PRIOR * side)
        evidence = ndimage.gaussian_filter(odds, side / 128 * 1.5, truncate=3.0) + 4 * near - 2
        found = _region(seen & (evidence > 0), np.maximum(evidence, 0))
        if found.mean() < MINIMAL_AREA:
            break
        lesion = found
    return lesion


def _blurred(mask: Mask, sigma: float) -> Plane:
    """A mask through a wide Gaussian, computed from every other pixel."""
    height, width = mask.shape
    small = ndimage.gaussian_filter(mask[::2, ::2].astype(np.float32), sigma / 2, truncate=2.0)
    blurred: Plane = small.repeat(2, axis=0).repeat(2, axis=1)[:height, :width]
    return blurred


def _log_odds(codes: NDArray[np.int32], inside: Mask, counts: NDArray[np.int64]) -> Plane:
    """How much rather a pixel's colour lies inside than outside; ``counts`` holds each colour's pixels, wherever."""
    within = np.bincount(codes[inside], minlength=len(counts))
    logs = []
    for found in (within, counts - within):
        smooth = ndimage.gaussian_filter(found.reshape(BINS).astype(np.float32), 1.0, mode="constant", truncate=3.0)
        logs.append(np.log(smooth / max(int(found.sum()), 1) + 1e-4).ravel())
    odds: Plane = np.clip(logs[0] - logs[1], -3, 3)[codes].astype(np.float32)
    return odds


def _contrast(distance: Plane, lesion: Mask, seen: Mask) -> float:
    """Returns the mean distance within the lesion less that of the skin around it; 0 without a lesion or skin."""
    skin = seen & ~lesion
    if not lesion.any() or not skin.any():
        return 0.0
    return float(distance[lesion].mean() - distance[skin].mean())


def _restlessness(distance: Plane, lesion: Mask, seen: Mask) -> float:
    """How far the skin itself lies from its mean: the contrast that a blotch of skin may have."""
    skin = seen & ~_wider(lesion)
    return float(distance[skin].mean()) if skin.any() else 0.0


def _problem(lesion: Mask, seen: Mask, contrast: float, restlessness: float) -> str | None:
    share = float(lesion.sum() / max(seen.sum(), 1))
    if seen.sum() < 0.2 * seen.size:
        return "most of the image is dark"
    if share < MINIMAL_AREA:
        return "no region stands out from the skin"
    if share > MAXIMAL_AREA:
        return "no skin around the lesion"
    needed = max(MINIMAL_CONTRAST, restlessness)
    if contrast < needed:
        return f"the lesion differs from the skin by {contrast:.1f} in CIELAB, less than {needed:.1f}"
    return None
