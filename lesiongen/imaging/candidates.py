"""Pairs of images that may be one photograph: each image with its nearest by descriptor."""

from collections.abc import Collection

import numpy as np
from numpy.typing import NDArray

__all__ = ["nearest_pairs"]

NEIGHBOURS = 9
"""Images that are looked at for each; a copy's original is the nearest of all in 99.6 of 100 cases."""
# An inverted file: images in cells of about this many, of which the nearest few are searched. Time then grows
# with the number of images, not with its square.
_CELL, _PROBED, _ITERATIONS, _TRAINED_ON = 192, 12, 8, 64


def nearest_pairs(
    descriptors: NDArray[np.float32], parts: NDArray[np.bool_] | None = None, known: Collection[int] = ()
) -> NDArray[np.int64]:
    """Returns the pairs in which one image is among the nearest of the other, int64 [pairs, 2], in order.

    Args:
        descriptors: float32 [n, length]; the order decides between equals, and a little where cells end.
        parts: Which parts hold each image, bool [n, parts]; by default all are one part. The nearest of an image
            are looked for in each of its parts, and among those that its part does not hold.
        known: Parts whose own pairs are known; none of theirs is returned.
    """
    parts = np.ones((len(descriptors), 1), dtype=np.bool_) if parts is None else parts
    found = [np.empty((0, 2), dtype=np.int64)]
    for number, held in enumerate(parts.T):
        mine, others = np.flatnonzero(held), np.flatnonzero(~held)
        found.append(_nearest(descriptors, mine, others))
        if number not in known:
            found.append(_nearest(descriptors, mine, mine))
    pairs = np.unique(np.concatenate(found), axis=0)
    settled = parts[:, sorted(known)]
    return np.asarray(pairs[~(settled[pairs[:, 0]] & settled[pairs[:, 1]]).any(axis=1)], dtype=np.int64)


def _nearest(
    descriptors: NDArray[np.float32], wanted: NDArray[np.int64], among: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Returns each wanted image with its nearest among some, the smaller position first, [pairs, 2]."""
    import faiss

    if not (len(wanted) and len(among)):
        return np.empty((0, 2), dtype=np.int64)
    length = descriptors.shape[1]
    index = faiss.IndexIVFFlat(faiss.IndexFlatL2(length), length, max(1, len(among) // _CELL))
    index.cp.niter, index.cp.max_points_per_centroid, index.cp.min_points_per_centroid = _ITERATIONS, _TRAINED_ON, 1
    index.nprobe = _PROBED
    held = np.ascontiguousarray(descriptors[among])
    index.train(held)
    index.add(held)
    found = index.search(np.ascontiguousarray(descriptors[wanted]), min(NEIGHBOURS + 1, len(among)))[1]
    first, second = np.repeat(wanted, found.shape[1]), np.where(found >= 0, among[found], -1).ravel()
    return np.sort(np.stack([first, second], axis=1)[(second >= 0) & (first != second)], axis=1)
