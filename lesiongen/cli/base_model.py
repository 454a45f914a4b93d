"""``lesiongen base-model``: the tiny base model on its own."""

from typing import TYPE_CHECKING, Annotated

import typer

from lesiongen.cli.defaults import with_defaults_of
from lesiongen.cli.options import (
    ConfigFile,
    Json,
    Values,
    chosen_fields,
    console,
    print_json,
    require_datasets,
    with_addresses,
    with_examples,
)
from lesiongen.errors import UsageError

if TYPE_CHECKING:
    from lesiongen.diffusion import PretrainConfig
    from lesiongen.references import ModelReference

__all__ = ["app", "build_command"]

app = typer.Typer(no_args_is_help=True, help="Build base models.")


@app.callback()
def _group() -> None:
    """Build base models."""


def build_command(
    output: Annotated[str, typer.Option(help="A new folder or s3:// prefix for the model.")],
    dataset: Annotated[
        str | None, typer.Option(help="Dataset whose train split the VAE and the text encoder are fitted to.")
    ] = None,
    parts: Annotated[
        int | None, typer.Option(help="Trainings of the denoiser, one after the other; 0: it stays random.")
    ] = None,
    leave_out: Annotated[
        list[str] | None,
        typer.Option(
            metavar="DATASET",
            help="A dataset to be tested on: images of it are not trained on. Repeatable.",
        ),
    ] = None,
    seed: Annotated[int | None, typer.Option(help="The same seed gives the same model.")] = None,
    values: Values = None,
    config_file: ConfigFile = None,
    as_json: Json = False,
) -> None:
    """Build the tiny base model: Stable Diffusion's parts, small enough for a CPU.

    Without --parts its denoiser is random: it is fine-tuning that trains it, and `lesiongen finetune --base tiny`
    builds one by itself. With --parts it is trained, the model lists all that it has seen, and evaluations leave these
    images out. Stopped, the same command goes on; each part leaves a whole model in OUTPUT-parts.

    Examples:
      lesiongen base-model build --dataset captioned --output base

      lesiongen base-model build --dataset cc0 --leave-out ham10000 --parts 4 --output base

      lesiongen base-model build --output random-base --set image_size=32
    """
    from lesiongen.config import parse_config
    from lesiongen.diffusion import PretrainConfig

    config = parse_config(PretrainConfig, chosen_fields(values, {"parts": parts, "seed": seed}))
    if config.parts and dataset is None:
        raise UsageError("--parts needs a dataset to train on", hint="Name a captioned dataset with --dataset.")
    if leave_out and not config.parts:
        raise UsageError("--leave-out has no effect without --parts", hint="Set --parts to 1 or more.")
    require_datasets(dataset, *(leave_out or []))
    reference = _built(config, dataset, output, leave_out or [])
    if as_json:
        print_json(reference.model_dump())
        return
    console.print(f"{reference.uri}: a tiny base model, version {reference.version[:12]}")


def _built(config: "PretrainConfig", dataset: str | None, output: str, leave_out: list[str]) -> "ModelReference":
    if config.parts and dataset is not None:
        from lesiongen.diffusion import pretrain

        return pretrain(config, dataset, output, leave_out=leave_out)
    from lesiongen.diffusion.tiny.build import publish_base_model

    return publish_base_model(config.tiny, dataset, output)


app.command("build", cls=with_defaults_of("lesiongen.diffusion:PretrainConfig"), help=with_examples(build_command))(
    with_addresses(build_command)
)
