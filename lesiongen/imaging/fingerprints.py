"""What is kept of an image to recognise it again: its luminance and its colours, small."""

import os
import tempfile
import weakref
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import IO, overload

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lesiongen.imaging.preprocessing import reduced, small_image

__all__ = [
    "COLOUR_SIDE",
    "FINGERPRINT_BYTES",
    "SIDE",
    "Fingerprint",
    "FingerprintFile",
    "colours",
    "fingerprint",
    "luminance",
    "pack",
]

SIDE = 64
"""Pixels a side of the luminance that is kept."""
COLOUR_SIDE = 12
"""Pixels a side of the two colour differences that are kept; colour varies slowly over a lesion."""
FINGERPRINT_BYTES = SIDE * SIDE + 2 * COLOUR_SIDE * COLOUR_SIDE


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """An image stretched to a small square: 4,096 bytes of luminance, and 144 of each colour difference (YCbCr)."""

    planes: bytes


def fingerprint(image: Image.Image) -> Fingerprint:
    """Returns the fingerprint of an image, which survives resizing, JPEG coding and light cropping nearly unchanged.

    The image is stretched to a square, so that turning it by 90 degrees turns the fingerprint.
    """
    small = _stretched(small_image(image))
    tints = small.resize((COLOUR_SIDE, COLOUR_SIDE), Image.Resampling.BOX).tobytes()
    return Fingerprint(small.tobytes()[0::3] + tints[1::3] + tints[2::3])


def _stretched(image: Image.Image) -> Image.Image:
    """Returns an image of `SIDE` pixels square, without regard to its proportions."""
    if image.width % SIDE == 0 == image.height % SIDE:
        return image.reduce((image.width // SIDE, image.height // SIDE))  # but for rounding the same, twice as fast
    return reduced(image, 2 * SIDE).resize((SIDE, SIDE), Image.Resampling.BOX)


def _close(file: IO[bytes]) -> None:
    with suppress(OSError):  # what a full disk has not taken is not wanted any more
        file.close()


class FingerprintFile(Sequence[Fingerprint]):
    """Fingerprints in a temporary file: memory does not grow with their number."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile(prefix="lesiongen-", buffering=0)  # noqa: SIM115 - it lives as long as this object
        self._count = 0
        weakref.finalize(self, _close, self._file)

    def append(self, mark: Fingerprint) -> None:
        """Adds a fingerprint."""
        self._put(mark.planes)
        self._count += 1

    def extend(self, packed: NDArray[np.uint8]) -> None:
        """Adds packed fingerprints, uint8 [n, 4384]."""
        self._put(packed.tobytes())
        self._count += len(packed)

    def _put(self, data: bytes) -> None:
        self._file.seek(self._count * FINGERPRINT_BYTES)
        left = memoryview(data)
        while left:  # a disk that becomes full takes a part, and reports it only when it is to take the rest
            left = left[self._file.write(left) :]

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, index: int) -> Fingerprint: ...

    @overload
    def __getitem__(self, index: slice) -> list[Fingerprint]: ...

    def __getitem__(self, index: int | slice) -> Fingerprint | list[Fingerprint]:
        if isinstance(index, slice):
            return [self[number] for number in range(*index.indices(self._count))]
        if not -self._count <= index < self._count:
            raise IndexError(index)
        return Fingerprint(os.pread(self._file.fileno(), FINGERPRINT_BYTES, index % self._count * FINGERPRINT_BYTES))


def pack(prints: Sequence[Fingerprint]) -> NDArray[np.uint8]:
    """Returns the fingerprints as uint8 [n, 4384]."""
    return np.frombuffer(b"".join(each.planes for each in prints), dtype=np.uint8).reshape(
        len(prints), FINGERPRINT_BYTES
    )


def luminance(packed: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Returns the luminance of packed fingerprints, float32 [n, 64, 64], 0 to 255."""
    return packed[:, : SIDE * SIDE].reshape(-1, SIDE, SIDE).astype(np.float32)


def colours(packed: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Returns the colour differences (Cb, Cr) of packed fingerprints, float32 [n, 2, 12, 12], 0 to 255."""
    return packed[:, SIDE * SIDE :].reshape(-1, 2, COLOUR_SIDE, COLOUR_SIDE).astype(np.float32)
