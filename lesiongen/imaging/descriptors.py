"""Numbers by which images that may be one photograph are found, in whichever of eight orientations they lie."""

import functools

import numpy as np
from numpy.typing import NDArray

from lesiongen.imaging.fingerprints import COLOUR_SIDE, SIDE, colours, luminance
from lesiongen.imaging.orientation import ORIENTATIONS, turn_frequencies

__all__ = ["best_orientations", "descriptors", "spectra"]

_Floats = NDArray[np.float32]
_FREQUENCIES, _COLOUR_FREQUENCIES = 8, 4
# Towards the border an image counts less and less: a crop, or the dark rim of a dermatoscope, changes most there.
_TAPERED = 0.2
# Grey levels of variation below which an image counts as flat, and is not stretched to the others' contrast.
_FLAT_LUMINANCE, _FLAT_COLOUR = 2.0, 4.0
_COLOUR_WEIGHT = np.float32(0.6)
"""Of each colour difference, where luminance has 1: collections correct the colours of what they borrow."""


def spectra(packed: NDArray[np.uint8]) -> _Floats:
    """Returns the lowest frequencies (cosine transform) of the luminance of packed fingerprints, float32 [n, 8, 8]."""
    return _transform(luminance(packed), _FREQUENCIES)


def descriptors(packed: NDArray[np.uint8]) -> _Floats:
    """Returns a descriptor of each packed fingerprint; those of one photograph are near, turned or mirrored or not.

    Mirroring changes signs in the cosine transform, a turn by 90 degrees swaps its axes: the descriptor holds the
    greater and the smaller magnitude of each pair of frequencies. Brightness and contrast do not enter.

    Returns:
        float32 [n, 96], to be compared by Euclidean distance.
    """
    bright = spectra(packed)
    frequencies = np.arange(_FREQUENCIES)[:, None] + np.arange(_FREQUENCIES)
    bright = _scaled(bright, _FLAT_LUMINANCE * SIDE) * np.sqrt(1 + frequencies, dtype=np.float32)
    tint = _scaled(_transform(colours(packed), _COLOUR_FREQUENCIES), _FLAT_COLOUR * COLOUR_SIDE) * _COLOUR_WEIGHT
    return np.concatenate([_unoriented(bright), _unoriented(tint[:, 0]), _unoriented(tint[:, 1])], axis=1)


def best_orientations(first: _Floats, second: _Floats) -> NDArray[np.int32]:
    """Returns the orientation of each second image in which it is most like the first, by spectra [n, 8, 8]."""
    products = [np.einsum("nyx,nyx->n", first, turn_frequencies(second, each)) for each in ORIENTATIONS]
    return np.asarray(np.argmax(products, axis=0), dtype=np.int32)


def _transform(images: _Floats, frequencies: int) -> _Floats:
    """Returns the lowest cosine frequencies [..., frequencies, frequencies] of windowed images [..., side, side]."""
    window, basis = _window(images.shape[-1]), _basis(images.shape[-1], frequencies)
    means = (images * window).sum(axis=(-2, -1), keepdims=True) / window.sum()
    return np.asarray(basis @ ((images - means) * window) @ basis.T, dtype=np.float32)


@functools.cache
def _window(side: int) -> _Floats:
    """Returns weights [side, side] that fall to 0 towards the edges."""
    places = (np.arange(side) + 0.5) / side
    slope = np.sin(np.minimum(1, np.minimum(places, 1 - places) / _TAPERED) * np.pi / 2) ** 2
    return np.outer(slope, slope).astype(np.float32)


@functools.cache
def _basis(side: int, frequencies: int) -> _Floats:
    """Returns the orthonormal cosines [frequencies, side] (DCT-II)."""
    angles = np.arange(frequencies)[:, None] * (np.arange(side) + 0.5) * np.pi / side
    basis = np.cos(angles) * np.sqrt(2 / side)
    basis[0] = np.sqrt(1 / side)
    return np.asarray(basis, dtype=np.float32)


def _scaled(coefficients: _Floats, least: float) -> _Floats:
    """Brings coefficients [n, ...] to length 1; those of flat images, shorter than ``least``, stay smaller."""
    lengths = np.sqrt(np.square(coefficients).reshape(len(coefficients), -1).sum(axis=1))
    lengths = np.maximum(lengths, np.float32(least)).reshape(-1, *[1] * (coefficients.ndim - 1))
    return np.asarray(coefficients / lengths, dtype=np.float32)


def _unoriented(coefficients: _Floats) -> _Floats:
    """Returns what mirroring and swapping the axes of coefficients [n, k, k] does not change, [n, k * k]."""
    sizes = np.abs(coefficients)
    swapped = np.swapaxes(sizes, 1, 2)
    rows, columns = np.triu_indices(sizes.shape[1])
    above = rows != columns
    greater, smaller = np.maximum(sizes, swapped), np.minimum(sizes, swapped)
    return np.concatenate([greater[:, rows, columns], smaller[:, rows[above], columns[above]]], axis=1)
