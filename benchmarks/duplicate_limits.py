"""Chooses the limits of near-duplicates on one half of the lesions, and judges them on the other.

The rule, stated before anything is compared: let D be the highest agreement of two different lesions of the half that
chooses, and C what 99 of 100 of its planted copies reach. The limit of one photograph is half way between D and C, the
limit of look-alikes is D, both rounded to hundredths (D upwards: no two different lesions of that half reach it).

Lesions fall into halves by a hash of their patient or lesion. Those that a person has compared fall into one half
together. Each half is searched by itself, with the copies of its own images only: what one half is judged by, the
other has not seen. The search itself (descriptors, sizes, the cut at four grey levels) was designed with all of these
sets at hand.
"""

import argparse
import math
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from duplicates import agreements
from harness import machine, table, versions
from near_duplicate_sets import KINDS, LOOK_ALIKES, NONE, SETS, SHOWN, Images, compared_pairs, kind_of, read_set
from scipy.stats import binomtest

from lesiongen.imaging import LOOK_ALIKE, SAME_PHOTOGRAPH, near_duplicates

_LEAST_COPIES = 0.01


@dataclass(frozen=True)
class Half:
    """One half of the lesions: what its pairs and its planted copies reach.

    Attributes:
        images: Its images.
        different: Agreement of the pairs of different lesions that reach `SHOWN`.
        photographs: Agreement of the pairs that a person found to be one photograph; 0 for one that is not found.
        compared: Number of pairs of different lesions.
        copies: Agreement of the planted copies of each kind.
    """

    images: Images
    different: list[float]
    photographs: list[float]
    compared: int
    copies: dict[str, list[float]]

    def limits(self) -> tuple[float, float]:
        """Returns the limits of look-alikes and of one photograph that this half chooses."""
        highest = max(self.different, default=SHOWN)
        lowest = float(np.quantile([value for kind in self.copies.values() for value in kind], _LEAST_COPIES))
        return math.ceil(highest * 100) / 100, round((highest + lowest) / 2, 2)


def half_of(images: Images, compared: Iterable[frozenset[str]]) -> np.ndarray:
    """Returns the half, 0 or 1, of each image: by its patient, and by those that a person compared it with."""
    group = dict(zip(images.names, images.patients, strict=True))
    for names in sorted(compared, key=sorted):
        if names <= group.keys():
            owners = {group[name] for name in names}
            group = {name: min(owners) if owner in owners else owner for name, owner in group.items()}
    return np.array([zlib.crc32(group[name].encode()) & 1 for name in images.names])


def measured(images: Images, known: Mapping[frozenset[str], bool], planted: int, seed: int) -> Half:
    """Searches one half, alone and with planted copies."""
    pairs = near_duplicates(images.prints, least=SHOWN)
    reached: dict[str, list[float]] = {"different": [], "photograph": [], "lesion": []}
    for pair in pairs:
        reached[kind_of(images, pair, known)].append(pair.agreement)
    true = sum(same and names <= set(images.names) for names, same in known.items())
    of_one_lesion = sum(count * (count - 1) // 2 for count in np.unique(images.lesions, return_counts=True)[1].tolist())
    different = len(images.names) * (len(images.names) - 1) // 2 - of_one_lesion - true
    rng = np.random.default_rng(seed)
    places = {kind: rng.choice(len(images.names), min(planted, len(images.names)), replace=False) for kind in KINDS}
    copies = {kind: agreements(images, kind, originals, rng) for kind, originals in places.items()}
    photographs = reached["photograph"] + [0.0] * (true - len(reached["photograph"]))
    return Half(images, reached["different"], photographs, different, copies)


def judged(chooses: int, choosing: Half, judging: Half) -> list[object]:
    """Returns a row: the limits that one half chooses, and what they are worth on the other."""
    alike, same = choosing.limits()
    wrong = sum(value >= same for value in judging.different)
    bound = binomtest(wrong, judging.compared).proportion_ci(method="exact").high
    warned = sum(alike <= value < same for value in judging.different)
    found = sum(value >= same for value in judging.photographs)
    return [
        chooses, f"{max(choosing.different, default=0.0):.3f}", f"{alike:.2f}", f"{same:.2f}",
        f"{judging.compared:,}", wrong, f"{bound * 1e7:.1f}", warned, f"{found} of {len(judging.photographs)}",
    ]  # fmt: skip


def recalls(halves: Sequence[Half]) -> list[list[object]]:
    """Returns, for each kind of copy, how many each half's images yield at the limit that the other half chose."""
    rows: list[list[object]] = []
    for kind in KINDS:
        cells = []
        for choosing, judging in (halves, halves[::-1]):
            values, limit = judging.copies[kind], choosing.limits()[1]
            found = binomtest(sum(value >= limit for value in values), len(values))
            interval = found.proportion_ci(method="exact")
            cells.append(f"{found.k} of {found.n} ({interval.low:.3f} to {interval.high:.3f})")
        rows.append([kind, *cells])
    return rows


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder of the real sets")
    parser.add_argument("--seed", type=int, default=0, help="draws the originals and the crops")
    parser.add_argument("--planted", type=int, default=1000, help="copies of each kind and half")
    given = parser.parse_args(arguments)
    print(f"{machine()}\n{versions('numpy', 'pillow', 'faiss-cpu', 'scipy')}\n")
    names = [name for name in (*SETS, LOOK_ALIKES) if (given.data / name).is_dir()]
    together = sum((read_set(given.data, name) for name in names), NONE)
    compared = compared_pairs(given.data)
    side = half_of(together, compared)
    places = [np.flatnonzero(side == half).tolist() for half in (0, 1)]
    halves = [measured(together.chosen(half), compared, given.planted, given.seed) for half in places]
    print(f"Images: {len(halves[0].images.names):,} and {len(halves[1].images.names):,}. "
          f"In use: look-alikes from {LOOK_ALIKE}, one photograph from {SAME_PHOTOGRAPH}.\n")  # fmt: skip
    columns = [
        "half that chooses", "different reach", "look-alike", "one photograph",
        "pairs judged", "false", "at most, of 10 million (95%)", "look-alikes", "true pairs found",
    ]  # fmt: skip
    print(table(columns, [judged(0, *halves), judged(1, *halves[::-1])]))
    print("\nCopies found on the half that judges, with exact 95% intervals\n")
    print(table(["kind", "half 0 chooses", "half 1 chooses"], recalls(halves)))
    for number, half in enumerate(halves):
        print(f"\nHalf {number}: pairs of one photograph reach "
              f"{', '.join(f'{value:.3f}' for value in sorted(half.photographs))}")  # fmt: skip


if __name__ == "__main__":
    main()
