"""Perceptual hashes, and pairs of images whose hashes are close."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from lesiongen.imaging.fingerprints import COLOUR_SIDE, SIDE, colours, luminance
from lesiongen.imaging.orientation import ORIENTATIONS, turn_frequencies

__all__ = ["HASH_BITS", "close_pairs", "hashes"]

_FREQUENCIES, _COLOUR_FREQUENCIES = 7, 6
HASH_BITS = _FREQUENCIES**2 - 1 + 2 * (_COLOUR_FREQUENCIES**2 - 1)
_WORDS = 2
_CHUNK = 512
# A tile of 16 rows by 2,048 columns stays in a core's cache.
_BLOCK_ROWS, _TILE_ROWS, _TILE_COLUMNS = 256, 16, 2048


def hashes(packed: NDArray[np.uint8]) -> NDArray[np.uint64]:
    """Returns the perceptual hash of packed fingerprints in each of the eight orientations.

    A bit is the sign of one of the lowest frequencies (cosine transform, without the mean) of luminance or of a
    colour difference; after C. Zauner, "Implementation and Benchmarking of Perceptual Image Hash Functions" (2010),
    section 3.2, but cut at zero rather than at the median: the hash of a turned image then follows from the transform
    of the image as it is.

    Returns:
        uint64 [8, 2, n].
    """
    result = np.empty((len(ORIENTATIONS), _WORDS, len(packed)), dtype=np.uint64)
    for start in range(0, len(packed), _CHUNK):
        chunk = packed[start : start + _CHUNK]
        bright = _transform(luminance(chunk), SIDE, _FREQUENCIES)
        tint = _transform(colours(chunk), COLOUR_SIDE, _COLOUR_FREQUENCIES)
        for orientation in ORIENTATIONS:
            signs = [turn_frequencies(values, orientation) > 0 for values in (bright, tint)]
            bits = [each.reshape(*each.shape[:-2], -1)[..., 1:].reshape(len(chunk), -1) for each in signs]
            result[orientation, :, start : start + _CHUNK] = _words(np.concatenate(bits, axis=1)).T
    return result


def _transform(pictures: NDArray[np.float32], side: int, frequencies: int) -> NDArray[np.float32]:
    angles = np.arange(frequencies)[:, None] * (np.arange(side) + 0.5) * np.pi / side
    basis = np.cos(angles).astype(np.float32)
    return np.asarray(basis @ pictures @ basis.T, dtype=np.float32)


def _words(bits: NDArray[np.bool_]) -> NDArray[np.uint64]:
    padded = np.zeros((len(bits), 64 * _WORDS), dtype=np.bool_)
    padded[:, : bits.shape[1]] = bits
    return np.packbits(padded, axis=1).view(np.uint64)


def close_pairs(codes: NDArray[np.uint64], *, distance: int) -> Iterator[NDArray[np.int32]]:
    """Yields the pairs of images whose hashes differ in few bits in some orientation of the second one.

    Every pair is compared, in tiles that fit a core's cache: memory stays flat, and 20,000 images take seconds.

    Args:
        codes: Hashes in all orientations, uint64 [8, 2, n].
        distance: Most bits that may differ.

    Yields:
        int32 [pairs, 4] for some of the rows at a time: first image, second image (of greater index), orientation of
        the second, bits that differ.
    """
    count = codes.shape[2]
    for block in range(0, count, _BLOCK_ROWS):
        found = [
            _close_in_tile(codes, orientation, (top, left), distance)
            for orientation in ORIENTATIONS
            for left in range(block, count, _TILE_COLUMNS)
            for top in range(block, min(block + _BLOCK_ROWS, count), _TILE_ROWS)
        ]
        yield np.concatenate(found)


def _close_in_tile(
    codes: NDArray[np.uint64], orientation: int, corner: tuple[int, int], distance: int
) -> NDArray[np.int32]:
    top, left = corner
    rows = codes[0, :, top : top + _TILE_ROWS, None]
    columns = codes[orientation, :, None, left : left + _TILE_COLUMNS]
    bits = np.bitwise_count(rows[0] ^ columns[0])
    bits += np.bitwise_count(rows[1] ^ columns[1])
    place = np.flatnonzero(bits <= distance)
    first, second = place // bits.shape[1] + top, place % bits.shape[1] + left
    pairs = np.stack([first, second, np.full_like(first, orientation), bits.ravel()[place]], axis=1)
    return np.asarray(pairs[first < second], dtype=np.int32)
