"""The colours of a lesion in the ABCD rule's six names, and the tone of the skin around it."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from math import erfc

import numpy as np
from numpy.typing import NDArray

from lesiongen.concepts.regions import median_colour
from lesiongen.concepts.vocabulary import COLOURS, TONES

__all__ = ["SkinTone", "colour_shares", "skin_ita", "skin_tone", "tone_of"]

Lab = NDArray[np.float32]

PROTOTYPES = (
    ("white", (76.0, 8.0, 10.0)),
    ("red", (52.0, 28.0, 15.0)),
    ("red", (35.0, 30.0, 11.0)),
    ("light brown", (53.0, 15.0, 24.0)),
    ("dark brown", (34.0, 14.0, 17.0)),
    ("blue-gray", (44.0, 1.0, -4.0)),
    ("black", (17.0, 4.0, 3.0)),
)
"""CIELAB places of the colours on light skin, red as erythema and as the dark red of lacunae; the names are the ABCD
rule's (Stolz et al. 1994), the places ours."""

NUMBERS = np.array([COLOURS.index(name) for name, _ in PROTOTYPES] + [len(COLOURS)])
WHITE = [number for number, (name, _) in enumerate(PROTOTYPES) if name == "white"]

REFERENCE_SKIN = (70.0, 11.0, 15.0)
CAST_REMOVED = 0.7
"""How much of the skin's deviation from the reference skin in a and b is taken for a cast of the light."""

LIGHTNESS_REFERRED = 0.9
"""Power of the ratio of the skins' lightness by which a lesion's is referred to light skin: 0 takes its colours as they
are, 1 relative to the skin."""

ITA_LIMITS = (55.0, 41.0, 28.0, 10.0, -30.0)
"""Degrees above which skin is very light, light, intermediate, tan, brown (Del Bino and Bernerd 2013)."""

LIGHT_UNCERTAINTY = 4.0
"""Degrees by which exposure and white balance shift the angle: five per cent of either, on disturbed phantoms."""

SPREAD_OF_ONE = 6.0
LEAST_SKIN = 0.04
GRID = 6

LEAST_YELLOW = 5.0
SKIN_HUES = (25.0, 95.0)


def colour_shares(pixels: Lab, skin: Lab) -> dict[str, float]:
    """Returns the share of each colour among a lesion's pixels.

    Every pixel takes the nearest of six reference colours, after lightness and cast were referred to light skin.
    White is only what is lighter than the skin around (Stolz et al. 1994); what looks like the skin does not count as a
    colour.

    Args:
        pixels: CIELAB of the lesion [n, 3].
        skin: Median CIELAB of the skin around it [3].
    """
    scale = np.array([(REFERENCE_SKIN[0] / max(float(skin[0]), 15.0)) ** LIGHTNESS_REFERRED, 1, 1], dtype=np.float32)
    cast = np.append(0, CAST_REMOVED * (skin - np.array(REFERENCE_SKIN, dtype=np.float32))[1:]).astype(np.float32)
    adjusted, own = pixels * scale - cast, skin * scale - cast
    places = np.array([*(place for _, place in PROTOTYPES), own], dtype=np.float32)
    squared = (places**2).sum(axis=1) - 2 * adjusted @ places.T  # less the pixel's own square, which ranks nothing
    too_dark_for_white = pixels[:, 0] <= skin[0]
    squared[np.ix_(too_dark_for_white, WHITE)] = np.inf
    counts = np.bincount(NUMBERS[squared.argmin(axis=1)], minlength=len(COLOURS) + 1)[: len(COLOURS)]
    shares = counts / max(int(counts.sum()), 1)
    return {name: float(share) for name, share in zip(COLOURS, shares, strict=True)}


@dataclass(frozen=True)
class SkinTone:
    """The individual typology angle of skin in degrees, its standard uncertainty, and what it says of the classes.

    ``chances`` holds the classes of at least five per cent, the likeliest first, for an angle that is normally
    distributed; the first is ``name``.
    """

    ita: float
    uncertainty: float
    chances: dict[str, float]

    @property
    def name(self) -> str:
        """The likeliest class."""
        return next(iter(self.chances))


def skin_tone(lab: Lab, skin: NDArray[np.bool_]) -> SkinTone | None:
    """Measures the tone of the skin in view; None where there is too little, or a cast makes it meaningless.

    The angle is that of the skin's median colour. Its uncertainty joins the standard error over the patches of a grid,
    which do not agree where the light slants or the skin is blotched, with `LIGHT_UNCERTAINTY`.

    Args:
        lab: CIELAB [h, w, 3].
        skin: Where skin is seen [h, w].
    """
    if skin.mean() < LEAST_SKIN:
        return None
    ita = skin_ita(median_colour(lab[skin]))
    if ita is None:
        return None
    angles = [angle for patch in _patches(lab[::2, ::2], skin[::2, ::2]) if (angle := skin_ita(patch)) is not None]
    error = float(np.std(angles)) / np.sqrt(len(angles)) if len(angles) > 1 else SPREAD_OF_ONE
    uncertainty = float(np.hypot(error, LIGHT_UNCERTAINTY))
    return SkinTone(ita, uncertainty, _chances(ita, uncertainty))


def _patches(lab: Lab, skin: NDArray[np.bool_]) -> Iterator[Lab]:
    """Yields the median colour of each patch of a grid that holds enough skin."""
    rows, columns = (np.linspace(0, length, GRID + 1).astype(int) for length in skin.shape)
    for top, bottom in pairwise(rows):
        for left, right in pairwise(columns):
            patch = skin[top:bottom, left:right]
            if patch.mean() > 0.25:
                yield median_colour(lab[top:bottom, left:right][patch])


def _chances(ita: float, uncertainty: float) -> dict[str, float]:
    """Returns the chance of each tone under a normal error of the angle, in degrees; below 0.05 it is left out."""
    above = [1.0, *(0.5 * erfc((limit - ita) / (uncertainty * 2**0.5)) for limit in reversed(ITA_LIMITS)), 0.0]
    shares = -np.diff(above)[::-1]
    kept = {name: float(share) for name, share in zip(TONES, shares, strict=True) if share >= 0.05}
    return dict(sorted(kept.items(), key=lambda item: -item[1]))


def skin_ita(skin: Lab) -> float | None:
    """Returns the individual typology angle in degrees, arctan((L - 50) / b) * 180 / pi (Chardon et al. 1991).

    None where a cast of the light makes the angle meaningless: skin's hue lies near 40 to 75 degrees in CIELAB, many
    dermoscopic images are pink or violet.
    """
    lightness, red, yellow = (float(value) for value in skin)
    hue = np.degrees(np.arctan2(yellow, red))
    if yellow < LEAST_YELLOW or not SKIN_HUES[0] <= hue <= SKIN_HUES[1] or not 8.0 < lightness < 88.0:
        return None
    return float(np.degrees(np.arctan2(lightness - 50.0, yellow)))


def tone_of(ita: float) -> str:
    """Names the tone class of an individual typology angle.

    >>> tone_of(60.0), tone_of(-40.0)
    ('very light', 'dark')
    """
    return TONES[sum(ita <= limit for limit in ITA_LIMITS)]
