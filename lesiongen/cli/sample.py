"""``lesiongen sample``: draw synthetic images."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lesiongen.cli.options import (
    ConfigFile,
    Json,
    PartOfJob,
    Values,
    Work,
    chosen_fields,
    console,
    load_yaml,
    print_json,
)

if TYPE_CHECKING:
    from lesiongen.diffusion import SampleConfig, SampleResult

__all__ = ["sample_command", "show_samples"]


class Captions(StrEnum):
    """Where the prompts come from."""

    dataset = "dataset"
    reference = "reference"


Model = Annotated[str, typer.Argument(help="A generator: a folder, an s3:// prefix, or a hub id.")]
Output = Annotated[str, typer.Option(help="A new folder or s3:// prefix for the synthetic dataset.")]
CaptionedDataset = Annotated[
    str | None, typer.Option(help="The captioned dataset; captions come from its train split alone.")
]
PerClass = Annotated[int | None, typer.Option(help="Images of each diagnosis, without a plan.")]
Plan = Annotated[
    str | None,
    typer.Option(help="YAML file: a count for each diagnosis, or a list of entries; or 'balance' to fill gaps."),
]
BalanceBy = Annotated[
    list[str] | None, typer.Option(help="With --plan balance: fill subgroups too (measured_tone); repeatable.")
]
PromptSource = Annotated[
    Captions | None,
    typer.Option(help="The dataset's captions, or the reference method's prompts, which know no subgroups."),
]
Guidance = Annotated[
    list[float] | None,
    typer.Option(help="Guidance scale; 1 means no guidance. Given several times, each image draws one."),
]
Steps = Annotated[list[int] | None, typer.Option(help="Denoising steps. Given several times, each image draws one.")]
LoraScale = Annotated[float | None, typer.Option(help="How strongly an adapter changes its base.")]
Base = Annotated[str | None, typer.Option(help="Where the base of an adapter is, if it has moved since the training.")]
Only = Annotated[
    list[int] | None, typer.Option(metavar="INDEX", help="Draw this image of the plan again, alone; repeatable.")
]
Seed = Annotated[int | None, typer.Option(help="The same seed gives the same images.")]


def sample_command(
    model: Model,
    output: Output,
    dataset: CaptionedDataset = None,
    per_class: PerClass = None,
    plan: Plan = None,
    balance_by: BalanceBy = None,
    captions: PromptSource = None,
    guidance_scale: Guidance = None,
    num_inference_steps: Steps = None,
    lora_scale: LoraScale = None,
    base: Base = None,
    only: Only = None,
    seed: Seed = None,
    part: PartOfJob = None,
    work: Work = None,
    values: Values = None,
    config_file: ConfigFile = None,
    as_json: Json = False,
) -> None:
    """Draw synthetic images with a generator and publish them as a dataset.

    Stopped by SIGTERM or Ctrl-C, it keeps the finished batches and exits with 75; the same command draws the rest.

    Examples:
      lesiongen sample generator --output synthetic --dataset captioned --per-class 50

      lesiongen sample generator --output synthetic --dataset captioned --plan balance --balance-by measured_tone

      lesiongen sample generator --output part2 --dataset captioned --guidance-scale 1.5 --guidance-scale 3 --part 2/4

      lesiongen sample s3://bucket/models/mel --output synthetic --captions reference --plan plan.yaml
    """
    from lesiongen.dataset import Part

    config = _config(
        values,
        per_class=per_class,
        plan=_plan(plan),
        captions=captions and captions.value,
        balance_by=balance_by or None,
        guidance_scale=_one_or_several(guidance_scale),
        num_inference_steps=_one_or_several(num_inference_steps),
        lora_scale=lora_scale,
        base=base,
        only=only or None,
        seed=seed,
    )
    from lesiongen.diffusion import sample

    result = sample(config, model, output, dataset=dataset, part=Part.parse(part) if part else None, work=work)
    if as_json:
        print_json(result.dataset.model_dump() | {"contact_sheet": result.contact_sheet})
        return
    show_samples(result)


def _config(pairs: list[str] | None, **options: Any) -> "SampleConfig":
    from lesiongen.config import parse_config
    from lesiongen.diffusion import SampleConfig

    return parse_config(SampleConfig, chosen_fields(pairs, options))


def show_samples(result: "SampleResult") -> None:
    """Prints what came of sampling."""
    console.print(f"{result.dataset.uri}: synthetic images: {result.dataset.rows:,}", markup=False)
    console.print(f"Look at {result.contact_sheet}", markup=False)


def _plan(plan: str | None) -> Any:
    from lesiongen.diffusion.sampling.config import BALANCE, parse_plan
    from lesiongen.errors import UsageError

    if plan is None or plan == BALANCE:
        return plan
    if not Path(plan).is_file():
        raise UsageError(f"--plan {plan}: no such file", hint=f"Give a YAML file, or write {BALANCE}.")
    return parse_plan(load_yaml(Path(plan)), plan)


def _one_or_several(values: list[Any] | None) -> Any:
    return values[0] if values and len(values) == 1 else values or None
