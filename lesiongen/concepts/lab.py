"""CIELAB from sRGB in single precision: `skimage.color.rgb2lab` takes several times as long."""

import numpy as np
from numpy.typing import NDArray

__all__ = ["to_lab"]

Plane = NDArray[np.float32]

WHITE = np.array([0.95047, 1.0, 1.08883], dtype=np.float32)
TO_XYZ = np.array(
    [[0.412453, 0.357580, 0.180423], [0.212671, 0.715160, 0.072169], [0.019334, 0.119193, 0.950227]], dtype=np.float32
)
"""sRGB's primaries and the white D65 of the 2 degree observer (IEC 61966-2-1)."""

FROM_LIGHT = np.array([[0, 116, 0], [500, -500, 0], [0, 200, -200]], dtype=np.float32)
LINEAR_BELOW, SLOPE, OFFSET = np.float32(0.008856), np.float32(7.787), np.float32(16 / 116)

LEVELS = 16 * 255
_RAMP = np.linspace(0, 1, LEVELS + 1)
_LIGHT = np.where(_RAMP > 0.04045, ((_RAMP + 0.055) / 1.055) ** 2.4, _RAMP / 12.92).astype(np.float32)


def to_lab(rgb: Plane) -> Plane:
    """Returns the CIELAB colours [..., 3] of sRGB colours in [0, 1], to some hundredths of a unit.

    The gamma is looked up, for the bytes of an image exactly and with 16 steps between two of them.
    """
    light = _LIGHT[(rgb * LEVELS + np.float32(0.5)).astype(np.int32)]
    shares = light @ (TO_XYZ / WHITE[:, None]).T
    root = np.where(shares > LINEAR_BELOW, np.cbrt(shares), SLOPE * shares + OFFSET)
    lab: Plane = root @ FROM_LIGHT.T
    lab[..., 0] -= 16
    return lab
