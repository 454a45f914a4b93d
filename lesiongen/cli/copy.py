"""``lesiongen copy``: a dataset to another place."""

from typing import Annotated

import typer

from lesiongen.cli.options import ConfigFile, Json, console, print_json

__all__ = ["copy_command"]


def copy_command(
    dataset: Annotated[str, typer.Argument(help="The dataset: a folder or s3:// prefix.")],
    output: Annotated[str, typer.Option(help="A new folder or s3:// prefix, or that of an interrupted copy.")],
    config_file: ConfigFile = None,
    as_json: Json = False,
) -> None:
    """Copy a dataset between folders and S3, checked against its digests; the version stays the same.

    Interrupted and started again, it sends only what is missing.

    Examples:
      lesiongen copy data/ham10000 --output s3://bucket/datasets/ham10000

      lesiongen copy s3://bucket/datasets/ham10000 --output data/ham10000
    """
    from lesiongen.dataset.copying import copy_dataset

    copied = copy_dataset(dataset, output)
    if as_json:
        print_json(copied.reference().model_dump())
    else:
        version = copied.manifest.version[:12]
        console.print(f"{copied.uri}: {len(copied):,} images, version {version}", markup=False)
