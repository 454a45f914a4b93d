"""Peak memory of evaluate for a small and a large set of synthetic images, as a ratio.

    python benchmarks/evaluation_memory.py

Each evaluation runs in a process of its own; the peak is the largest resident memory that the system has seen of it
(getrusage), pages of mapped files included. The steps are few: memory does not depend on their number.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from harness import machine, table, versions
from PIL import Image

from lesiongen.dataset import DatasetWriter, Sample
from lesiongen.imaging import encode_jpeg

REAL = {"train": 300, "validation": 120, "test": 120}
DIAGNOSES = ("nv", "mel", "bkl")
COARSE = 12
EVALUATE = f"""
import resource, sys
from lesiongen.evaluation import EvaluateConfig, evaluate
real, synthetic, output, classifier, size, steps = sys.argv[1:]
few = dict(n_seeds=1, checks=1, n_bootstrap=100, n_permutations=100, planted_copies=5)
config = EvaluateConfig(classifiers=(classifier,), image_size=int(size), steps=int(steps), **few)
evaluate(config, real, synthetic, output)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * {1024 if sys.platform == "linux" else 1})
"""


def smooth_images(count: int, size: int, seed: int) -> Iterator[bytes]:
    """Yields smooth images as JPEG files, no two alike."""
    rng = np.random.default_rng(seed)
    for _ in range(count):
        coarse = Image.fromarray(rng.integers(30, 230, (COARSE, COARSE, 3), dtype=np.uint8))
        yield encode_jpeg(coarse.resize((size, size), Image.Resampling.BICUBIC))


def write_dataset(path: Path, splits: dict[str, int], size: int, seed: int) -> str:
    """Writes a dataset of such images, the diagnoses in turns; returns its address."""
    with DatasetWriter(str(path), name=path.name) as writer:
        for split, count in splits.items():
            for number, image in enumerate(smooth_images(count, size, seed + len(split))):
                name, diagnosis = f"{path.name}-{split}-{number}", DIAGNOSES[number % len(DIAGNOSES)]
                writer.add(Sample(image=image, image_id=name, diagnosis=diagnosis, split=split, lesion_id=name))
    return str(path)


def peak(home: Path, count: int, arguments: argparse.Namespace) -> tuple[float, float]:
    """Evaluates so many synthetic images; returns the peak in MiB and the seconds."""
    synthetic = write_dataset(home / f"synthetic{count}", {"train": count}, arguments.size, 1000)
    settings = [arguments.classifier, str(arguments.size), str(arguments.steps)]
    command = [sys.executable, "-c", EVALUATE, str(home / "real"), synthetic, str(home / f"out{count}"), *settings]
    started = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr[-2000:])
    return int(done.stdout.split()[-1]) / 2**20, time.perf_counter() - started


def main() -> None:
    """Measures both sizes and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", type=int, default=1000)
    parser.add_argument("--large", type=int, default=10_000)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--classifier", default="small")
    arguments = parser.parse_args()
    print(f"{machine()}; {versions('lesiongen', 'torch', 'numpy')}\n")
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        write_dataset(home / "real", REAL, arguments.size, 1)
        counts = arguments.small, arguments.large
        found = [peak(home, count, arguments) for count in counts]
    pixels = [count * arguments.size**2 * 3 / 2**20 for count in counts]
    rows = [
        [f"{count:,}", f"{held:.0f}", f"{most:.0f}", f"{seconds:.0f}"]
        for count, held, (most, seconds) in zip(counts, pixels, found, strict=True)
    ]
    print(table(["synthetic images", "MiB of pixels", "peak MiB", "seconds"], rows))
    print(f"\nRatio of the peaks: {found[1][0] / found[0][0]:.2f}")


if __name__ == "__main__":
    main()
