"""How often datasets of one collection fail the limits of ``drift``, and whether those of another do.

    python benchmarks/drift.py data/ham10000 data/pad_ufes_20

takes datasets. Each is divided at random into two halves, its lesions and patients whole; the second half, or so many
images of it, is compared with the first. Then the first dataset is compared with each of the others.
"""

import argparse
from collections.abc import Sequence

import numpy as np
from harness import machine, table, versions
from joblib import Parallel, delayed

from lesiongen.dataset import Dataset
from lesiongen.evaluation import DriftConfig
from lesiongen.evaluation.chance import chance_distances, distances
from lesiongen.evaluation.measured_images import MeasuredImages, measured_images
from lesiongen.evaluation.measures.drift import CATEGORICAL


def part(images: MeasuredImages, numbers: np.ndarray) -> MeasuredImages:
    """Returns the images of some lesions or patients."""
    mask = np.isin(images.groups, numbers)
    renumbered = np.unique(images.groups[mask], return_inverse=True)[1].astype(np.int32)
    return MeasuredImages(images.source, images.table[mask].reset_index(drop=True), renumbered, 0)


def halves(images: MeasuredImages, seed: int, count: int | None) -> tuple[MeasuredImages, MeasuredImages]:
    """Divides images at random; the second half has about ``count`` images, or all of its own."""
    numbers = np.random.default_rng(seed).permutation(int(images.groups.max()) + 1)
    first, second = numbers[: len(numbers) // 2], numbers[len(numbers) // 2 :]
    if count is not None:
        sizes = np.bincount(images.groups)[second].cumsum()
        second = second[: int(np.searchsorted(sizes, count)) + 1]
    return part(images, first), part(images, second)


def share(config: DriftConfig, reference: MeasuredImages, current: MeasuredImages) -> float:
    """Returns the share of the properties that have drifted, as the stage finds it."""
    kept = [name for name in config.properties if all(one.table[name].notna().any() for one in (reference, current))]
    tables = reference.table[kept], current.table[kept]
    groups = reference.groups, current.groups
    chance = chance_distances(
        tables, groups, CATEGORICAL,
        percentile=config.chance_percentile, n_permutations=config.n_permutations, seed=config.seed,
    )  # fmt: skip
    found = distances(tables, CATEGORICAL)
    return float(np.mean([found[name] >= max(config.threshold, chance[name]) for name in kept]))


def random_halves(
    config: DriftConfig, images: MeasuredImages, counts: Sequence[int], seeds: int
) -> list[Sequence[object]]:
    """Returns a row for each number of images: how often halves fail."""
    rows = []
    for count in [None, *counts]:
        found = Parallel(n_jobs=-1)(delayed(share)(config, *halves(images, seed, count)) for seed in range(seeds))
        size = len(halves(images, 0, count)[1].table)
        failed = sum(one > config.max_drifted_share for one in found)
        rows.append((images.source.uri, size, f"{failed} of {seeds}", f"{np.mean(found):.3f}", f"{max(found):.2f}"))
    return rows


def others(config: DriftConfig, reference: MeasuredImages, rest: Sequence[MeasuredImages]) -> list[Sequence[object]]:
    """Returns a row for each other collection: the share that has drifted from the reference."""
    return [
        (f"{each.source.uri} against {reference.source.uri}", len(each.table), f"{share(config, reference, each):.2f}")
        for each in rest
    ]


def main() -> None:
    """Prints both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("datasets", nargs="+")
    parser.add_argument("--counts", type=int, nargs="*", default=[500, 200, 100, 50])
    parser.add_argument("--seeds", type=int, default=40)
    asked = parser.parse_args()
    config = DriftConfig(min_images=2)
    print(f"{machine()}; {versions('lesiongen', 'evidently', 'scipy')}\n")
    images = [measured_images(config, Dataset.open(uri)) for uri in asked.datasets]
    rows = [
        row
        for each in images
        for row in random_halves(config, each, [n for n in asked.counts if n < len(each.table) / 2], asked.seeds)
    ]
    print(table(("collection", "images", "halves that fail", "mean share drifted", "largest"), rows))
    if images[1:]:
        print(table(("collections", "images", "share drifted"), others(config, images[0], images[1:])))


if __name__ == "__main__":
    main()
