"""How many planted near-duplicates are found among real images, what else is found, and how long it takes.

Each kind is planted 200 times: copies of images drawn from a set join the whole set. A copy counts as found when it is
paired with its original. Pairs among the originals alone are either of one lesion by the set's own table, or were
compared by eye (`compared_pairs`); any other is a false positive.
"""

import argparse
import resource
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from harness import machine, processor_seconds, table, versions
from near_duplicate_sets import KINDS, LOOK_ALIKES, NONE, SETS, SHOWN, Images, compared_pairs, kind_of, read_set, window
from PIL import Image

from lesiongen.imaging import SAME_PHOTOGRAPH, FingerprintFile, NearDuplicate, fingerprint, near_duplicates


def recall(images: Images, kind: str, planted: int, seed: int) -> str:
    """Returns the share of planted copies that are paired with their originals."""
    rng = np.random.default_rng(seed)
    found = agreements(images, kind, rng.choice(len(images.names), min(planted, len(images.names)), False), rng)
    return f"{np.mean(np.array(found) >= SAME_PHOTOGRAPH):.3f}"


def agreements(images: Images, kind: str, originals: np.ndarray, rng: np.random.Generator) -> list[float]:
    """Returns how far copies of some images agree with these; 0 for one that is not found."""
    places = originals.tolist()
    copies = [fingerprint(KINDS[kind](Image.open(images.paths[place]).convert("RGB"), rng)) for place in places]
    # An original that has an equal is paired through the first of its equals.
    first = {each.planes: number for number, each in reversed(list(enumerate(images.prints)))}
    found = {
        (pair.first, pair.second): pair.agreement for pair in near_duplicates([*images.prints, *copies], least=SHOWN)
    }
    count = len(images.prints)
    return [
        max(found.get((original, count + copy), 0.0) for original in (place, first[images.prints[place].planes]))
        for copy, place in enumerate(places)
    ]


def counted(
    name: str, images: Images, pairs: list[NearDuplicate], compared: Mapping[frozenset[str], bool]
) -> list[object]:
    """Returns a row of the table of what was found among the originals."""
    kinds = [kind_of(images, pair, compared) for pair in pairs]
    found = [kind for kind, pair in zip(kinds, pairs, strict=True) if pair.agreement >= SAME_PHOTOGRAPH]
    different = (pair.agreement for kind, pair in zip(kinds, pairs, strict=True) if kind == "different")
    count = len(images.names) * (len(images.names) - 1) // 2
    kinds_counted = [found.count(kind) for kind in ("lesion", "photograph", "different")]
    return [name, len(images.names), f"{count:,}", *kinds_counted, f"{max(different, default=0.0):.3f}"]


def timing(paths: list[Path], count: int, seed: int) -> str:
    """Times the search among windows of the real images, of a half to three quarters of their sides."""
    rng = np.random.default_rng(seed)
    prints = FingerprintFile()
    for number in range(count):
        prints.append(fingerprint(window(Image.open(paths[number % len(paths)]).convert("RGB"), rng)))
    started, before = time.perf_counter(), processor_seconds()
    pairs = near_duplicates(prints)
    seconds, processor = time.perf_counter() - started, processor_seconds() - before
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return (
        f"Search among {count:,} images: {seconds:.1f} s ({processor:.1f} s of processor time), "
        f"{len(pairs):,} pairs, peak memory of the process {memory:,.0f} MiB"
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder of the real sets")
    parser.add_argument("--seed", type=int, default=0, help="draws the originals and the crops")
    parser.add_argument("--planted", type=int, default=200, help="copies of each kind and set; 0: only time the search")
    parser.add_argument(
        "--images", type=int, nargs="*", default=[10_015, 100_000], help="numbers of images that the search is timed on"
    )
    given = parser.parse_args(arguments)
    print(f"{machine()}\n{versions('numpy', 'pillow', 'faiss-cpu')}\n")
    sets = {name: read_set(given.data, name) for name in (*SETS, LOOK_ALIKES) if (given.data / name).is_dir()}
    together = sum(sets.values(), NONE)
    if given.planted:
        _print_found(sets, together, compared_pairs(given.data), given.planted, given.seed)
    for count in given.images:
        print(f"\n{timing(together.paths, count, given.seed)}")


def _print_found(
    sets: dict[str, Images], together: Images, compared: Mapping[frozenset[str], bool], planted: int, seed: int
) -> None:
    large = {name: images for name, images in sets.items() if name != LOOK_ALIKES}
    print(f"Recall of {planted} planted copies of each kind\n")
    rows = [[kind, *(recall(images, kind, planted, seed) for images in large.values())] for kind in KINDS]
    print(table(["kind", *large], rows))
    found = [
        counted(name, images, near_duplicates(images.prints, least=SHOWN), compared)
        for name, images in [*large.items(), ("all together", together)]
    ]
    print("\nPairs among the originals\n")
    print(table(["set", "images", "pairs", "one lesion", "one photograph", "false", "different reach"], found))


if __name__ == "__main__":
    main()
