"""Images that show the same photograph: resized, coded again, mirrored, turned or cropped a little."""

import functools
import hashlib
from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import ThreadpoolController

from lesiongen.imaging.alignment import align, blurred, warp
from lesiongen.imaging.candidates import nearest_pairs
from lesiongen.imaging.descriptors import best_orientations, descriptors, spectra
from lesiongen.imaging.duplicate_pairs import EQUAL, SAME_PHOTOGRAPH, NearDuplicate, rounded
from lesiongen.imaging.fingerprints import SIDE, Fingerprint, luminance, pack
from lesiongen.imaging.orientation import INVERSE, ORIENTATIONS, turn_images
from lesiongen.parallel import in_processes
from lesiongen.progress import progress
from lesiongen.temporary import temporary_folder

__all__ = ["SEARCH", "near_duplicates"]

SEARCH = 1
"""Version of how pairs are found and compared: where it changes, pairs that were kept are looked for again."""

# What an unfinished alignment must reach to be tried the other way round, and to be carried on: of small images, of
# larger ones as the small ones lie, and of larger ones aligned. Of 1,000 copies 1,000 reach 0.37, and 999 reach 0.6,
# 0.5 and 0.77.
_WORTH_TURNING = 0.25
_WORTH_A_LOOK, _WORTH_ALIGNING, _NEARLY_SAME = 0.48, 0.28, 0.5
_CLIPPED = 4.0
"""Grey levels above which fine structure counts no more: outlines of dark lesions would outweigh all else."""
_CHUNK, _PAIRS = 512, 256
MANY_PAIRS = 15_000
"""Pairs from which on other processes help to compare them: two seconds' work, some times what they take to start."""

_Floats = NDArray[np.float32]
_Places = NDArray[np.int64]


def near_duplicates(
    prints: Sequence[Fingerprint],
    *,
    least: float = SAME_PHOTOGRAPH,
    parts: Sequence[int] | None = None,
    known: Collection[int] = (),
) -> list[NearDuplicate]:
    """Finds the pairs of images that show the same photograph, in whichever of the eight orientations.

    The nearest images by descriptor are laid exactly over one another (shift, stretch and shear), in three sizes. Their
    agreement is the correlation of their fine structure: of what a blurred image lacks, cut off at four grey levels.
    Two lesions alike have the same broad blob on plain skin; a photograph and its copy have the same skin, too.

    The answer does not depend on the order of the images, nor on the numbers of the parts, nor on the cores that are at
    hand. Time grows with the number of images; memory by about 5 KiB for each, where ``prints`` holds the fingerprints
    elsewhere. Temporary files take as much.

    Args:
        prints: The fingerprints.
        least: Smallest agreement of the pairs that are returned, at least 0.5.
        parts: The part that each image belongs to, from 0 on; by default all are one part. Each part is searched by
            itself, and among the others.
        known: Parts whose own pairs were found before and are not looked for; equal fingerprints are paired all the
            same.

    Returns:
        The pairs in order. Images with equal fingerprints are each paired with the first of them only, and only that
        one with others: 1,000 black images make 999 pairs.

    Raises:
        OSError: The disk of temporary files is full.
    """
    digests = [hashlib.blake2b(each.planes, digest_size=16).digest() for each in prints]
    firsts: dict[bytes, int] = {}
    originals = [firsts.setdefault(digest, number) for number, digest in enumerate(digests)]
    equal = [NearDuplicate(first, copy, EQUAL) for copy, first in enumerate(originals) if first != copy]
    # In an order of their own, so that the one in which they came decides nothing.
    numbers = np.array([firsts[digest] for digest in sorted(firsts)], dtype=np.int64)
    members = _members(originals, numbers, parts)
    found = [
        NearDuplicate.of(int(numbers[one]), int(numbers[other]), agreement)
        for (one, other), agreement in _confirmed(prints, numbers, members, known, least)
    ]
    return sorted([*equal, *found], key=lambda pair: (pair.first, pair.second))


def _members(originals: Sequence[int], numbers: _Places, parts: Sequence[int] | None) -> NDArray[np.bool_]:
    """Returns which parts hold each of the numbered images or an equal of it, bool [numbers, parts]."""
    if parts is None:
        return np.ones((len(numbers), 1), dtype=np.bool_)
    places = np.empty(len(originals), dtype=np.int64)
    places[numbers] = np.arange(len(numbers))
    members = np.zeros((len(numbers), max(parts, default=0) + 1), dtype=np.bool_)
    members[places[list(originals)], list(parts)] = True
    return members


class _Images(NamedTuple):
    """What is compared of fingerprints: images of three sizes [n, side, side], and the spectra of their luminance."""

    spectra: NDArray[np.float16]
    small: NDArray[np.float16]
    middle: NDArray[np.uint8]
    light: NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class _ImageFiles:
    """What is compared of some of the fingerprints, in files that several processes read."""

    folder: Path

    def opened(self) -> _Images:
        return _Images(
            self._read("spectra", np.float16, SIDE // 8),
            self._read("small", np.float16, SIDE // 4),
            self._read("middle", np.uint8, SIDE // 2),
            self._read("light", np.uint8, SIDE),
        )

    def _read(self, name: str, kind: type[np.generic], side: int) -> NDArray[Any]:
        return np.memmap(self.folder / name, kind, "r").reshape(-1, side, side)

    def write(self, prints: Sequence[Fingerprint], numbers: _Places) -> _Floats:
        """Writes the files, and returns the descriptors."""
        found = []
        with ExitStack() as opened:
            files = {name: opened.enter_context((self.folder / name).open("wb")) for name in _Images._fields}
            for start in range(0, len(numbers), _CHUNK):
                packed = pack([prints[number] for number in numbers[start : start + _CHUNK].tolist()])
                found.append(descriptors(packed))
                light = luminance(packed)
                middle = _halved(light)
                files["spectra"].write(spectra(packed).astype(np.float16).tobytes())
                files["small"].write(_halved(middle).astype(np.float16).tobytes())
                files["middle"].write(np.rint(middle).astype(np.uint8).tobytes())
                files["light"].write(light.astype(np.uint8).tobytes())
        return np.concatenate(found)


def _confirmed(
    prints: Sequence[Fingerprint],
    numbers: _Places,
    members: NDArray[np.bool_],
    known: Collection[int],
    least: float,
) -> Iterator[tuple[_Places, float]]:
    """Yields each pair [2] of places whose images agree by at least `least`, and how far they agree."""
    if len(numbers) < 2 or len(known) == members.shape[1] == 1:
        return
    with temporary_folder("search") as folder:
        files = _ImageFiles(folder)
        pairs = nearest_pairs(files.write(prints, numbers), members, known)
        chunks = [pairs[start : start + _PAIRS] for start in range(0, len(pairs), _PAIRS)]
        processes = 1 if len(pairs) < MANY_PAIRS else None
        with (
            progress("Looking for near-duplicates", total=len(pairs), unit="pairs") as bar,
            closing(in_processes(functools.partial(_compared, files), chunks, processes=processes)) as found,
        ):
            for chunk, compared in zip(chunks, found, strict=True):
                agreement = rounded(compared)
                bar.advance(len(chunk))
                same = agreement >= least
                yield from zip(chunk[same], agreement[same].tolist(), strict=True)


@functools.cache
def _libraries() -> ThreadpoolController:
    return ThreadpoolController()


def _compared(files: _ImageFiles, pairs: _Places) -> _Floats:
    """Returns how far each pair agrees; 0 for one that is not worth a close look.

    In a single thread: with their number the order of sums changes, and with that the last digits.
    """
    with _libraries().limit(limits=1):
        return _agreements(files.opened(), pairs)


def _agreements(images: _Images, pairs: _Places) -> _Floats:
    """Returns how far each pair agrees; 0 for one that is not worth a close look.

    A crop is laid over its original better than the other way round: of both ways the better one is carried on.
    """
    first, second = pairs.T
    turns = best_orientations(*(images.spectra[places].astype(np.float32) for places in (first, second)))
    there, there_maps = _first_look(images, first, second, turns)
    back, back_maps = np.zeros_like(there), np.zeros_like(there_maps)
    hopeful = there >= _WORTH_TURNING
    back[hopeful], back_maps[hopeful] = _first_look(images, second[hopeful], first[hopeful], INVERSE[turns[hopeful]])
    reverse = back > there
    fixed, moving = np.where(reverse, second, first), np.where(reverse, first, second)
    maps = np.where(reverse[:, None], back_maps, there_maps)
    turns = np.where(reverse, INVERSE[turns], turns)
    worth = np.maximum(there, back) >= _WORTH_A_LOOK
    agreement = np.zeros(len(pairs), dtype=np.float32)
    agreement[worth] = _close_look(images, fixed[worth], moving[worth], turns[worth], maps[worth])
    return agreement


def _first_look(images: _Images, fixed: _Places, moving: _Places, turns: NDArray[np.int32]) -> tuple[_Floats, _Floats]:
    """Returns the agreement of small images, and the map that lays the moving ones over the fixed ones."""
    light = images.small[fixed].astype(np.float32)
    other = _turned(images.small[moving].astype(np.float32), turns)
    maps = align(blurred(light, 1.0), blurred(other, 1.0), steps=3)
    return _agreement(light, warp(other, maps), 1.0), maps


def _close_look(images: _Images, fixed: _Places, moving: _Places, turns: NDArray[np.int32], maps: _Floats) -> _Floats:
    """Returns the agreement of the whole fingerprints; 0 where that of smaller images rules it out."""
    agreement = np.zeros(len(fixed), dtype=np.float32)
    light = images.middle[fixed].astype(np.float32)
    other = _turned(images.middle[moving].astype(np.float32), turns)
    left = np.flatnonzero(_agreement(light, warp(other, maps), 1.5) >= _WORTH_ALIGNING)
    light, other = light[left], other[left]
    maps = align(blurred(light, 0.8), blurred(other, 0.8), steps=3, start=maps[left])
    nearly = _agreement(light, warp(other, maps), 1.5) >= _NEARLY_SAME
    left, maps = left[nearly], maps[nearly]
    light = images.light[fixed[left]].astype(np.float32)
    other = _turned(images.light[moving[left]].astype(np.float32), turns[left])
    maps = align(blurred(light, 1.0), blurred(other, 1.0), steps=4, start=maps)
    agreement[left] = _agreement(light, warp(other, maps), 2.0)
    return agreement


def _agreement(light: _Floats, other: _Floats, sigma: float) -> _Floats:
    """Returns the correlation of the fine structure of aligned images [n, side, side], cut off at `_CLIPPED`."""
    fine = (np.clip(each - blurred(each, sigma), -_CLIPPED, _CLIPPED) for each in (light, other))
    return _correlation(*fine)


def _correlation(first: _Floats, second: _Floats) -> _Floats:
    """Returns Pearson's r of images [n, side, side] without their rims; 0 where one is flat."""
    first, second = (rows - rows.mean(axis=1, keepdims=True) for rows in (_inside(first), _inside(second)))
    product, squares, others = (
        np.einsum("np,np->n", *rows) for rows in ((first, second), (first, first), (second, second))
    )
    return np.asarray(product / np.maximum(np.sqrt(squares * others), 1e-3), dtype=np.float32)


def _inside(images: _Floats) -> _Floats:
    """Returns the pixels [n, pixels] without a rim of a tenth, of which a crop may have taken a part."""
    rim = images.shape[-1] // 10
    inner = images[:, rim:-rim, rim:-rim]
    return inner.reshape(len(images), inner.shape[1] * inner.shape[2])


def _turned(images: _Floats, orientations: NDArray[np.int32]) -> _Floats:
    """Returns images [n, side, side], each in its own orientation."""
    result = np.empty_like(images)
    for orientation in ORIENTATIONS:
        chosen = orientations == orientation
        result[chosen] = turn_images(images[chosen], orientation)
    return result


def _halved(images: _Floats) -> _Floats:
    """Returns images [n, side, side] averaged to half the side."""
    rows = images[:, ::2] + images[:, 1::2]
    return np.asarray((rows[:, :, ::2] + rows[:, :, 1::2]) / 4, dtype=np.float32)
