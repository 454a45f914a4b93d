"""Images that show the same photograph: resized, coded again, mirrored, turned or cropped a little."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lesiongen.imaging.alignment import align, blurred, warp
from lesiongen.imaging.fingerprints import SIDE, Fingerprint, colours, luminance, pack
from lesiongen.imaging.hashing import close_pairs, hashes
from lesiongen.imaging.orientation import INVERSE, ORIENTATIONS, turn_pictures

__all__ = ["duplicate_groups", "near_duplicates"]

# Candidates: hashes within 24 of 118 bits, or within 36 where the colours agree (grey levels of 255). Half of the
# bits differ between unrelated images.
_CLOSE_BITS, _NEAR_BITS = 24, 36
_COLOUR_AGREES, _LUMINANCE_AGREES = 5.0, 10.0
_CANDIDATES = 64
"""Most candidates that are looked at for an image; of very uniform collections the closest come first."""
_CHUNK = 512

# The pixel check. A copy keeps its fine structure where it keeps its colours; a copy whose colours were corrected
# must keep it better. In light, aligned copies came to differ by 7 grey levels at most, two lesions alike by 23.
_SMOOTH_SIGMA, _FINE_SIGMA = 1.5, 1.5
_LAID, _ALIGNED, _ALIKE = 0.7, 0.93, 0.935
_FINE_AT_FIRST, _FINE_AFTER_A_STEP, _FINE_ALIKE, _FINE_SAME = 0.3, 0.55, 0.82, 0.93
_COLOUR_SAME, _LUMINANCE_SAME, _CONTRAST_SAME = 5.0, 3.0, 10.0

_Floats = NDArray[np.float32]


def near_duplicates(prints: Sequence[Fingerprint]) -> list[tuple[int, int]]:
    """Finds the pairs of images that show the same photograph, in whichever of the eight orientations.

    Perceptual hashes propose pairs; each image of a pair is then laid exactly over the other, and they are duplicates
    when, either way, the fine structure (what is left without the broad light and dark of any lesion) and the colours
    agree. Time grows with the square of the number of images, half a minute for 20,000; memory by some 200 bytes for
    each image, where ``prints`` holds the fingerprints elsewhere.

    Returns:
        Pairs of positions, the smaller first, in order. Images with equal fingerprints are each paired with the first
        of them only, and only that one with others: 1,000 black images make 999 pairs.
    """
    firsts: dict[bytes, int] = {}
    originals = [
        firsts.setdefault(hashlib.blake2b(each.planes, digest_size=16).digest(), number)
        for number, each in enumerate(prints)
    ]
    equal = {(first, copy) for copy, first in enumerate(originals) if first != copy}
    distinct = _Chosen(prints, np.fromiter(firsts.values(), dtype=np.int64))
    found = {(int(distinct.numbers[first]), int(distinct.numbers[second])) for first, second in _confirmed(distinct)}
    return sorted(equal | found)


def duplicate_groups(prints: Sequence[Fingerprint]) -> NDArray[np.int32]:
    """Numbers the groups of images that show the same photograph, directly or through others.

    Returns:
        int32 [n], numbered in the order of first appearance; an image without a duplicate is a group of its own.
    """
    # Processes that only take fingerprints start twice as fast without it.
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    pairs = np.array(near_duplicates(prints), dtype=np.int32).reshape(-1, 2)
    edges = coo_array((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(len(prints), len(prints)))
    labels = connected_components(edges, directed=False)[1]
    return np.asarray(labels, dtype=np.int32)


class _Chosen:
    """Some of the fingerprints, packed when they are looked at: all of them at once would take the most memory."""

    def __init__(self, prints: Sequence[Fingerprint], numbers: NDArray[np.int64]) -> None:
        self.numbers = numbers
        self._prints = prints

    def __len__(self) -> int:
        return len(self.numbers)

    def packed(self, places: NDArray[np.integer[Any]]) -> NDArray[np.uint8]:
        """Returns the fingerprints at these places, uint8 [n, 1312]."""
        return pack([self._prints[int(self.numbers[place])] for place in places])

    def measured(self, measure: Callable[[NDArray[np.uint8]], NDArray[Any]], *, axis: int = 0) -> NDArray[Any]:
        """Measures all fingerprints, some at a time."""
        starts = range(0, max(len(self), 1), _CHUNK)
        chunks = [measure(self.packed(np.arange(start, min(start + _CHUNK, len(self))))) for start in starts]
        return np.concatenate(chunks, axis=axis)


def _confirmed(prints: _Chosen) -> Iterator[tuple[int, int]]:
    """Yields the pairs that pass the pixel check, with either image laid over the other.

    A crop is laid over its original better than the other way round, and the order of the images must not decide. It
    does where an image has more than `_CANDIDATES`.
    """
    for block in _candidates(prints):
        for start in range(0, len(block), _CHUNK):
            there = _laid(prints, block[start : start + _CHUNK])
            back = np.column_stack([there[:, 1], there[:, 0], INVERSE[there[:, 2]], there[:, 3]])
            found = [_same(prints, *_alike(prints, pairs))[:, :2] for pairs in (there, back)]
            for first, second in np.unique(np.sort(np.concatenate(found), axis=1), axis=0):
                yield int(first), int(second)


def _candidates(prints: _Chosen) -> Iterator[NDArray[np.int32]]:
    tints = prints.measured(lambda packed: colours(packed)[..., 2:-2, 2:-2].mean(axis=(2, 3)))
    lights = prints.measured(lambda packed: luminance(packed)[..., 4:-4, 4:-4].mean(axis=(1, 2)))
    for pairs in close_pairs(prints.measured(hashes, axis=2), distance=_NEAR_BITS):
        first, second, _, bits = pairs.T
        alike = np.abs(tints[first] - tints[second]).max(axis=1) <= _COLOUR_AGREES
        alike &= np.abs(lights[first] - lights[second]) <= _LUMINANCE_AGREES
        yield _closest(pairs[alike | (bits <= _CLOSE_BITS)])


def _closest(pairs: NDArray[np.int32]) -> NDArray[np.int32]:
    """Keeps the candidates of each first image whose hashes are closest."""
    pairs = pairs[np.lexsort((pairs[:, 3], pairs[:, 0]))]
    _, starts, counts = np.unique(pairs[:, 0], return_index=True, return_counts=True)
    rank = np.arange(len(pairs)) - np.repeat(starts, counts)
    return pairs[rank < _CANDIDATES]


def _laid(prints: _Chosen, pairs: NDArray[np.int32]) -> NDArray[np.int32]:
    """Returns those of the candidates [n, 4] that agree on smooth pictures of half the side, as they lie."""
    return pairs[_correlation(*_coarse_pairs(prints, pairs)) > _LAID]


def _alike(prints: _Chosen, pairs: NDArray[np.int32]) -> tuple[NDArray[np.int32], _Floats]:
    """Returns those of the candidates [n, 4] that agree on smooth pictures when aligned, and how to align them."""
    fixed, moving = _coarse_pairs(prints, pairs)
    shifts = align(fixed, moving, steps=2)
    left = _correlation(fixed, warp(moving, shifts)) > _ALIGNED
    return pairs[left], shifts[left]


def _coarse_pairs(prints: _Chosen, pairs: NDArray[np.int32]) -> tuple[_Floats, _Floats]:
    fixed, moving = (_coarse(prints.packed(pairs[:, column])) for column in (0, 1))
    return fixed, _turned(moving, pairs[:, 2])


def _same(prints: _Chosen, pairs: NDArray[np.int32], shifts: _Floats) -> NDArray[np.int32]:
    """Returns those of the candidates [n, 4] that show the same photograph."""
    light = luminance(prints.packed(pairs[:, 0]))
    other = _turned(luminance(prints.packed(pairs[:, 1])), pairs[:, 2])
    # Aligned in part, a true pair agrees in part already; most others stop here.
    for steps, least in ((0, _FINE_AT_FIRST), (1, _FINE_AFTER_A_STEP)):
        shifts = align(light, other, steps=steps, start=shifts)
        left = _fine(light, warp(other, shifts)) > least
        pairs, light, other, shifts = pairs[left], light[left], other[left], shifts[left]
    shifts = align(light, other, steps=3, start=shifts)
    tints, others = (colours(prints.packed(pairs[:, column])) for column in (0, 1))
    tint_error = tints - _turned(others, pairs[:, 2])
    return pairs[_agree(light, warp(other, shifts), tint_error)]


def _agree(light: _Floats, aligned: _Floats, tint_error: _Floats) -> NDArray[np.bool_]:
    fine, broad = _fine(light, aligned), _correlation(light, aligned)
    same_tint = np.abs(tint_error[..., 2:-2, 2:-2]).mean(axis=(1, 2, 3)) <= _COLOUR_SAME
    darker = _inside(light - aligned)
    same_light = np.abs(darker.mean(axis=1)) <= _LUMINANCE_SAME
    same_light &= np.abs(darker).mean(axis=1) <= _CONTRAST_SAME
    fine_enough = np.where(same_tint & same_light, _FINE_ALIKE, _FINE_SAME)
    return np.asarray((fine > fine_enough) & (broad > _ALIKE))


def _fine(light: _Floats, aligned: _Floats) -> _Floats:
    """Returns the correlation of what is left without the broad light and dark."""
    return _correlation(light - blurred(light, _FINE_SIGMA), aligned - blurred(aligned, _FINE_SIGMA))


def _inside(pictures: _Floats) -> _Floats:
    """Returns the pixels [n, pixels] without a rim of a tenth, of which a crop may have taken a part."""
    rim = pictures.shape[-1] // 10
    inner = pictures[:, rim:-rim, rim:-rim]
    return inner.reshape(len(pictures), inner.shape[1] * inner.shape[2])


def _correlation(first: _Floats, second: _Floats) -> _Floats:
    """Returns Pearson's r of pictures [n, side, side] without their rims; 0 where one is flat."""
    first, second = (rows - rows.mean(axis=1, keepdims=True) for rows in (_inside(first), _inside(second)))
    product, squares, others = (
        np.einsum("np,np->n", *rows) for rows in ((first, second), (first, first), (second, second))
    )
    return np.asarray(product / np.maximum(np.sqrt(squares * others), 1e-3), dtype=np.float32)


def _turned(pictures: _Floats, orientations: NDArray[np.int32]) -> _Floats:
    result = np.empty_like(pictures)
    for orientation in ORIENTATIONS:
        chosen = orientations == orientation
        result[chosen] = turn_pictures(pictures[chosen], orientation)
    return result


def _coarse(packed: NDArray[np.uint8]) -> _Floats:
    """Returns smoothed luminance at half the side, [n, 16, 16]."""
    half = SIDE // 2
    smooth = blurred(luminance(packed), _SMOOTH_SIGMA)
    return np.asarray(smooth.reshape(-1, half, 2, half, 2).mean(axis=(2, 4)), dtype=np.float32)
