"""Batched sampling beside a plain diffusers pipeline called image by image, and its memory for N and 4 N images.

    python benchmarks/sampling.py

Both draw from the same model with random weights, at the same size, guidance, steps and scheduler: in fp32, and in the
half precision that sampling takes by itself on this machine, where it takes one. The peak of memory is that of the
whole sampling stage, in a process of its own for each number of images.
"""

import argparse
import resource
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from harness import machine, paired, spread, table, versions
from reduced_model import WIDTHS, build_model

from lesiongen.diffusion.precision import HALF, drawing_precision
from lesiongen.diffusion.sampling.config import SampleConfig
from lesiongen.diffusion.sampling.generator import load_generator
from lesiongen.diffusion.sampling.plan import Request
from lesiongen.diffusion.sampling.stage import sample
from lesiongen.diffusion.tiny.build import build_base_model
from lesiongen.diffusion.tiny.config import TinyBaseConfig

PROMPT = "melanoma, dark brown, irregular border"


def speed(model: Path, given: argparse.Namespace) -> str:
    """Returns the table of images a second."""
    config = SampleConfig(per_class=1, image_size=given.size, num_inference_steps=given.steps)
    precisions = list(dict.fromkeys(["fp32", drawing_precision("auto")]))
    cases = {f"{name}, {precision}": make(model, config, given, precision)
             for precision in precisions for name, make in (("lesiongen", _ours), ("plain", _plain))}  # fmt: skip
    seconds = paired(cases, given.pairs)
    over = {precision: _ratios(seconds["plain, fp32"], seconds[f"lesiongen, {precision}"]) for precision in precisions}
    rows = [[name, spread([given.batch / value for value in values])] for name, values in seconds.items()]
    text = [table(["case", "images a second"], rows), ""]
    text += [f"lesiongen in {precision} over plain in fp32: {spread(ratios)}." for precision, ratios in over.items()]
    if (half := precisions[-1]) != "fp32":
        ratios = _ratios(seconds[f"plain, {half}"], seconds[f"lesiongen, {half}"])
        text.append(f"Both in {half}: {spread(ratios)}.")
    return "\n".join(text)


def _ratios(slow: list[float], fast: list[float]) -> list[float]:
    return [one / other for one, other in zip(slow, fast, strict=True)]


def _ours(model: Path, config: SampleConfig, given: argparse.Namespace, precision: str) -> Callable[[], object]:
    generator = load_generator(str(model), precision=precision)
    generator.set_scheduler(config.scheduler)
    plan = [Request(row, "mel", PROMPT, config.guidance_scale, given.steps) for row in range(given.batch)]
    return lambda: generator.draw(plan, config)


def _plain(model: Path, config: SampleConfig, given: argparse.Namespace, precision: str) -> Callable[[], object]:
    pipeline = _pipeline(model, HALF.get(precision, torch.float32))

    def one_by_one() -> None:
        """Draws each image by a call of its own."""
        for row in range(given.batch):
            pipeline(prompt=PROMPT, num_inference_steps=given.steps, guidance_scale=config.guidance_scale,
                     generator=torch.Generator().manual_seed(row), height=given.size, width=given.size)  # fmt: skip

    return one_by_one


def _pipeline(model: Path, dtype: torch.dtype) -> Any:
    from diffusers import DPMSolverMultistepScheduler, StableDiffusionPipeline

    pipeline: Any = StableDiffusionPipeline.from_pretrained(model, safety_checker=None, dtype=dtype)
    pipeline.set_progress_bar_config(disable=True)
    pipeline.to("cuda" if torch.cuda.is_available() else "cpu")
    pipeline.scheduler = DPMSolverMultistepScheduler.from_config(
        pipeline.scheduler.config, timestep_spacing="trailing", final_sigmas_type="zero"
    )
    return pipeline


def peak(model: Path, output: Path, given: argparse.Namespace, count: int) -> float:
    """Returns the peak of resident memory, in MiB, of drawing so many images."""
    command = [sys.executable, __file__, "--stage", str(model), str(output), "--count", str(count),
               "--size", str(given.size), "--steps", "2", "--batch", str(given.batch)]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(done.stderr[-3000:])
    return float(done.stdout.splitlines()[-1])


def main() -> None:
    """Measures and prints; as the process of a stage only draws, and prints its peak."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument(
        "--stages", type=int, default=2, help="times that each number of images is drawn for its memory"
    )
    parser.add_argument("--count", type=int, default=16, help="N: memory is measured for it and four times as many")
    widths = parser.add_mutually_exclusive_group()
    widths.add_argument("--widths", choices=list(WIDTHS), default="half", help="of the Stable Diffusion 1.x that draws")
    widths.add_argument("--tiny", action="store_true", help="the tiny base model; 64 px is its size")
    parser.add_argument("--stage", nargs=2, metavar=("MODEL", "OUTPUT"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.stage:
        config = SampleConfig(plan={"mel": given.count}, captions="reference", image_size=given.size,
                              num_inference_steps=given.steps, batch_size=given.batch)  # fmt: skip
        sample(config, *given.stage)
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10)
        return
    print(f"{machine()}; {versions('torch', 'diffusers')}; {given.size} px, {given.steps} steps, "
          f"batch {given.batch}\n")  # fmt: skip
    with tempfile.TemporaryDirectory() as name:
        model = Path(name) / "model"
        if given.tiny:
            build_base_model(TinyBaseConfig(), None, model)
        else:
            build_model(model, given.widths)
        print(speed(model, given))
        few, many = ([peak(model, Path(name) / f"{count}-{turn}", given, count) for turn in range(given.stages)]
                     for count in (given.count, 4 * given.count))  # fmt: skip
    ratio = statistics.median(many) / statistics.median(few)
    print(f"\nPeak memory: {spread(few, '.0f')} MiB for {given.count} images, {spread(many, '.0f')} MiB for "
          f"{4 * given.count}: {ratio:.2f} times.")  # fmt: skip


if __name__ == "__main__":
    main()
