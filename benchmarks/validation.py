"""How fast validation's image checks are, as a share of what a bare process pool needs to decode the same images.

The limit reads the same files from a local folder and decodes them with Pillow alone, in forked processes on all cores.
The checks read the images from a published dataset, decode them and examine them, in processes that they start. The
processor time of a process and its children says what remains where other programs share the cores.

Decoding small images takes up to twice as long in one process as in the next, by where its memory happens to lie. The
limit is therefore taken in several programs (`bare_pool.py`), in every round, and the fastest of them counts.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from harness import machine, processor_seconds, spread, table, versions
from PIL import Image

from lesiongen.imaging import fingerprint
from lesiongen.imaging.decoding import decode_small
from lesiongen.imaging.examination import examine_all
from lesiongen.imaging.private_metadata import private_metadata
from lesiongen.imaging.quality import sharpness
from lesiongen.parallel import in_processes

if TYPE_CHECKING:
    from lesiongen.dataset import Dataset

LAYOUTS = ((), ("numpy",), ("numpy", "pyarrow"))
PROFILED = 200
DISTINCT = 1000


def fastest_bare_pool(folder: Path) -> tuple[float, float]:
    """Returns the seconds and the processor seconds of the fastest bare pool that decodes the files of a folder."""
    return min(bare_pool(folder, *modules) for modules in LAYOUTS)


def bare_pool(folder: Path, *modules: str) -> tuple[float, float]:
    """Returns the seconds and the processor seconds of a bare pool, in a program that has imported these modules."""
    command = [sys.executable, str(Path(__file__).with_name("bare_pool.py")), str(folder), *modules]
    seconds, processor = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    return float(seconds), float(processor)


def like_ham(source: Path, count: int) -> list[bytes]:
    """Returns JPEGs of 600 x 450 pixels with the grain and the coding of a camera, made from its 200 x 150."""
    paths = sorted(source.iterdir())
    rng = np.random.default_rng(0)
    grain = rng.normal(0, 4, (4, 450, 600, 3))
    files = []
    for number in range(min(count, DISTINCT)):
        with Image.open(paths[number % len(paths)]) as image:
            pixels = np.asarray(image.convert("RGB").resize((600, 450), Image.Resampling.BICUBIC)) + grain[number % 4]
        buffer = BytesIO()
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(buffer, "JPEG", quality=95, subsampling=0)
        files.append(buffer.getvalue())
    return [files[number % len(files)] for number in range(count)]


def repeated(source: Path, count: int) -> list[bytes]:
    """Returns the files of a set, again and again until there are enough."""
    files = [path.read_bytes() for path in sorted(source.iterdir())]
    return [files[number % len(files)] for number in range(count)]


def publish(files: list[bytes], folder: Path) -> "Dataset":
    """Writes the files as a dataset, and into ``files``."""
    from lesiongen.dataset import Dataset, DatasetWriter, Sample

    (folder / "files").mkdir(parents=True)
    with DatasetWriter(str(folder / "dataset"), name="benchmark") as writer:
        for number, data in enumerate(files):
            (folder / "files" / f"{number:05d}").write_bytes(data)
            writer.add(Sample(image=data, image_id=str(number), diagnosis="nv", split="train"))
    return Dataset.open(str(folder / "dataset"))


def compare(files: list[bytes], pairs: int) -> list[str]:
    """Returns a row of the table: the limit, the checks, and the ratio of each round in time and in processor time."""
    # Imported here: the processes that the checks start import this file, and should not wait for pandas.
    from lesiongen.dataset.examined import examined_images

    with tempfile.TemporaryDirectory() as folder:
        dataset = publish(files, Path(folder))
        cases: dict[str, Callable[[], tuple[float, float]]] = {
            "limit": lambda: fastest_bare_pool(Path(folder) / "files"),
            "checks": lambda: timed(lambda: examined_images([dataset], doing="Checking images")),
        }
        rounds: dict[str, list[tuple[float, float]]] = {name: [] for name in cases}
        for turn in range(pairs + 1):
            for name in list(cases)[:: -1 if turn % 2 else 1]:
                rounds[name].append(cases[name]())
    # The first run of each warmed up.
    (limit, limit_processor), (checks, checks_processor) = (zip(*rounds[name][1:], strict=True) for name in cases)
    size = sum(map(len, files)) / len(files) / 1000
    shares = [ratios(limit, checks), ratios(limit_processor, checks_processor)]
    return [f"{size:.0f} kB", str(len(files)), *map(spread, (limit, checks, *shares))]


def timed(run: Callable[[], object]) -> tuple[float, float]:
    """Returns the seconds that something takes, and those of processor time."""
    started, before = time.perf_counter(), processor_seconds()
    run()
    return time.perf_counter() - started, processor_seconds() - before


def ratios(limit: Sequence[float], checks: Sequence[float]) -> list[float]:
    """Returns the limit as a share of the checks, round by round."""
    return [one / other for one, other in zip(limit, checks, strict=True)]


def starting() -> float:
    """Returns the seconds of processor time that starting the processes takes, with nothing for them to do."""
    return timed(lambda: list(in_processes(examine_all, [[]])))[1]


def profile(files: list[bytes]) -> list[str]:
    """Returns milliseconds an image in one process: decoding with Pillow alone, and each part of the examination."""
    files = files[:PROFILED]
    small = [decode_small(data).image for data in files]
    parts: list[tuple[Callable[[object], object], list]] = [
        (lambda data: Image.open(BytesIO(data)).load(), files),
        (examine_all, [files]),
        (decode_small, files),
        (fingerprint, small),
        (sharpness, small),
        (private_metadata, files),
    ]
    taken = [statistics.median(milliseconds(work, items) for _ in range(5)) for work, items in parts]
    return [f"{all_of_them / len(files):.2f}" for all_of_them in taken]


def milliseconds(work: Callable[[object], object], items: list) -> float:
    """Returns the processor time that all items take."""
    started = time.process_time()
    for item in items:
        work(item)
    return (time.process_time() - started) * 1000


def main() -> None:
    """Prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder of the three real sets")
    parser.add_argument("--images", type=int, default=10_015, help="images of each kind; HAM10000 has 10,015")
    parser.add_argument("--pairs", type=int, default=5, help="rounds")
    arguments = parser.parse_args()
    kinds = {
        "600 x 450, like HAM10000": like_ham(arguments.data / "ham10000_subset" / "images", arguments.images),
        "256 x 256, ISIC 2017": repeated(arguments.data / "isic2017" / "images", arguments.images),
    }
    rows = [[kind, *compare(files, arguments.pairs)] for kind, files in kinds.items()]
    print(f"{machine()}\n{versions('numpy', 'pillow', 'pyarrow')}\n")
    print(
        table(
            [
                "images",
                "file",
                "n",
                "bare decoding, s",
                "image checks, s",
                "ratio (1 is the limit)",
                "ratio of processor time",
            ],
            rows,
        )
    )
    parts = ["Pillow alone", "examine", "decode", "fingerprint", "sharpness", "metadata"]
    print("\nMilliseconds of processor time an image in one process\n")
    print(table(["images", *parts], [[kind, *profile(files)] for kind, files in kinds.items()]))
    print(f"\nStarting the processes: {spread([starting() for _ in range(arguments.pairs)])} s of processor time")


if __name__ == "__main__":
    main()
