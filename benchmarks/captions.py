"""How many measured captions a second the caption stage writes, and where the time of a measurement goes.

    python benchmarks/captions.py --images 400 --size 256

Publishes phantoms as a dataset, captions it with the writers ``metadata`` and ``measured`` (the whole stage: starting
processes, reading, decoding, measuring, composing, writing), and profiles `lesiongen.concepts.measure` alone. Beside
the images a second it counts the processor time, which other programs on the machine change less.
"""

import argparse
import cProfile
import io
import pstats
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from harness import machine, paired, processor_seconds, spread, table, versions
from PIL import Image

from lesiongen.captions import CaptionConfig, caption
from lesiongen.concepts import measure
from lesiongen.ingestion import IngestConfig, ingest
from lesiongen.phantoms import PhantomConfig, write_phantoms


def main() -> None:
    """Reads the arguments and prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=400, help="how many images")
    parser.add_argument("--size", type=int, default=256, help="side of the images in pixels")
    parser.add_argument("--pairs", type=int, default=3, help="rounds")
    arguments = parser.parse_args()
    print(f"{machine()}; {versions('numpy', 'scipy', 'scikit-image', 'pillow')}\n")
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        write_phantoms(PhantomConfig(n=arguments.images, size=arguments.size, seed=7002), place / "phantoms")
        images = [Image.open(path).convert("RGB") for path in sorted((place / "phantoms" / "images").glob("*.png"))]
        ingest(IngestConfig(format="image_folder"), str(place / "phantoms"), str(place / "dataset"))
        cases = {
            "measure alone, one process": lambda: [measure(image) for image in images],
            "the caption stage": lambda: _captioned(place),
        }
        used: dict[str, list[float]] = {name: [] for name in cases}
        counted = {name: partial(_counted, run, used[name]) for name, run in cases.items()}
        rows = []
        for name, seconds in paired(counted, arguments.pairs).items():
            rates = [arguments.images / value for value in seconds]
            costs = [1000 * value / arguments.images for value in used[name][1:]]  # the first run is a warm-up
            rows.append([name, spread(costs, ".1f"), spread(rates, ".1f")])
        print(table(["case", "processor time, ms an image", "images a second"], rows))
        print(f"\n{_profile(images[:100])}")


def _counted(run: Callable[[], object], used: list[float]) -> None:
    before = processor_seconds()
    run()
    used.append(processor_seconds() - before)


def _captioned(place: Path) -> None:
    config = CaptionConfig(writers=("metadata", "measured"), tokenizer="tiny")
    caption(config, str(place / "dataset"), str(place / f"captioned-{time.perf_counter_ns()}"))


def _profile(images: list[Image.Image]) -> str:
    """The functions of this project in which a measurement spends its time, with what they call."""
    profile = cProfile.Profile()
    profile.runcall(lambda: [measure(image) for image in images])
    statistics = pstats.Stats(profile, stream=io.StringIO()).get_stats_profile().func_profiles
    own = [
        (name, entry)
        for name, entry in statistics.items()
        if "lesiongen/concepts" in entry.file_name and name != "measure"
    ]
    own.sort(key=lambda item: -item[1].cumtime)
    rows = [
        [f"{Path(entry.file_name).stem}.{name}", f"{1000 * entry.cumtime / len(images):.1f}"]
        for name, entry in own[:14]
    ]
    return table(["function", "ms an image, with what it calls"], rows)


if __name__ == "__main__":
    main()
