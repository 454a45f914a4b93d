"""``lesiongen reconstruct``: the training images through the autoencoder of a generator."""

from typing import Annotated

import typer

from lesiongen.cli.options import (
    ConfigFile,
    Json,
    Values,
    Work,
    chosen_fields,
    console,
    print_json,
    require_datasets,
)

__all__ = ["reconstruct_command"]

ImageSize = Annotated[
    int | None, typer.Option(help="Side in pixels, a multiple of 8; by default that of the model's training.")
]
Base = Annotated[str | None, typer.Option(help="Where the base of an adapter is, if it has moved since the training.")]


def reconstruct_command(
    model: Annotated[str, typer.Argument(help="A generator: a folder, an s3:// prefix, or a hub id.")],
    dataset: Annotated[str, typer.Option(help="The dataset of real images; only its train split is read.")],
    output: Annotated[str, typer.Option(help="A new folder or s3:// prefix for the dataset of reconstructions.")],
    image_size: ImageSize = None,
    base: Base = None,
    work: Work = None,
    values: Values = None,
    config_file: ConfigFile = None,
    as_json: Json = False,
) -> None:
    """Pass the training images through a generator's autoencoder and publish them as a dataset.

    `lesiongen evaluate --reconstructed` trains a classifier on them: what it loses against real images is lost by the
    autoencoder, the rest by the denoiser. The images show patients. Each says that it is a reconstruction.
    Stopped by SIGTERM or Ctrl-C, it keeps the finished batches and exits with 75; the same command makes the rest.

    Examples:
      lesiongen reconstruct generator --dataset captioned --output reconstructed

      lesiongen reconstruct s3://bucket/models/mel --dataset s3://bucket/captioned --output reconstructed

      lesiongen reconstruct CompVis/stable-diffusion-v1-4 --image-size 512 --dataset captioned --output ceiling
    """
    from lesiongen.config import parse_config
    from lesiongen.diffusion import ReconstructConfig

    config = parse_config(ReconstructConfig, chosen_fields(values, {"image_size": image_size, "base": base}))
    require_datasets(dataset)
    from lesiongen.diffusion import reconstruct

    result = reconstruct(config, model, dataset, output, work=work)
    if as_json:
        print_json(result.dataset.model_dump())
        return
    console.print(f"{result.dataset.uri}: reconstructions: {result.dataset.rows:,}", markup=False)
