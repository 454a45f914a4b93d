"""The colours of a lesion in the ABCD rule's six names, and the tone of the skin around it."""

import numpy as np
from numpy.typing import NDArray

from lesiongen.concepts.vocabulary import COLOURS, TONES

__all__ = ["colour_shares", "skin_ita", "tone_of"]

Lab = NDArray[np.float32]

PROTOTYPES = {
    "white": (76.0, 8.0, 10.0),
    "red": (52.0, 28.0, 15.0),
    "light brown": (53.0, 15.0, 24.0),
    "dark brown": (34.0, 14.0, 17.0),
    "blue-gray": (44.0, 1.0, -4.0),
    "black": (17.0, 4.0, 3.0),
}
"""A CIELAB place for each colour on light skin; the names are the ABCD rule's (Stolz et al. 1994), the places ours."""

REFERENCE_SKIN = (70.0, 11.0, 15.0)
CAST_REMOVED = 0.7
"""How much of the skin's deviation from the reference skin in a and b is taken for a cast of the light."""

ITA_LIMITS = (55.0, 41.0, 28.0, 10.0, -30.0)
"""Degrees above which skin is very light, light, intermediate, tan, brown (Del Bino and Bernerd 2013)."""

LEAST_YELLOW = 5.0
SKIN_HUES = (25.0, 95.0)


def colour_shares(pixels: Lab, skin: Lab) -> dict[str, float]:
    """Returns the share of each colour among a lesion's pixels.

    Every pixel takes the nearest of six reference colours, after lightness and cast were referred to light skin.
    White is only what is lighter than the skin around (Stolz et al. 1994); what looks like the skin is no colour.

    Args:
        pixels: CIELAB of the lesion [n, 3].
        skin: Median CIELAB of the skin around it [3].
    """
    scale = np.array([(REFERENCE_SKIN[0] / max(float(skin[0]), 15.0)) ** 0.6, 1, 1], dtype=np.float32)
    cast = np.append(0, CAST_REMOVED * (skin - np.array(REFERENCE_SKIN, dtype=np.float32))[1:]).astype(np.float32)
    adjusted, own = pixels * scale - cast, skin * scale - cast
    places = np.array([*PROTOTYPES.values(), own], dtype=np.float32)
    squared = ((adjusted[:, None, :] - places[None]) ** 2).sum(axis=2)
    too_dark_for_white = pixels[:, 0] <= skin[0]
    squared[too_dark_for_white, COLOURS.index("white")] = np.inf
    counts = np.bincount(squared.argmin(axis=1), minlength=len(places))[: len(COLOURS)]
    shares = counts / max(int(counts.sum()), 1)
    return {name: float(share) for name, share in zip(COLOURS, shares, strict=True)}


def skin_ita(skin: Lab) -> float | None:
    """Returns the individual typology angle in degrees, arctan((L - 50) / b) * 180 / pi (Chardon et al. 1991).

    None where a cast of the light makes the angle meaningless: skin's hue lies near 40 to 75 degrees in CIELAB, many
    dermoscopic pictures are pink or violet.
    """
    lightness, red, yellow = (float(value) for value in skin)
    hue = np.degrees(np.arctan2(yellow, red))
    if yellow < LEAST_YELLOW or not SKIN_HUES[0] <= hue <= SKIN_HUES[1] or not 8.0 < lightness < 88.0:
        return None
    return float(np.degrees(np.arctan2(lightness - 50.0, yellow)))


def tone_of(ita: float) -> str:
    """Names the tone class of an individual typology angle."""
    return TONES[sum(ita <= limit for limit in ITA_LIMITS)]
