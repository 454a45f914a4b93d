"""What a checkpoint costs: the same training with one more checkpoint in its middle, beside it without.

    python benchmarks/checkpoints.py

Both train a reduced model of random weights; the checkpoint goes to an S3 server on this machine, whose own work is
therefore in the wall time, but not in the processor time, which is that of the training and its writing thread.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
from pathlib import Path

from harness import machine, spread, table, versions
from reduced_model import WIDTHS, build_model
from training import run, write_images

from lesiongen.diffusion.presets import preset
from lesiongen.stack import running_stack
from lesiongen.storage import open_storage, unique_prefix

PRESETS = {"lora": "improved_lora", "full": "reference_full"}


def rows_of(method: str, job: dict[str, object], given: argparse.Namespace) -> list[str]:
    """Measures one method and returns its row."""
    runs: dict[int, list[dict[str, float]]] = {given.steps // 2: [], given.steps: []}
    for turn in range(given.pairs):
        for every in list(runs)[:: -1 if turn % 2 else 1]:
            place = unique_prefix("s3://lesiongen/benchmark")
            runs[every].append(run("lesiongen", job | {"method": method, "every": every, "checkpoints": place}))
            runs[every][-1]["size"] = _size(place)
            print(method, turn, every, json.dumps(runs[every][-1]), file=sys.stderr, flush=True)
    more, plain = runs.values()
    cost = [one["whole"] - other["whole"] for one, other in zip(more, plain, strict=True)]
    processor = [one["whole_processor"] - other["whole_processor"] for one, other in zip(more, plain, strict=True)]
    step = statistics.median(each["step"] for each in plain)
    every = preset(PRESETS[method]).runtime.checkpoint_every
    return [
        method, f"{more[0]['size'] / 2**20:.0f}", f"{step:.2f}", spread([each["waiting"] for each in more]),
        spread(cost), spread(processor), f"{statistics.median(cost) / step:.1f}",
        f"{every}: {statistics.median(cost) / (every * step):.2%}",
    ]  # fmt: skip


def _size(place: str) -> int:
    """Returns the bytes of one of the checkpoints that are left."""
    files = [item for item in open_storage(place).list() if "/step-" in item.key]
    return sum(item.size for item in files) // len({item.key.rpartition("/")[0] for item in files})


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--warm", type=int, default=3, help="first steps that are not counted")
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--rank", type=int, default=64)
    parser.add_argument("--widths", choices=list(WIDTHS), default="half", help="of the Stable Diffusion 1.x")
    parser.add_argument("--methods", choices=list(PRESETS), nargs="+", default=list(PRESETS))
    given = parser.parse_args()
    print(f"{machine()}; {versions('torch', 'diffusers', 'safetensors', 'boto3')}; {given.size} px, "
          f"batch {given.batch}, LoRA of rank {given.rank}\n")  # fmt: skip
    with tempfile.TemporaryDirectory() as name, running_stack(Path(name) / "stack"):
        os.environ["MLFLOW_TRACKING_URI"] = ""
        model = build_model(Path(name) / "model", given.widths)
        dataset, _ = write_images(Path(name), 4, given.size)
        job = {"model": str(model), "dataset": dataset, "warm": given.warm, "precision": "fp32", "steps": given.steps,
               "size": given.size, "batch": given.batch, "rank": given.rank}  # fmt: skip
        print(table(
            ["method", "MiB", "seconds a step", "training waits, s", "cost, s", "cost, processor seconds",
             "cost in steps", "share, with one in"],
            [rows_of(method, job, given) for method in given.methods],
        ))  # fmt: skip


if __name__ == "__main__":
    main()
