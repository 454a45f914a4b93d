"""Arrays of images in files: memory holds those that are being looked at, whatever their number.

Pages of a mapped file count as a process's memory until the system takes them back, which it does late. Whatever goes
over many images therefore gives the pages back as it goes.
"""

import mmap
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

__all__ = ["HELD", "batches", "each", "joined", "release", "room", "selected"]

Pixels = NDArray[np.uint8]
HELD = 256
"""Images that are looked at before their pages are given back."""


def room(shape: tuple[int, ...], file: Path | None) -> Pixels:
    """Returns an array in memory or, where a file is named and the array is not empty, in the file."""
    if file is None or 0 in shape:
        return np.empty(shape, dtype=np.uint8)
    return np.memmap(file, np.uint8, "w+", shape=shape)


def release(images: Pixels) -> None:
    """Gives the pages of an array in a file, or of a view of one, back to the system; the pixels stay in the file."""
    mapped: mmap.mmap | None = getattr(images, "_mmap", None)
    if mapped is not None and hasattr(mmap, "MADV_DONTNEED"):
        mapped.madvise(mmap.MADV_DONTNEED)


def batches(images: Pixels, size: int) -> Iterator[Pixels]:
    """Yields the images, `size` at a time; a batch is to be used before the next one is taken."""
    for start in range(0, len(images), size):
        yield images[start : start + size]
        release(images)


def each(images: Pixels) -> Iterator[Pixels]:
    """Yields one image after another."""
    for batch in batches(images, HELD):
        yield from batch


def selected(images: Pixels, rows: NDArray[np.bool_] | NDArray[np.int64]) -> Pixels:
    """Returns some of the images, chosen by a mask or by row numbers, where those are: in memory or in a file."""
    places = np.flatnonzero(rows) if rows.dtype == bool else rows
    taken = _room_like(images, len(places))
    for start in range(0, len(places), HELD):
        taken[start : start + HELD] = images[places[start : start + HELD]]
        release(images)
        release(taken)
    return taken


def joined(first: Pixels, *others: Pixels) -> Pixels:
    """Returns all images of some arrays, where the first one is: in memory or in a file."""
    parts = (first, *others)
    whole = _room_like(first, sum(map(len, parts)))
    at = 0
    for part in parts:
        for batch in batches(part, HELD):
            whole[at : at + len(batch)] = batch
            at += len(batch)
            release(whole)
    return whole


def _room_like(images: Pixels, count: int) -> Pixels:
    """Returns room for images in memory or, where the others are in a file, in a file that ends with the array."""
    shape = (count, *images.shape[1:])
    if getattr(images, "_mmap", None) is None or 0 in shape:
        return np.empty(shape, dtype=np.uint8)
    with tempfile.TemporaryFile(prefix="lesiongen-") as file:
        return np.memmap(file, np.uint8, "w+", shape=shape)
