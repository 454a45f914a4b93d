"""How well the measured concepts agree with the truth of phantoms, clean and photographed under worse conditions.

    python benchmarks/agreement.py --phantoms 200 --seed 7001 --sizes 256 128

Draws fresh phantoms with every skin tone, measures each image and the same image under slanting and coloured light,
blur, sensor noise and many hairs, and prints per measure the agreement with a 95% bootstrap interval over phantoms.
"""

import argparse
from collections.abc import Callable, Sequence

import numpy as np
from harness import machine, table, versions
from numpy.typing import NDArray
from scipy.stats import spearmanr

from lesiongen.concepts import Measurement, measure
from lesiongen.concepts.vocabulary import TONES
from lesiongen.phantoms import PhantomConcepts, PhantomConfig, disturb, draw_concepts, draw_disturbance, render
from lesiongen.phantoms.shape import lesion_frame

TONE_WEIGHTS = (2.0, 2.0, 2.0, 1.5, 1.2, 1.0)
DRAWS = 300

Pair = tuple[PhantomConcepts, Measurement]
Statistic = Callable[[NDArray[np.float64]], float]


def main() -> None:
    """Reads the arguments and prints one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--phantoms", type=int, default=200, help="how many lesions")
    parser.add_argument("--seed", type=int, default=7001, help="of the phantoms and of the conditions")
    parser.add_argument("--sizes", type=int, nargs="+", default=[256, 128], help="sides of the images in pixels")
    arguments = parser.parse_args()
    print(f"{machine()}; {versions('numpy', 'scipy', 'scikit-image', 'pillow')}")
    print(f"{arguments.phantoms} phantoms, seed {arguments.seed}; agreement (95% bootstrap interval; n measured)\n")
    columns = [
        (f"{size} px, {name}", pairs)
        for size in arguments.sizes
        for name, pairs in _measured(arguments.phantoms, arguments.seed, size).items()
    ]
    rows = [[name, *(_cell(pairs, values, statistic) for _, pairs in columns)] for name, values, statistic in MEASURES]
    print(table(["measure", *(name for name, _ in columns)], rows))


def _measured(count: int, seed: int, size: int) -> dict[str, list[Pair]]:
    config = PhantomConfig(seed=seed, images_per_lesion=1.0, duplicate_share=0.0, tone_weights=TONE_WEIGHTS)
    clean, disturbed = [], []
    for index in range(count):
        concepts = draw_concepts(config, index)
        image = render(concepts, size)
        clean.append((concepts, measure(image)))
        disturbed.append((concepts, measure(disturb(image, draw_disturbance(seed, index)))))
    return {"clean": clean, "disturbed": disturbed}


def _cell(pairs: Sequence[Pair], values: Callable[[Pair], tuple[float, ...] | None], statistic: Statistic) -> str:
    known = np.array([found for pair in pairs if (found := values(pair)) is not None], dtype=float)
    rng = np.random.default_rng(0)
    draws = [statistic(known[rng.integers(len(known), size=len(known))]) for _ in range(DRAWS)]
    low, high = np.quantile(draws, [0.025, 0.975])
    return f"{statistic(known):.2f} ({low:.2f} to {high:.2f}; {len(known)})"


def _rank(values: NDArray[np.float64]) -> float:
    return float(spearmanr(values[:, 0], values[:, 1]).statistic)


def _mean(values: NDArray[np.float64]) -> float:
    return float(values.mean())


def _median(values: NDArray[np.float64]) -> float:
    return float(np.median(values))


def _overlap(pair: Pair) -> tuple[float]:
    concepts, found = pair
    truth = lesion_frame(concepts, len(found.lesion)).depth > 0
    return (float((found.lesion & truth).sum() / (found.lesion | truth).sum()),)


def _area(pair: Pair) -> tuple[float, float] | None:
    return None if pair[1].area_share is None else (pair[0].area_share, pair[1].area_share)


def _asymmetry(pair: Pair) -> tuple[float, float] | None:
    return None if pair[1].asymmetry is None else (pair[0].asymmetry, pair[1].asymmetry[0])


def _irregularity(pair: Pair) -> tuple[float, float] | None:
    return None if pair[1].irregularity is None else (pair[0].border_irregularity, pair[1].irregularity)


def _width(pair: Pair) -> tuple[float, float] | None:
    return None if pair[1].border_width is None else (pair[0].softness, pair[1].border_width)


def _count(pair: Pair) -> tuple[float, float] | None:
    return (len(pair[0].colours), len(pair[1].colours)) if pair[1].area_share is not None else None


def _same_count(pair: Pair) -> tuple[float] | None:
    count = _count(pair)
    return None if count is None else (float(count[0] == count[1]),)


def _angle(pair: Pair) -> tuple[float, float] | None:
    return None if pair[1].ita is None else (pair[0].ita, pair[1].ita)


def _tone(pair: Pair) -> tuple[float] | None:
    return None if pair[1].tone is None else (float(TONES[pair[0].skin_tone - 1] == pair[1].tone),)


def _tone_named(pair: Pair) -> tuple[float] | None:
    tone = pair[1].skin_tone
    return None if tone is None else (float(TONES[pair[0].skin_tone - 1] in tone.chances),)


MEASURES: tuple[tuple[str, Callable[[Pair], tuple[float, ...] | None], Statistic], ...] = (
    ("lesion found: overlap (median IoU)", _overlap, _median),
    ("area share: rank correlation", _area, _rank),
    ("asymmetry: rank correlation", _asymmetry, _rank),
    ("border irregularity: rank correlation", _irregularity, _rank),
    ("border width: rank correlation", _width, _rank),
    ("colour count: accuracy", _same_count, _mean),
    ("colour count: rank correlation", _count, _rank),
    ("tone class: accuracy", _tone, _mean),
    ("tone class among those stated: share", _tone_named, _mean),
    ("ITA: rank correlation", _angle, _rank),
)


if __name__ == "__main__":
    main()
