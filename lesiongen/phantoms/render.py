"""Paints a phantom from its concepts, in CIELAB at twice the size."""

import numpy as np
from PIL import Image, ImageDraw

from lesiongen.phantoms import structures
from lesiongen.phantoms.concepts import PhantomConcepts
from lesiongen.phantoms.fields import Field, lab_to_srgb, smooth_noise, smoothstep
from lesiongen.phantoms.shape import LesionFrame, lesion_frame
from lesiongen.seeds import derive_seed

__all__ = ["draw_hairs", "render"]

OVERSAMPLING = 2

COLOURS = {
    "white": (76.0, 8.0, 9.0),
    "red": (54.0, 29.0, 16.0),
    "light brown": (53.0, 15.0, 24.0),
    "dark brown": (34.0, 14.0, 17.0),
    "blue-gray": (45.0, 1.0, -4.0),
    "black": (17.0, 4.0, 3.0),
}
"""CIELAB of the ABCD rule's six colours, as painted on the lightest skin."""

LIGHTEST_SKIN = 73.0
WHITER = 8.0
RIM_TO_CENTRE = ("light brown", "red", "dark brown", "blue-gray", "black", "white")


def render(concepts: PhantomConcepts, size: int) -> Image.Image:
    """Renders an RGB image of ``size`` by ``size`` pixels; the same concepts give the same pixels."""
    side = size * OVERSAMPLING
    frame = lesion_frame(concepts, side)
    skin = _skin(concepts, side)
    lesion = _lesion(concepts, frame, float(skin[..., 0].mean()))
    lab = _on_skin(concepts, frame, skin, lesion)
    lab = _camera(concepts, lab)
    image = Image.fromarray(lab_to_srgb(lab)).reduce(OVERSAMPLING)
    return image


def _stream(concepts: PhantomConcepts, of: str, purpose: str) -> np.random.Generator:
    seed = concepts.lesion_seed if of == "lesion" else concepts.view_seed
    return np.random.default_rng(derive_seed(seed, purpose))


def _skin(concepts: PhantomConcepts, side: int) -> Field:
    """Returns skin in L*a*b* [side, side, 3]."""
    rng = _stream(concepts, "view", "skin")
    angle = np.deg2rad(concepts.ita)
    yellow = float(np.interp(concepts.ita, [-60, -20, 15, 45, 70], [10.0, 18.0, 19.0, 15.5, 11.0]))
    light = 50 + yellow * np.tan(angle)
    red = float(np.interp(light, [30, 50, 75], [9.0, 12.0, 11.0])) + rng.normal(0, 1.2)
    skin = np.empty((side, side, 3), dtype=np.float32)
    blotches = smooth_noise(rng, side, 4)
    grain = smooth_noise(rng, side, side / 6)
    skin[..., 0] = light + 0.8 * blotches + 0.9 * grain - 1.6 * _skin_lines(rng, side)
    skin[..., 1] = red + 1.1 * smooth_noise(rng, side, 6) - 0.4 * blotches
    skin[..., 2] = yellow + 0.6 * blotches
    return skin


def _skin_lines(rng: np.random.Generator, side: int) -> Field:
    """The fine rhomboid furrows of skin."""
    ticks = np.linspace(-1, 1, side, dtype=np.float32)
    bend = np.float32(0.05) * smooth_noise(rng, side, 6)
    lines = np.zeros((side, side), dtype=np.float32)
    start = rng.uniform(0, np.pi)
    for turn in (0.0, rng.uniform(0.9, 1.3)):
        along = ticks[None, :] * np.float32(np.cos(start + turn)) + ticks[:, None] * np.float32(np.sin(start + turn))
        lines += smoothstep(np.cos((along + bend) * np.float32(2 * np.pi / 0.21)), 0.6, 1.0)
    return lines * smoothstep(smooth_noise(rng, side, 5), -1.0, 1.0)


def _paint(lab: Field, strength: Field, colour: tuple[float, float, float], opacity: float = 1.0) -> None:
    weight = np.clip(strength * np.float32(opacity), 0, 1)[..., None]
    lab += weight * (np.array(colour, dtype=np.float32) - lab)


def _dim(colour: tuple[float, float, float], skin_light: float) -> tuple[float, float, float]:
    """Colours seen through more melanin are darker and duller."""
    share = min(skin_light / LIGHTEST_SKIN, 1.0)
    return colour[0] * share**0.75, colour[1] * share**0.35, colour[2] * share**0.35


def _painted(name: str, skin_light: float) -> tuple[float, float, float]:
    """A colour of the ABCD rule on this skin; white is what is lighter than the skin around it (Stolz et al. 1994)."""
    light, red, yellow = _dim(COLOURS[name], skin_light)
    return (max(light, skin_light + WHITER) if name == "white" else light), red, yellow


def _lesion(concepts: PhantomConcepts, frame: LesionFrame, skin_light: float) -> Field:
    """Returns the colours of a lesion in L*a*b* [side, side, 3], also beyond its border."""
    rng = _stream(concepts, "lesion", "colours")
    lab = _regions(concepts, frame, rng, skin_light)
    mottle = 1.7 * smooth_noise(rng, frame.depth.shape[0], 4) + 1.7 * smooth_noise(rng, frame.depth.shape[0], 11)
    lab[..., 0] += mottle + 3 - 6 * smoothstep(frame.depth, 0.0, 0.9)
    lab[..., 1] += 1.2 * smooth_noise(rng, frame.depth.shape[0], 7)
    _pigment(concepts, frame, lab)
    _bright_structures(concepts, frame, lab, skin_light)
    _blood(concepts, frame, lab, skin_light)
    return lab


def _regions(concepts: PhantomConcepts, frame: LesionFrame, rng: np.random.Generator, skin_light: float) -> Field:
    """One colour per region, in the drawn shares; regions follow a smooth field, deepest at the centre."""
    side = frame.depth.shape[0]
    order = sorted(range(len(concepts.colours)), key=lambda i: RIM_TO_CENTRE.index(concepts.colours[i]))
    disorder = 0.2 + 0.7 * concepts.asymmetry
    field = frame.depth * (1 - 0.5 * disorder) + np.float32(disorder * 0.55) * smooth_noise(rng, side, 2.6)
    if concepts.central_white_patch:
        field = frame.depth + 0.06 * smooth_noise(rng, side, 4)
    cuts = np.quantile(field[frame.depth > 0][::7], np.cumsum([concepts.colour_shares[i] for i in order])[:-1])
    lab = np.empty((side, side, 3), dtype=np.float32)
    wobble = rng.normal(0, (2.2, 1.6, 1.6), (len(order), 3))
    lab[:] = np.add(_painted(concepts.colours[order[0]], skin_light), wobble[0])
    for number, cut in enumerate(cuts, start=1):
        colour = np.add(_painted(concepts.colours[order[number]], skin_light), wobble[number])
        _paint(lab, smoothstep(field, cut - 0.09, cut + 0.09), tuple(colour))
    return lab


def _pigment(concepts: PhantomConcepts, frame: LesionFrame, lab: Field) -> None:
    rng = _stream(concepts, "lesion", "pigment")
    darker = np.zeros_like(frame.depth)
    if concepts.network != "absent":
        darker += 9 * structures.network(concepts, frame, rng)
    if concepts.globules != "absent":
        darker += 12 * structures.globules(concepts, frame, rng)
    lab[..., 0] = np.maximum(lab[..., 0] - darker, np.minimum(lab[..., 0], 10))


def _bright_structures(concepts: PhantomConcepts, frame: LesionFrame, lab: Field, skin_light: float) -> None:
    rng = _stream(concepts, "lesion", "bright")
    if concepts.blue_white_veil:
        _paint(lab, structures.veil(frame, rng), _dim((55.0, -1.0, -8.0), skin_light), 0.65)
    if concepts.milia_like_cysts:
        bright, dark = structures.cysts(frame, rng)
        _paint(lab, bright, _dim((74.0, 6.0, 16.0), skin_light), 0.8)
        _paint(lab, dark, _dim((30.0, 13.0, 16.0), skin_light), 0.8)
    if concepts.scale:
        _paint(lab, structures.scale(frame, rng), _dim((85.0, 3.0, 8.0), skin_light), 0.75)


def _blood(concepts: PhantomConcepts, frame: LesionFrame, lab: Field, skin_light: float) -> None:
    rng = _stream(concepts, "lesion", "blood")
    if concepts.vessels == "lacunae":
        _paint(lab, structures.lacunae(frame, rng), _dim((33.0, 30.0, 9.0), skin_light), 0.75)
    elif concepts.vessels != "absent":
        _paint(lab, structures.vessels(concepts, frame, rng), _dim((38.0, 40.0, 20.0), skin_light), 0.8)


def _on_skin(concepts: PhantomConcepts, frame: LesionFrame, skin: Field, lesion: Field) -> Field:
    """Returns the lesion blended into the skin at its border, in L*a*b* [side, side, 3]; `skin` is changed."""
    rng = _stream(concepts, "lesion", "border")
    cover = smoothstep(frame.depth, -concepts.softness, concepts.softness)[..., None]
    skin[..., 1] += 2.5 * smoothstep(frame.depth, -0.5, 0.1)
    lab: Field = skin + cover * (lesion + np.float32(0.5) * (skin - skin.mean(axis=(0, 1))) - skin)
    if concepts.streaks != "absent":
        colour = _dim((24.0, 11.0, 12.0), float(skin[..., 0].mean()))
        _paint(lab, structures.streaks(concepts, frame, rng), colour, 0.8)
    return lab


def _camera(concepts: PhantomConcepts, lab: Field) -> Field:
    """Hair, ruler, uneven light, the dermatoscope's dark rim and sensor noise."""
    rng = _stream(concepts, "view", "camera")
    side = lab.shape[0]
    ticks = np.linspace(-1, 1, side, dtype=np.float32)
    if concepts.hairs:
        _paint(lab, draw_hairs(rng, side, concepts.hairs), (19.0, 5.0, 6.0), 0.85)
    if concepts.ruler:
        _paint(lab, _ruler(rng, side), (22.0, 0.0, 0.0), 0.8)
    tilt = rng.normal(0, 1.0, 2)
    lab[..., 0] += np.float32(tilt[0]) * ticks[None, :] + np.float32(tilt[1]) * ticks[:, None]
    lab += rng.normal(0, (0.8, 0.5, 0.6)).astype(np.float32)
    if concepts.vignette:
        distance = np.hypot(ticks[None, :], ticks[:, None])
        start = rng.uniform(1.06, 1.18)
        _paint(lab, smoothstep(distance, start, start + 0.08), (4.0, 0.0, 0.0))
    lab[..., 0] += rng.standard_normal((side, side), dtype=np.float32) * np.float32(1.2)
    return lab


def draw_hairs(rng: np.random.Generator, side: int, count: int) -> Field:
    """Draws bent hairs across the whole image, as strengths [side, side] in [0, 1]."""
    image = Image.new("L", (side, side), 0)
    pen = ImageDraw.Draw(image)
    steps = np.linspace(0, 1, 12)[:, None]
    for _ in range(count):
        ends = rng.uniform(-0.1, 1.1, (2, 2)) * side
        bend = ends.mean(axis=0) + rng.normal(0, 0.18, 2) * side
        curve = (1 - steps) ** 2 * ends[0] + 2 * steps * (1 - steps) * bend + steps**2 * ends[1]
        pen.line([tuple(point) for point in curve], fill=255, width=max(round(side * 0.012), 1))
    return np.asarray(image, dtype=np.float32) * np.float32(1 / 255)


def _ruler(rng: np.random.Generator, side: int) -> Field:
    """Returns how much of each pixel [side, side] the marks of a ruler cover."""
    image = Image.new("L", (side, side), 0)
    pen = ImageDraw.Draw(image)
    spacing = side * rng.uniform(0.07, 0.1)
    for number, place in enumerate(np.arange(spacing, side, spacing)):
        length = side * (0.1 if number % 5 == 0 else 0.055)
        pen.line([(place, side - length), (place, side)], fill=255, width=max(side // 100, 1))
    turned = image.rotate(90 * int(rng.integers(4)))
    return np.asarray(turned, dtype=np.float32) * np.float32(1 / 255)
