"""``lesiongen sample``: draw synthetic images."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from lesiongen.cli.options import ConfigFile, Json, Values, console, given, print_json, read_yaml, set_values

__all__ = ["sample_command"]


class Captions(StrEnum):
    """Where the prompts come from."""

    dataset = "dataset"
    reference = "reference"


def sample_command(
    model: Annotated[str, typer.Argument(help="A generator: a folder, an s3:// prefix, or a hub id.")],
    output: Annotated[str, typer.Option(help="A new folder or s3:// prefix for the synthetic dataset.")],
    dataset: Annotated[
        str | None, typer.Option(help="The captioned dataset; captions come from its train split alone.")
    ] = None,
    per_class: Annotated[int | None, typer.Option(help="Images of each diagnosis.")] = None,
    plan: Annotated[
        str | None,
        typer.Option(help="YAML file of diagnosis: count, or 'balance' to fill what the training set lacks."),
    ] = None,
    captions: Annotated[
        Captions | None, typer.Option(help="The dataset's captions, or the reference method's three prompts.")
    ] = None,
    guidance: Annotated[float | None, typer.Option(help="Guidance scale; 1 is without guidance.")] = None,
    steps: Annotated[int | None, typer.Option(help="Denoising steps.")] = None,
    seed: Annotated[int | None, typer.Option(help="The same seed gives the same images.")] = None,
    values: Values = None,
    config_file: ConfigFile = None,
    as_json: Json = False,
) -> None:
    """Draw synthetic images with a generator and publish them as a dataset.

    Examples:
      lesiongen sample generator --output synthetic --dataset captioned --per-class 50

      lesiongen sample generator --output synthetic --dataset captioned --plan balance

      lesiongen sample s3://bucket/models/mel --output synthetic --captions reference --plan plan.yaml
    """
    from lesiongen.config import parse_config
    from lesiongen.diffusion import SampleConfig, sample

    chosen = given(
        {
            "per_class": per_class,
            "plan": _plan(plan),
            "captions": captions and captions.value,
            "guidance_scale": guidance,
            "steps": steps,
            "seed": seed,
        }
    )
    config = parse_config(SampleConfig, {**set_values(values), **chosen})
    result = sample(config, model, output, dataset=dataset)
    if as_json:
        print_json(result.dataset.model_dump() | {"contact_sheet": result.contact_sheet})
        return
    console.print(f"{result.dataset.uri}: {result.dataset.rows} synthetic images")
    console.print(f"Look at {result.contact_sheet}")


def _plan(plan: str | None) -> dict[str, Any] | str | None:
    return plan if plan in (None, "balance") else read_yaml(Path(plan))
