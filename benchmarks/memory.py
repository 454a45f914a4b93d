"""Peak memory of ingest, validate, read, inspect and merge for a small and a large collection, as a ratio.

    python benchmarks/memory.py

Each stage runs in a process of its own; the peak is the largest sum of resident memory of that process and its
children (pages they share count for each), looked at twenty times a second. The images have 9 kB each, so that the
small collection is large enough for validate and merge to work on all cores, as the large one is.
"""

import argparse
import csv
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import psutil
from harness import machine, table, versions
from PIL import Image

SIDE = 128
INTERVAL = 0.05
READ = """
import sys
from lesiongen.dataset import Dataset
dataset = Dataset.open(sys.argv[1])
dataset.metadata()
sum(len(sample.image) for sample in dataset.samples())
"""


def write_collection(folder: Path, count: int, seed: int) -> None:
    """Writes an image folder of smooth images, no two alike, two to a lesion."""
    rng = np.random.default_rng(seed)
    folder.mkdir()
    with (folder / "metadata.csv").open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["file_name", "image_id", "diagnosis", "lesion_id", "age", "sex", "site"])
        for number in range(count):
            coarse = Image.fromarray(rng.integers(30, 230, (8, 8, 3), dtype=np.uint8))
            name = f"{seed}-{number:05d}"
            smooth = np.asarray(coarse.resize((SIDE, SIDE), Image.Resampling.BICUBIC), dtype=np.int16)
            noisy = np.clip(smooth + rng.integers(-24, 25, (SIDE, SIDE, 1), dtype=np.int16), 0, 255)
            Image.fromarray(noisy.astype(np.uint8)).save(folder / f"{name}.jpg", quality=90)
            diagnosis = ("nv", "mel", "bkl")[number // 2 % 3]
            rows.writerow([f"{name}.jpg", name, diagnosis, f"{seed}-{number // 2}", 20 + number % 60, "female", "back"])


def peak(*command: str) -> tuple[float, float]:
    """Runs a command; returns its peak of resident memory in MiB and its seconds.

    Raises:
        SystemExit: The command failed; validate's 1 (the dataset did not pass) is no failure.
    """
    started, highest = time.perf_counter(), 0
    with tempfile.TemporaryFile("w+") as output:
        process = psutil.Popen(command, stdout=output, stderr=subprocess.STDOUT)
        while process.poll() is None:
            highest = max(highest, sum(map(_resident, [process, *_children(process)])))
            time.sleep(INTERVAL)
        if process.returncode not in (0, 1 if "validate" in command else 0):
            output.seek(0)
            raise SystemExit(f"{' '.join(command)}\n{output.read()[-2000:]}")
    return highest / 2**20, time.perf_counter() - started


def _children(process: psutil.Process) -> list[psutil.Process]:
    try:
        return process.children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def _resident(process: psutil.Process) -> int:
    try:
        return process.memory_info().rss
    except (psutil.NoSuchProcess, psutil.ZombieProcess):
        return 0


def measure(home: Path, count: int, stages: list[str]) -> dict[str, tuple[float, float]]:
    """Returns MiB and seconds of each stage for a collection of this size."""
    base = home / str(count)
    base.mkdir()
    write_collection(base / "images", count, 1)
    write_collection(base / "more", max(1, count // 4), 2)
    lesiongen = [sys.executable, "-m", "lesiongen", "--quiet"]
    read = ["--format", "image_folder", "--name", str(count)]
    dataset, more = str(base / "dataset"), str(base / "dataset-more")
    commands = {
        "ingest": [*lesiongen, "ingest", *read, "--source", str(base / "images"), "--output", dataset],
        "validate": [*lesiongen, "validate", dataset, "--report", str(base / "report.html")],
        "read": [sys.executable, "-c", READ, dataset],
        "inspect": [*lesiongen, "inspect", dataset, "--report", str(base / "inspect.html")],
        "merge": [*lesiongen, "merge", dataset, more, "--output", str(base / "merged")],
    }
    if "merge" in stages:
        peak(*lesiongen, "ingest", *read, "--source", str(base / "more"), "--output", more)
    return {stage: peak(*commands[stage]) for stage in stages}


def main() -> None:
    """Measures both sizes and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", type=int, default=2000)
    parser.add_argument("--large", type=int, default=20_000)
    parser.add_argument("--stages", default="ingest,validate,read,inspect,merge", help="ingest comes first")
    arguments = parser.parse_args()
    stages = arguments.stages.split(",")
    print(f"{machine()}; {versions('lesiongen', 'pyarrow', 'pandas', 'great-expectations')}\n")
    with tempfile.TemporaryDirectory() as home:
        small, large = (measure(Path(home), count, stages) for count in (arguments.small, arguments.large))
    heads = [
        "stage",
        f"MiB, {arguments.small:,}",
        f"MiB, {arguments.large:,}",
        "ratio",
        f"seconds, {arguments.large:,}",
    ]
    rows = [
        [stage, f"{small[stage][0]:.0f}", f"{large[stage][0]:.0f}", f"{large[stage][0] / small[stage][0]:.2f}",
         f"{large[stage][1]:.0f}"]
        for stage in stages
    ]  # fmt: skip
    print(table(heads, rows))


if __name__ == "__main__":
    main()
