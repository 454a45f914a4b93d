"""``lesiongen base-model``: the tiny base model on its own."""

from typing import Annotated

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
    seed: Annotated[int | None, typer.Option(help="The same seed gives the same model.")] = None,
    values: Values = None,
    config_file: ConfigFile = None,
    as_json: Json = False,
) -> None:
    """Build the tiny base model: Stable Diffusion's parts, small enough for a CPU.

    Its denoiser is random: it is fine-tuning that trains it. `lesiongen finetune --base tiny` builds one by itself.

    Examples:
      lesiongen base-model build --dataset captioned --output base

      lesiongen base-model build --output random-base --set image_size=32
    """
    from lesiongen.config import parse_config
    from lesiongen.diffusion import TinyBaseConfig

    config = parse_config(TinyBaseConfig, chosen_fields(values, {"seed": seed}))
    require_datasets(dataset)
    from lesiongen.diffusion.tiny.build import publish_base_model

    reference = publish_base_model(config, dataset, output)
    if as_json:
        print_json(reference.model_dump())
        return
    console.print(f"{reference.uri}: a tiny base model, version {reference.version[:12]}")


app.command("build", cls=with_defaults_of("lesiongen.diffusion:TinyBaseConfig"), help=with_examples(build_command))(
    with_addresses(build_command)
)
