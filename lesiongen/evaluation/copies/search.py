"""A search for near copies by several descriptors, tried on copies that were made of training images."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lesiongen.evaluation.copies.descriptors import LESION, WINDOW, LesionSearch, WindowSearch
from lesiongen.evaluation.copies.planted import KINDS, planted
from lesiongen.evaluation.copies.shares import above_chance, copy_share, joint_thresholds
from lesiongen.evaluation.neighbours import METHOD, Neighbours, nearest_training_images
from lesiongen.evaluation.pixel_files import selected
from lesiongen.records.memorisation import CopySearch, CopyShare, DescriptorCopies
from lesiongen.seeds import derive_seed

__all__ = ["ANY", "DESCRIPTORS", "Similarities", "searched", "summarised"]

Pixels = NDArray[np.uint8]
DESCRIPTORS = {"thumbnail": METHOD, "lesion": LESION, "window": WINDOW}
"""How each descriptor measures similarity, in words."""
ANY = "any"


@dataclass(frozen=True)
class Similarities:
    """Similarity of images to the nearest training image, by each of `DESCRIPTORS` in their order.

    Attributes:
        synthetic: [descriptors, n].
        calibration: Of held-out real images that set the thresholds: the validation images.
        held_out: Of other held-out real images, which tell what chance is: the test images.
        planted: Of copies of training images, by kind.
    """

    synthetic: NDArray[np.float32]
    calibration: NDArray[np.float32]
    held_out: NDArray[np.float32]
    planted: Mapping[str, NDArray[np.float32]]


def searched(
    train: Pixels,
    synthetic: Pixels,
    held_out: Pixels,
    known: tuple[Neighbours, Neighbours],
    *,
    n_calibration: int,
    n_planted: int,
    seed: int,
) -> Similarities:
    """Searches the training images for those nearest to other images, and to copies that are made of them.

    Args:
        train: [n, size, size, 3].
        synthetic: Likewise.
        held_out: Real images that share no lesion with the training images.
        known: What the descriptor ``thumbnail`` has found for the synthetic and the held-out images.
        n_calibration: How many of the held-out images, the first, set the thresholds; the others tell what chance is.
        n_planted: Copies of each kind at most.
        seed: Seed of the choice of copies and of what is done to them.
    """
    rng = np.random.default_rng(derive_seed(seed, "planted"))
    sources = selected(train, np.sort(rng.choice(len(train), min(n_planted, len(train)), replace=False)))
    copies = {kind: planted(kind, np.asarray(sources), seed) for kind in KINDS}
    sets = [synthetic, held_out, *copies.values()]
    found = [[*known, *nearest_training_images(train, *copies.values())]]
    for search in (LesionSearch(train), WindowSearch(train)):
        found.append([search(images) for images in sets])
    similarities = [np.stack([by[number].similarity for by in found]) for number in range(len(sets))]
    return Similarities(
        similarities[0],
        similarities[1][:, :n_calibration],
        similarities[1][:, n_calibration:],
        dict(zip(KINDS, similarities[2:], strict=True)),
    )


def summarised(found: Similarities, percentile: float, confidence: float) -> CopySearch:
    """Counts the near copies among the synthetic images and among the copies that were made.

    Each descriptor by itself has the percentile of the calibration images' similarities as its threshold; together they
    have thresholds that as few of these images exceed in any of them. Chance is the share of other held-out images that
    do: of the images that set a threshold fewer exceed it than of others.
    """
    alone = np.percentile(found.calibration, percentile, axis=1)
    joint = joint_thresholds(found.calibration, percentile)

    def share(above: NDArray[np.bool_]) -> CopyShare:
        return copy_share(int(above.sum()), len(above), confidence)

    def together(similarity: NDArray[np.float32]) -> CopyShare:
        return share(np.asarray((similarity > joint[:, None]).any(axis=0)))

    def by_each(similarity: NDArray[np.float32]) -> dict[str, CopyShare]:
        return {name: share(row > limit) for name, row, limit in zip(DESCRIPTORS, similarity, alone, strict=True)}

    by_name, synthetic, held_out = by_each(found.synthetic), together(found.synthetic), together(found.held_out)
    difference, low, high = above_chance(synthetic, held_out, confidence)
    return CopySearch(
        confidence=confidence,
        descriptors={
            name: DescriptorCopies(method=method, threshold=float(limit), synthetic=by_name[name])
            for (name, method), limit in zip(DESCRIPTORS.items(), alone, strict=True)
        },
        joint_thresholds={name: float(limit) for name, limit in zip(DESCRIPTORS, joint, strict=True)},
        synthetic=synthetic,
        held_out=held_out,
        n_calibration=found.calibration.shape[1],
        above_chance=difference,
        above_chance_low=low,
        above_chance_high=high,
        planted={kind: {**by_each(rows), ANY: together(rows)} for kind, rows in found.planted.items()},
    )
