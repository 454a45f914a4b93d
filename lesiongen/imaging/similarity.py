"""Nearest neighbours among images or features."""

import numpy as np
from numpy.typing import NDArray

__all__ = ["nearest"]

BLOCK_ROWS = 1024


def nearest(
    queries: NDArray[np.float32], references: NDArray[np.float32]
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Finds each query's most similar reference by normalised correlation (Pearson's r of the two rows).

    Works in blocks: beside its inputs it holds a few blocks of 1,024 rows, whatever the number of rows.

    Args:
        queries: n x d.
        references: m x d, m at least 1.

    Returns:
        The index of the nearest reference (the first of equals) and the correlation in [-1, 1], each of
        length n. A constant row correlates with nothing: 0.

    Raises:
        ValueError: The widths differ, or no references were given.
    """
    if queries.ndim != 2 or references.ndim != 2 or queries.shape[1] != references.shape[1]:
        raise ValueError(f"queries {queries.shape} and references {references.shape} must be n x d and m x d")
    if len(references) == 0:
        raise ValueError("no references were given")
    indices = np.zeros(len(queries), dtype=np.int64)
    similarity = np.full(len(queries), -np.inf, dtype=np.float32)
    for start in range(0, len(references), BLOCK_ROWS):
        block = _standardise(references[start : start + BLOCK_ROWS])
        for first in range(0, len(queries), BLOCK_ROWS):
            rows = slice(first, first + BLOCK_ROWS)
            scores = _standardise(queries[rows]) @ block.T
            best = scores.argmax(axis=1)
            found = scores[np.arange(len(best)), best]
            better = found > similarity[rows]
            indices[rows] = np.where(better, start + best, indices[rows])
            similarity[rows] = np.where(better, found, similarity[rows])
    return indices, np.clip(similarity, -1.0, 1.0)


def _standardise(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Returns rows with mean 0 and length 1; a constant row is 0."""
    centred = rows.astype(np.float32) - rows.mean(axis=1, keepdims=True, dtype=np.float32)
    norm = np.linalg.norm(centred, axis=1, keepdims=True)
    # A row of equal values leaves rounding noise of about 1e-6 of its level after centring.
    level = np.abs(rows).max(axis=1, keepdims=True) * np.sqrt(rows.shape[1])
    flat = norm <= 1e-5 * level
    return np.asarray(np.where(flat, 0.0, centred / np.where(flat, 1.0, norm)), dtype=np.float32)
