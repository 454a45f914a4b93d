"""How long a collection as large as HAM10000 takes from a folder of files to a checked dataset: ingest and validate.

The images are windows of real ones, all different, brought to 600 x 450 pixels with the grain and coding of a camera;
one in a hundred is a resized copy. Wall time is that of the machine as it was; processor time, of the process and of
those that it starts, says what remains where other programs share the cores. For scale, a pool of processes decodes the
files and does nothing else (`bare_pool.py`), before and after.
"""

import argparse
import csv
import tempfile
import time
from collections.abc import Callable, Sequence
from io import BytesIO
from pathlib import Path

import numpy as np
from harness import machine, processor_seconds, table, versions
from near_duplicate_sets import SETS, resized, window
from PIL import Image
from validation import bare_pool

SIZE = (600, 450)
COPIES = 100
"""One image in so many is a copy of the one before."""
SPREAD = 5
"""Images of one lesion, in turn, for the splits to part."""


def write_collection(data: Path, count: int, folder: Path, seed: int) -> None:
    """Writes images and a table of them."""
    paths = [path for name in SETS if (data / name).is_dir() for path in sorted((data / name / "images").glob("*.jpg"))]
    rng = np.random.default_rng(seed)
    grain = rng.normal(0, 4, (4, SIZE[1], SIZE[0], 3)).astype(np.float32)
    (folder / "images").mkdir(parents=True)
    rows = []
    previous = Image.new("RGB", SIZE)
    for number in range(count):
        if number % COPIES == COPIES - 1:
            image = resized(previous, rng)
        else:
            with Image.open(paths[number % len(paths)]) as source:
                shown = window(source.convert("RGB"), rng).resize(SIZE, Image.Resampling.BICUBIC)
            pixels = np.asarray(shown, dtype=np.float32) + grain[number % len(grain)]
            image = previous = Image.fromarray(pixels.clip(0, 255).astype(np.uint8))
        buffer = BytesIO()
        image.save(buffer, "JPEG", quality=95, subsampling=0)
        name = f"images/{number:06d}.jpg"
        (folder / name).write_bytes(buffer.getvalue())
        rows.append((name, ("nv", "mel", "bkl")[number // SPREAD % 3], f"L{number // SPREAD}"))
    with (folder / "metadata.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("file_name", "diagnosis", "lesion_id"), *rows])


def timed(run: Callable[[], object]) -> tuple[float, float]:
    """Returns the seconds that something takes, and those of processor time."""
    started, before = time.perf_counter(), processor_seconds()
    run()
    return time.perf_counter() - started, processor_seconds() - before


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder of the real sets")
    parser.add_argument("--images", type=int, default=10_015, help="number of images")
    parser.add_argument("--seed", type=int, default=0, help="draws the windows")
    given = parser.parse_args(arguments)
    from lesiongen.ingestion import IngestConfig, ingest
    from lesiongen.validation import ValidateConfig, validate

    with tempfile.TemporaryDirectory() as place:
        source, output = Path(place) / "source", str(Path(place) / "dataset")
        write_collection(given.data, given.images, source, given.seed)
        size = sum(path.stat().st_size for path in source.glob("images/*.jpg")) / given.images / 1000
        config = IngestConfig(format="image_folder")
        stages = {
            "decoding alone, before": bare_pool(source / "images"),
            "ingest": timed(lambda: ingest(config, str(source), output)),
            "validate": timed(lambda: validate(ValidateConfig(), output, str(Path(place) / "report"))),
            "decoding alone, after": bare_pool(source / "images"),
        }
    both = zip(stages["ingest"], stages["validate"], strict=True)
    stages["ingest and validate"] = tuple(map(sum, both))
    print(f"{machine()}\n{versions('numpy', 'pillow', 'pyarrow', 'faiss-cpu')}\n")
    print(f"{given.images:,} images of {SIZE[0]} x {SIZE[1]}, {size:.0f} kB each\n")
    rows = [[name, f"{seconds:.1f}", f"{processor:.1f}"] for name, (seconds, processor) in stages.items()]
    print(table(["stage", "seconds", "seconds of processor time"], rows))


if __name__ == "__main__":
    main()
