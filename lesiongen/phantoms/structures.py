"""Dermoscopic structures as strength fields in [0, 1]: network, globules, streaks, vessels, scale, cysts."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from lesiongen.phantoms.concepts import PhantomConcepts
from lesiongen.phantoms.fields import Field, smooth_noise, smoothstep, stamp
from lesiongen.phantoms.shape import LesionFrame

__all__ = [
    "cysts",
    "globules",
    "lacunae",
    "network",
    "scale",
    "streaks",
    "veil",
    "vessels",
]

Points = NDArray[np.float64]


def network(concepts: PhantomConcepts, frame: LesionFrame, rng: np.random.Generator) -> Field:
    """A honeycomb of pigmented lines, stronger towards the rim; atypical: warped, broken and uneven."""
    side = frame.depth.shape[0]
    atypical = concepts.network == "atypical"
    ticks = ((np.arange(side, dtype=np.float32) + 0.5) * (2 / side) - 1).astype(np.float32)
    period = rng.uniform(0.15, 0.19)
    warp = 0.075 if atypical else 0.025
    across = ticks[None, :] + np.float32(warp) * smooth_noise(rng, side, 5)
    down = ticks[:, None] + np.float32(warp) * smooth_noise(rng, side, 5)
    waves = np.zeros((side, side), dtype=np.float32)
    start = rng.uniform(0, np.pi)
    for turn in (0.0, np.pi / 3, 2 * np.pi / 3):
        along = across * np.float32(np.cos(start + turn)) + down * np.float32(np.sin(start + turn))
        waves += np.cos(along * np.float32(2 * np.pi / period))
    lines = 1 - smoothstep(waves, -1.1, 0.5)
    fade = 0.95 if concepts.central_white_patch else 0.6
    rim = smoothstep(frame.depth, 0.0, 0.12) * (1 - np.float32(fade) * smoothstep(frame.depth, 0.3, 0.7))
    if atypical:
        rim = rim * smoothstep(smooth_noise(rng, side, 3), -0.5, 0.4) * np.float32(1.35)
    return lines * rim


def _places(rng: np.random.Generator, frame: LesionFrame, count: int, low: float, high: float) -> Points:
    """Returns random points [count, 2] in [-1, 1] whose depth is between two limits; empty if no pixel's is."""
    rows, columns = np.nonzero((frame.depth > low) & (frame.depth < high))
    if len(rows) == 0:
        return np.zeros((0, 2))
    chosen = rng.integers(len(rows), size=count)
    pixels = np.stack([columns[chosen] + 0.5, rows[chosen] + 0.5], axis=1)
    points: Points = pixels * (2 / frame.depth.shape[0]) - 1
    return points


def globules(concepts: PhantomConcepts, frame: LesionFrame, rng: np.random.Generator) -> Field:
    """Dark round bodies: regular ones are alike and even, irregular ones differ and gather on one side."""
    side = frame.depth.shape[0]
    if concepts.globules == "regular":
        points = _places(rng, frame, int(rng.integers(16, 30)), 0.08, 1.0)
        return stamp(side, points, np.full(len(points), 0.034)) * np.float32(0.85)
    points = _places(rng, frame, int(rng.integers(14, 26)), 0.05, 1.0)
    direction = rng.uniform(0, 2 * np.pi)
    towards = points @ np.array([np.cos(direction), np.sin(direction)])
    points = points[towards > np.median(towards) - 0.05] if len(points) else points
    return stamp(side, points, rng.uniform(0.025, 0.075, len(points)))


def streaks(concepts: PhantomConcepts, frame: LesionFrame, rng: np.random.Generator) -> Field:
    """Radial lines over the border; irregular streaks keep to one sector and differ in length."""
    count = int(rng.integers(13, 21))
    phase = rng.uniform(0, 2 * np.pi)
    comb = smoothstep(np.cos(frame.angle * count + np.float32(phase)), 0.35, 0.95)
    if concepts.streaks == "regular":
        band = smoothstep(frame.depth, -0.2, -0.08) * (1 - smoothstep(frame.depth, 0.12, 0.3))
        return comb * band
    sector = smoothstep(np.cos(frame.angle - np.float32(rng.uniform(0, 2 * np.pi))), -0.3, 0.4)
    length = np.float32(0.12) * np.sin(frame.angle * 5 + np.float32(phase)) - np.float32(0.24)
    band = smoothstep(frame.depth - length, 0.0, 0.12) * (1 - smoothstep(frame.depth, 0.15, 0.4))
    return comb * band * sector


def _canvas(side: int) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    image = Image.new("L", (side, side), 0)
    return image, ImageDraw.Draw(image)


def _strength(image: Image.Image) -> Field:
    return np.asarray(image, dtype=np.float32) * np.float32(1 / 255)


def vessels(concepts: PhantomConcepts, frame: LesionFrame, rng: np.random.Generator) -> Field:
    """Arborizing vessels branch across the lesion; dotted ones are fine red points."""
    side = frame.depth.shape[0]
    if concepts.vessels == "dotted":
        points = _places(rng, frame, int(rng.integers(25, 45)), 0.05, 1.0)
        return stamp(side, points, np.full(len(points), 0.022))
    image, pen = _canvas(side)
    width = max(round(side * 0.014), 1)
    for start in _places(rng, frame, int(rng.integers(3, 5)), 0.0, 0.35):
        inward = np.arctan2(*(np.array(concepts.centre) - start)[::-1])
        _branch(pen, rng, start, inward, width, steps=11, step=frame.radius * 0.13)
    return _strength(image) * smoothstep(frame.depth, -0.1, 0.05)


def _branch(
    pen: ImageDraw.ImageDraw,
    rng: np.random.Generator,
    start: Points,
    heading: float,
    width: int,
    *,
    steps: int,
    step: float,
) -> None:
    half = pen.im.size[0] / 2
    for count in range(steps):
        heading += rng.normal(0, 0.35)
        end = start + step * np.array([np.cos(heading), np.sin(heading)])
        pen.line([tuple((start + 1) * half), tuple((end + 1) * half)], fill=255, width=width)
        if count % 3 == 1 and steps > 3:
            side_turn = rng.choice([-1, 1]) * rng.uniform(0.5, 1.0)
            _branch(pen, rng, end, heading + side_turn, max(width - 1, 1), steps=steps // 2, step=step * 0.8)
        start = end


def lacunae(frame: LesionFrame, rng: np.random.Generator) -> Field:
    """Well-defined red-purple lagoons."""
    points = _places(rng, frame, int(rng.integers(9, 18)), 0.12, 1.0)
    return stamp(frame.depth.shape[0], points, rng.uniform(0.05, 0.11, len(points)) * min(frame.radius / 0.45, 1.2))


def veil(frame: LesionFrame, rng: np.random.Generator) -> Field:
    """A structureless, ground-glass film over part of the lesion."""
    side = frame.depth.shape[0]
    return smoothstep(smooth_noise(rng, side, 2.5) + frame.depth, 0.1, 0.9) * smoothstep(frame.depth, 0.05, 0.3)


def scale(frame: LesionFrame, rng: np.random.Generator) -> Field:
    """White flakes with crisp edges."""
    side = frame.depth.shape[0]
    flakes = smoothstep(smooth_noise(rng, side, 16) + 0.5 * smooth_noise(rng, side, 5), 0.9, 1.4)
    return flakes * smoothstep(frame.depth, -0.05, 0.2)


def cysts(frame: LesionFrame, rng: np.random.Generator) -> tuple[Field, Field]:
    """Milia-like cysts (bright dots) and comedo-like openings (dark dots)."""
    side = frame.depth.shape[0]
    bright = _places(rng, frame, int(rng.integers(8, 16)), 0.1, 1.0)
    dark = _places(rng, frame, int(rng.integers(4, 10)), 0.1, 1.0)
    return (
        stamp(side, bright, rng.uniform(0.028, 0.045, len(bright))),
        stamp(side, dark, rng.uniform(0.03, 0.055, len(dark))),
    )
