"""``lesiongen select``: the synthetic images that are worth training on."""

from typing import Annotated

import typer

from lesiongen.cli.options import (
    ConfigFile,
    Json,
    Values,
    chosen_fields,
    console,
    print_json,
    require_datasets,
)

__all__ = ["select_command"]


def select_command(
    synthetic: Annotated[str, typer.Argument(help="Dataset of synthetic images.")],
    real: Annotated[str, typer.Option(help="Dataset of real images; its train and validation splits are read.")],
    output: Annotated[str, typer.Option(help="A new folder or s3:// prefix for the images that are kept.")],
    keep: Annotated[
        float | None, typer.Option(help="Share of each diagnosis that is kept, the best recognised first.")
    ] = None,
    drop_near_copies: Annotated[
        bool | None,
        typer.Option(
            "--drop-near-copies/--keep-near-copies",
            help="Drop images nearer to a training image than validation images are, or not.",
        ),
    ] = None,
    classifier: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="What recognises the diagnoses; another one should judge the result."),
    ] = None,
    n_seeds: Annotated[int | None, typer.Option(help="Classifiers whose mean probability counts.")] = None,
    values: Values = None,
    config_file: ConfigFile = None,
    as_json: Json = False,
) -> None:
    """Keep the synthetic images that are recognised as their diagnosis, and drop near copies of training images.

    Classifiers trained on the real training images say how well each image shows its diagnosis; the same share of each
    diagnosis is kept. What is a near copy is measured on validation images. The test split is not opened.

    Examples:
      lesiongen select synthetic --real captioned --output selected --keep 0.7

      lesiongen select synthetic --real captioned --output without-copies --keep 1

      lesiongen select synthetic --real captioned --output selected --classifier lite0 --keep-near-copies
    """
    from lesiongen.config import parse_config
    from lesiongen.evaluation import SelectConfig

    flags = {"keep": keep, "drop_near_copies": drop_near_copies, "classifier": classifier, "n_seeds": n_seeds}
    config = parse_config(SelectConfig, chosen_fields(values, flags))
    require_datasets(synthetic, real)
    from lesiongen.evaluation import select

    result = select(config, synthetic, real, output)
    if as_json:
        print_json({**result.dataset.model_dump(), "report": result.report})
        return
    console.print(f"{result.dataset.uri}: {result.dataset.rows:,} images kept", markup=False)
    console.print(f"Report: {result.report}", markup=False)
