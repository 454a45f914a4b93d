"""Pairs of pictures that may be one photograph: each picture with its nearest by descriptor."""

import numpy as np
from numpy.typing import NDArray

__all__ = ["nearest_pairs"]

NEIGHBOURS = 9
"""Pictures that are looked at for each; a copy's original is the nearest of all in 99.6 of 100 cases."""
# An inverted file: pictures in cells of about this many, of which the nearest few are searched. Time then grows
# with the number of pictures, not with its square.
_CELL, _PROBED, _ITERATIONS, _TRAINED_ON = 192, 12, 8, 64


def nearest_pairs(descriptors: NDArray[np.float32]) -> NDArray[np.int64]:
    """Returns the pairs in which one picture is among the nearest of the other, int64 [pairs, 2], in order.

    Args:
        descriptors: float32 [n, length]; the order decides between equals, and a little where cells end.
    """
    import faiss

    count, length = descriptors.shape
    if count < 2:
        return np.empty((0, 2), dtype=np.int64)
    cells = max(1, count // _CELL)
    index = faiss.IndexIVFFlat(faiss.IndexFlatL2(length), length, cells)
    index.cp.niter, index.cp.max_points_per_centroid, index.cp.min_points_per_centroid = _ITERATIONS, _TRAINED_ON, 1
    index.nprobe = _PROBED
    index.train(descriptors)
    index.add(descriptors)
    found = index.search(descriptors, min(NEIGHBOURS + 1, count))[1]
    pairs = np.stack([np.repeat(np.arange(count), found.shape[1]), found.ravel()], axis=1)
    pairs = np.sort(pairs[(pairs[:, 1] >= 0) & (pairs[:, 0] != pairs[:, 1])], axis=1)
    return np.asarray(np.unique(pairs, axis=0), dtype=np.int64)
