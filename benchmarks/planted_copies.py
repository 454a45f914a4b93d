"""Which copies of real training images the search for near copies finds, by kind and descriptor.

    python benchmarks/planted_copies.py --data ../shared/data/ham10000_subset --size 64

The lesions are divided into two halves: the descriptors were chosen on the first, and are judged on the second. Of a
half, seven in ten lesions are training images; half of the other images set the thresholds.
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
from harness import machine, table, versions
from numpy.typing import NDArray

from lesiongen.evaluation.copies.search import searched, summarised
from lesiongen.evaluation.neighbours import nearest_training_images
from lesiongen.imaging import decode, square

PERCENTILE, CONFIDENCE = 99.0, 0.95
TRAINING_SHARE = 0.7


def read(folder: Path, size: int) -> tuple[NDArray[np.uint8], NDArray[np.str_]]:
    """Returns the images of a folder like HAM10000 as squares, and the lesion of each."""
    rows = pd.read_csv(folder / "HAM10000_metadata.csv").sort_values("image_id")
    paths = [folder / "images" / f"{image_id}.jpg" for image_id in rows["image_id"]]
    images = [np.asarray(square(decode(path.read_bytes()), size), dtype=np.uint8) for path in paths]
    return np.stack(images), rows["lesion_id"].to_numpy(str)


def main() -> None:
    """Prints the recall of planted copies in one half of the images."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--half", type=int, choices=(1, 2), default=2)
    parser.add_argument("--copies", type=int, default=200)
    parser.add_argument("--seed", type=int, default=7)
    arguments = parser.parse_args()
    images, lesions = read(arguments.data, arguments.size)
    mixed = np.unique(lesions)
    np.random.default_rng(arguments.seed).shuffle(mixed)
    middle = len(mixed) // 2
    mine = mixed[:middle] if arguments.half == 1 else mixed[middle:]
    training = mine[: int(TRAINING_SHARE * len(mine))]
    train = images[np.isin(lesions, training)]
    held_out = images[np.isin(lesions, np.setdiff1d(mine, training))]
    # Held-out images take the place of synthetic ones: what is looked for are the copies.
    [known] = nearest_training_images(train, held_out)
    counts = {"n_calibration": len(held_out) // 2, "n_planted": arguments.copies}
    found = searched(train, held_out, held_out, (known, known), **counts, seed=arguments.seed)
    summary = summarised(found, PERCENTILE, CONFIDENCE)
    print(f"{machine()}; {versions('lesiongen', 'numpy', 'scipy', 'scikit-image')}")
    print(f"\n{len(train)} training and {len(held_out)} held-out images of {arguments.size} pixels\n")
    rows = [
        [
            kind,
            *(f"{share.share:.3f}" for share in shares.values()),
            f"{shares['any'].low:.3f} to {shares['any'].high:.3f}",
        ]
        for kind, shares in summary.planted.items()
    ]
    print(table(["copy", *next(iter(summary.planted.values())), "interval of any"], rows))
    print(f"\nHeld-out images above a joint threshold: {summary.held_out.n_above} of {summary.held_out.n}")


if __name__ == "__main__":
    main()
