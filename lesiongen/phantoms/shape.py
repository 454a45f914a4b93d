"""The outline of a phantom's lesion."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lesiongen.phantoms.concepts import PhantomConcepts
from lesiongen.phantoms.fields import Field

__all__ = ["LesionFrame", "lesion_frame", "outline"]

ANGLES = np.linspace(0, 2 * np.pi, 257)


@dataclass(frozen=True)
class LesionFrame:
    """The lesion's own polar coordinates, each [side, side].

    ``depth`` is 1 at the centre, 0 on the outline and negative outside, in lesion radii; ``angle`` is in
    radians from the lesion's long axis; ``radius`` is the lesion's mean radius in image half-widths.
    """

    depth: Field
    angle: Field
    radius: float


def outline(concepts: PhantomConcepts) -> NDArray[np.float64]:
    """Returns the radius at ``ANGLES`` in image half-widths; the outline encloses ``area_share``."""
    rng = np.random.default_rng(concepts.lesion_seed)
    stretch = np.sqrt(concepts.elongation)
    ellipse = 1 / np.hypot(np.cos(ANGLES) / stretch, np.sin(ANGLES) * stretch)
    lopsided = concepts.asymmetry * _lopsided(rng)
    ragged = concepts.border_irregularity * _ragged(rng)
    radii = ellipse * np.clip(1 + lopsided + ragged, 0.3, None)
    enclosed = 0.5 * np.trapezoid(radii**2, ANGLES)
    scaled: NDArray[np.float64] = radii * np.sqrt(4 * concepts.area_share / enclosed)
    return scaled


def _lopsided(rng: np.random.Generator) -> NDArray[np.float64]:
    """Returns the change of the radius, in radii, at each of `ANGLES` for an asymmetric outline."""
    off_axis = rng.integers(4) * np.pi / 2 + np.pi / 4 + rng.uniform(-0.1, 0.1)
    bulge = np.exp(3.0 * (np.cos(ANGLES - off_axis) - 1))
    notch = np.exp(5.0 * (np.cos(ANGLES - off_axis + rng.choice([-1, 1])) - 1))
    lopsided: NDArray[np.float64] = 0.6 * bulge - 0.5 * notch - 0.25 * np.sin(3 * (ANGLES - off_axis))
    return lopsided


def _ragged(rng: np.random.Generator) -> NDArray[np.float64]:
    """Returns the change of the radius, in radii, at each of `ANGLES` for an irregular border."""
    waves = np.arange(6, 17)
    phases = rng.uniform(0, 2 * np.pi, len(waves))
    heights = rng.uniform(0.5, 1.0, len(waves)) / np.sqrt(waves)
    sum_of_waves = (heights[:, None] * np.cos(waves[:, None] * ANGLES + phases[:, None])).sum(axis=0)
    ragged: NDArray[np.float64] = 0.085 * sum_of_waves / sum_of_waves.std()
    return ragged


def lesion_frame(concepts: PhantomConcepts, side: int) -> LesionFrame:
    """Lays the lesion's polar coordinates over an image of ``side`` pixels."""
    ticks = ((np.arange(side, dtype=np.float32) + 0.5) * (2 / side) - 1).astype(np.float32)
    across = (ticks - np.float32(concepts.centre[0]))[None, :]
    down = (ticks - np.float32(concepts.centre[1]))[:, None]
    angle = np.arctan2(down, across) - np.float32(concepts.orientation)
    radii = outline(concepts)
    table = np.append(radii[:-1], radii[0]).astype(np.float32)
    reach = table[np.rint(np.mod(angle, 2 * np.pi) * (256 / (2 * np.pi))).astype(np.int32)]
    mean_radius = float(np.sqrt(4 * concepts.area_share / np.pi))
    depth = (reach - np.hypot(across, down)) / np.float32(mean_radius)
    return LesionFrame(depth=depth.astype(np.float32), angle=angle.astype(np.float32), radius=mean_radius)
