"""Training images a second and peak memory of LoRA, beside diffusers' example script, on the same random model.

    python benchmarks/training.py --peer path/to/train_text_to_image_lora.py

Every run is a process of its own; the cases take turns. A step's time is that between two optimizer steps, taken by
the same hook in all of them. Without --peer a plain loop that does what the script does stands in its place. There is
no torchvision: the script gets a stand-in for the transforms that it calls. On a GPU, where this was never run:
--widths real --size 512 --precision bf16.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from harness import machine, spread, table, versions
from PIL import Image
from reduced_model import WIDTHS, build_model

from lesiongen.dataset import DatasetWriter, Sample
from lesiongen.phantoms import PhantomConfig, write_phantoms

CASES = Path(__file__).with_name("training_cases.py")
CAPTIONS = ("melanoma, dark brown, irregular border", "nevus, light brown, regular border")


def write_images(place: Path, count: int, size: int) -> tuple[str, str]:
    """Writes the same phantoms as a dataset of this project and as a folder for the script; returns both places."""
    write_phantoms(PhantomConfig(n=count, size=size, seed=7), place / "phantoms")
    folder = place / "folder"
    folder.mkdir()
    with (
        DatasetWriter(str(place / "dataset"), name="phantoms") as writer,
        (folder / "metadata.jsonl").open("w", encoding="utf-8") as lines,
    ):
        for row, path in enumerate(sorted((place / "phantoms" / "images").glob("*.png"))):
            caption = CAPTIONS[row % len(CAPTIONS)]
            Image.open(path).convert("RGB").save(folder / path.name)
            lines.write(json.dumps({"file_name": path.name, "text": caption}) + "\n")
            writer.add(Sample(image=(folder / path.name).read_bytes(), image_id=path.stem, diagnosis="nv",
                              split="train", caption=caption))  # fmt: skip
    return str(place / "dataset"), str(folder)


def run(case: str, job: dict[str, Any]) -> dict[str, float]:
    """Runs one case in a process and in a folder of its own.

    Raises:
        SystemExit: It failed.
    """
    with tempfile.TemporaryDirectory() as output:
        environment = {**os.environ, "HF_HOME": output, "HF_HUB_OFFLINE": "1", "LESIONGEN_CACHE": ""}
        command = [sys.executable, str(CASES), case, json.dumps({**job, "output": output})]
        done = subprocess.run(command, capture_output=True, text=True, env=environment)
        if done.returncode != 0:
            raise SystemExit(f"{case}\n{done.stderr[-3000:]}")
        measured: dict[str, float] = json.loads(Path(output, "result.json").read_text())
        return measured


def report(results: dict[str, list[dict[str, float]]], batch: int, images: int, theirs: str) -> str:
    """Lays out the table and the sentences below it; ratios are medians of the pairs' ratios."""
    rows = []
    for case in ("lesiongen", theirs, "floor"):
        runs = results[case]
        rows.append([
            case,
            spread([batch / run["step"] for run in runs]),
            spread([run["step"] for run in runs], ".3f"),
            spread([run["processor"] for run in runs], ".3f"),
            spread([run["peak"] for run in runs], ".0f"),
            spread([run["start"] for run in runs], ".1f"),
        ])  # fmt: skip

    def ratio(first: str, second: str, field: str) -> str:
        """Returns the ratios of a field of two cases, round by round."""
        pairs = zip(results[first], results[second], strict=True)
        return spread([one[field] / two[field] for one, two in pairs])

    encoding = statistics.median(run["encoding"] for run in results["encoding"])
    step, slower = (statistics.median(run["step"] for run in results[name]) for name in ("lesiongen", theirs))
    paid = f"after {encoding / (slower - step):.0f} steps" if slower > step else "never"
    lines = [
        table(
            [
                "case",
                "images a second",
                "seconds a step",
                "processor seconds a step",
                "peak MiB",
                "seconds to first step",
            ],
            rows,
        ),
        f"Speed over {theirs}: {ratio(theirs, 'lesiongen', 'step')}; "
        f"by processor time {ratio(theirs, 'lesiongen', 'processor')}.",
        f"Of the floor's speed: {ratio('floor', 'lesiongen', 'step')}; "
        f"by processor time {ratio('floor', 'lesiongen', 'processor')}.",
        f"Peak memory over {theirs}: {ratio('lesiongen', theirs, 'peak')}.",
        f"Encoding {images} images in both mirrorings takes {encoding:.1f} s, paid for {paid}.",
    ]
    return "\n\n".join(lines)


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer", type=Path, help="diffusers' train_text_to_image_lora.py")
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--warm", type=int, default=3, help="first steps that are not counted")
    parser.add_argument("--images", type=int, default=48)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--rank", type=int, default=16)
    parser.add_argument("--precision", choices=["fp32", "fp16", "bf16"], default="fp32")
    parser.add_argument("--widths", choices=list(WIDTHS), default="half", help="of the Stable Diffusion 1.x")
    given = parser.parse_args()
    theirs = "peer" if given.peer else "plain"
    names = ("torch", "diffusers", "transformers", "peft", "accelerate")
    print(f"{machine()}; {versions(*names)}; LoRA of rank {given.rank}, {given.size} px, batch {given.batch}, "
          f"{given.precision}\n")  # fmt: skip
    with tempfile.TemporaryDirectory() as name:
        model = build_model(Path(name) / "model", given.widths)
        dataset, folder = write_images(Path(name), given.images, given.size)
        settings = {key: getattr(given, key) for key in ("steps", "warm", "size", "batch", "rank", "precision")}
        places = {"model": str(model), "dataset": dataset, "folder": folder, "peer": str(given.peer)}
        results: dict[str, list[dict[str, float]]] = {"lesiongen": [], theirs: [], "floor": [], "encoding": []}
        for turn in range(given.pairs):
            for case in list(results)[:: -1 if turn % 2 else 1]:
                results[case].append(run(case, settings | places))
                print(turn, case, json.dumps(results[case][-1]), file=sys.stderr, flush=True)
    print(report(results, given.batch, given.images, theirs))


if __name__ == "__main__":
    main()
