"""How often datasets of one collection fail the limits of ``drift``, and whether those of another do.

    python benchmarks/drift.py data/ham10000 data/pad_ufes_20

takes datasets. Each is divided at random into two halves, its lesions and patients whole; the second half, or so many
images of it, or the half with the values of only so many, is compared with the first. Then the first dataset is
compared with each of the others.
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from harness import machine, table, versions
from joblib import Parallel, delayed

from lesiongen.dataset import Dataset
from lesiongen.evaluation import DriftConfig
from lesiongen.evaluation.measured_images import MeasuredImages, measured_images
from lesiongen.evaluation.property_distances import compare_properties

Row = Sequence[object]


@dataclass(frozen=True)
class Case:
    """How much of the second half is compared.

    Attributes:
        count: Number of images; all by default.
        known: Number of images that have values; all by default.
    """

    count: int | None = None
    known: int | None = None


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


def sparse(images: MeasuredImages, seed: int, known: int | None) -> MeasuredImages:
    """Returns images of which only so many, drawn at random, have values; all of them by default."""
    if known is None:
        return images
    chosen = np.random.default_rng(seed).permutation(len(images.table)) < known
    return replace(images, table=images.table[chosen].reindex(images.table.index))


def share_drifted(config: DriftConfig, images: MeasuredImages, seed: int, case: Case) -> float:
    """Returns the share of the properties that have drifted between two halves."""
    first, second = halves(images, seed, case.count)
    return compare_properties(config, first, sparse(second, seed, case.known)).share_drifted


def random_halves(config: DriftConfig, images: MeasuredImages, cases: Sequence[Case], seeds: int) -> list[Row]:
    """Returns a row for each case: how often halves fail."""
    rows: list[Row] = []
    for case in cases:
        found = Parallel(n_jobs=-1)(delayed(share_drifted)(config, images, seed, case) for seed in range(seeds))
        size = len(halves(images, 0, case.count)[1].table)
        failed = sum(one > config.max_drifted_share for one in found)
        known = size if case.known is None else case.known
        rows.append(
            (images.source.uri, size, known, f"{failed} of {seeds}", f"{np.mean(found):.3f}", f"{max(found):.2f}")
        )
    return rows


def cases_of(images: MeasuredImages, counts: Sequence[int], known: Sequence[int]) -> list[Case]:
    """Returns what is compared of a dataset: all of the second half, fewer images, and few that have values."""
    half = len(images.table) / 2
    fewer = [Case(count=count) for count in counts if count < half]
    return [Case(), *fewer, *(Case(known=number) for number in known if number < half)]


def others(config: DriftConfig, reference: MeasuredImages, rest: Sequence[MeasuredImages]) -> list[Row]:
    """Returns a row for each other collection: the share that has drifted from the reference."""
    return [
        (
            f"{each.source.uri} against {reference.source.uri}",
            len(each.table),
            f"{compare_properties(config, reference, each).share_drifted:.2f}",
        )
        for each in rest
    ]


def main() -> None:
    """Prints both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("datasets", nargs="+")
    parser.add_argument("--counts", type=int, nargs="*", default=[500, 200, 100, 50])
    parser.add_argument("--known", type=int, nargs="*", default=[10])
    parser.add_argument("--seeds", type=int, default=40)
    asked = parser.parse_args()
    config = DriftConfig(min_images=2)
    print(f"{machine()}; {versions('lesiongen', 'scipy')}\n")
    images = [measured_images(config, Dataset.open(uri)) for uri in asked.datasets]
    rows = [
        row
        for each in images
        for row in random_halves(config, each, cases_of(each, asked.counts, asked.known), asked.seeds)
    ]
    print(table(("collection", "images", "with values", "halves that fail", "mean share drifted", "largest"), rows))
    if images[1:]:
        print(table(("collections", "images", "share drifted"), others(config, images[0], images[1:])))


if __name__ == "__main__":
    main()
