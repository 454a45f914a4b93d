"""What lies over the skin in an image and is neither lesion nor skin: dark rim, hair, ruler, glints, ink, stickers."""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

__all__ = ["fine_width", "foreign", "visible", "without_lines"]

Mask = NDArray[np.bool_]
Plane = NDArray[np.float32]

RIM_LIGHTNESS = 22.0
LINE_CONTRAST = 12.0
SHORTEST_LINE = 0.11
"""Length of a hair or a ruler mark in image sides, from which it is distinguished from a dot."""

THICKEST_LINE = 0.12
"""Share of its own length squared that a thin line may cover."""

GLINT_LIGHTNESS, GLINT_CONTRAST = 84.0, 10.0
INK_YELLOW, INK_AWAY = -6.0, 14.0
STICKER_AWAY, STICKER_CHROMA, STICKER_LIGHTNESS = 26.0, 42.0, 50.0
MIDDLE = 0.45
"""Half-width of the image's middle, where the lesion is expected."""


def fine_width(side: int) -> int:
    """The width in pixels, an odd number, below which something is a line or a dot."""
    return max(round(side / 128 * 7) | 1, 3)


def visible(lightness: Plane) -> Mask:
    """Everything but the dermatoscope's dark rim and black bars: very dark regions that reach a corner."""
    dark = lightness < RIM_LIGHTNESS
    if not (dark[0, 0] or dark[0, -1] or dark[-1, 0] or dark[-1, -1]):
        return np.ones_like(dark)
    labels, _ = ndimage.label(dark)
    corners = {int(labels[row, column]) for row in (0, -1) for column in (0, -1)} - {0}
    rim = np.isin(labels, list(corners))
    seen: Mask = ~ndimage.binary_dilation(rim, iterations=max(max(dark.shape) // 32, 2))
    return seen


def without_lines(lab: Plane) -> tuple[Plane, Mask]:
    """Fills hair, ruler marks and glints with the colour of their surroundings, and says where they were.

    Thin dark lines stand out from the grey closing and thin light ones from the grey opening, of the lightness
    (DullRazor, Lee et al. 1997; both signs as in Abbas et al. 2011); what is long and thin is filled by normalized
    convolution (Knutsson and Westin 1993).
    """
    width = fine_width(max(lab.shape[:2]))
    light = lab[..., 0]
    dark = ndimage.grey_closing(light, size=(width, width)) - light
    bright = light - ndimage.grey_opening(light, size=(width, width))
    lines = _elongated(dark > LINE_CONTRAST) | _elongated(bright > LINE_CONTRAST)
    lines |= (bright > GLINT_CONTRAST) & (light > GLINT_LIGHTNESS)
    if not lines.any():
        return lab, lines
    lines = ndimage.binary_dilation(lines)
    return _inpainted(lab, lines), lines


def _inpainted(lab: Plane, hidden: Mask) -> Plane:
    """Returns L*a*b* [height, width, 3] with the hidden pixels filled from those around them."""
    known = np.dstack([lab, np.ones(hidden.shape, dtype=np.float32)])
    known[hidden] = 0
    filled = lab.copy()
    rest = hidden
    for step in (1, 4):  # what lies deeper is filled from afar, where every fourth pixel is enough
        sums = ndimage.gaussian_filter(known[::step, ::step], (2, 2, 0), truncate=3)
        sums = sums.repeat(step, axis=0).repeat(step, axis=1)[: hidden.shape[0], : hidden.shape[1]]
        reached = rest & (sums[..., 3] > 0.08)
        filled[reached] = sums[reached, :3] / sums[reached, 3:]
        rest = rest & ~reached
    return filled


def _elongated(mask: Mask) -> Mask:
    """Keeps the components that are long and thin: lines, not dots."""
    labels, count = ndimage.label(mask, structure=np.ones((3, 3)))
    if count == 0:
        return mask
    areas = np.bincount(labels.ravel(), minlength=count + 1)
    keep = np.zeros(count + 1, dtype=bool)
    for number, box in enumerate(ndimage.find_objects(labels), start=1):
        length = np.hypot(*(edge.stop - edge.start for edge in box))
        keep[number] = length > SHORTEST_LINE * max(mask.shape) and areas[number] < THICKEST_LINE * length**2
    kept: Mask = keep[labels]
    return kept


def foreign(lab: Plane, skin: Plane) -> Mask:
    """Ink, colour patches and stickers: colours that neither skin nor a lesion has, beside the colour of the skin.

    Violet and blue also occur in lesions: they count as ink only away from the image's middle. A sticker is a
    bright, saturated region that reaches the image's edge.

    Args:
        lab: CIELAB [h, w, 3].
        skin: Median CIELAB of the skin [3].
    """
    light, red, yellow = (lab[..., plane] for plane in range(3))
    chroma, away = np.hypot(red, yellow), np.hypot(red - skin[1], yellow - skin[2])
    cold = (yellow < INK_YELLOW) & (yellow - skin[2] < -INK_AWAY)
    mask = _aside(cold) | (red - skin[1] < -STICKER_AWAY)
    mask |= _at_the_edge((away > STICKER_AWAY) & (chroma > STICKER_CHROMA) & (light > STICKER_LIGHTNESS))
    found: Mask = ndimage.binary_dilation(mask, iterations=2) if mask.any() else mask
    return found


def _aside(mask: Mask) -> Mask:
    """Keeps the components that hardly enter the image's middle."""
    labels, count = ndimage.label(mask, structure=np.ones((3, 3)))
    if count == 0:
        return mask
    down, across = (np.abs(np.linspace(-1, 1, length)) for length in mask.shape)
    middle = (down[:, None] < MIDDLE) & (across[None, :] < MIDDLE)
    share = ndimage.mean(middle, labels, np.arange(count + 1))
    kept: Mask = (share < 0.15)[labels] & mask
    return kept


def _at_the_edge(mask: Mask) -> Mask:
    """Returns the connected parts of a mask that touch the edge of the image."""
    labels, _ = ndimage.label(mask)
    touching = np.unique(np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]]))
    kept: Mask = np.isin(labels, touching[touching > 0])
    return kept
