"""``lesiongen phantoms``: generated lesions to try the platform with."""

from typing import Annotated

import typer

from lesiongen.cli.options import ConfigFile

__all__ = ["phantoms_command"]


def phantoms_command(
    output: Annotated[str, typer.Option(help="A new folder for images/, metadata.csv and concepts.jsonl.")],
    n: Annotated[int, typer.Option("--n", help="Number of images.")] = 600,
    size: Annotated[int, typer.Option(help="Pixels on a side.")] = 64,
    seed: Annotated[int, typer.Option(help="The same seed gives the same images.")] = 0,
    config: ConfigFile = None,
) -> None:
    """Write generated dermoscopic lesions whose concepts are known exactly.

    The seven classes of HAM10000, unbalanced, with few images of dark skin; repeated photographs of a lesion
    and a few exact duplicates included. The folder is read by `ingest --format image_folder`.

    Examples:
      lesiongen phantoms --output phantoms --n 600 --size 64 --seed 0
    """
    from lesiongen.config import parse_config
    from lesiongen.phantoms import PhantomConfig, write_phantoms

    written = write_phantoms(parse_config(PhantomConfig, {"n": n, "size": size, "seed": seed}), output)
    counts = ", ".join(f"{name} {count}" for name, count in written.classes.items())
    typer.echo(f"{written.images} phantoms in {written.folder} ({counts})")
