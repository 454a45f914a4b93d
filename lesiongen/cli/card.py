"""``lesiongen card``: the model card of a registered generator."""

from typing import Annotated

import typer

from lesiongen.cli.options import ConfigFile, Json, console, print_json

__all__ = ["card_command"]


def card_command(
    name: Annotated[str, typer.Argument(help="Name of the registered model.")],
    version: Annotated[
        str | None,
        typer.Option(help="Version, or alias; by default the champion, without one the challenger."),
    ] = None,
    output: Annotated[
        str | None, typer.Option(help="Folder or s3:// prefix for README.md, card.html and card.json.")
    ] = None,
    licence: Annotated[
        str | None, typer.Option(help="Licence of the weights as Hugging Face names it; unknown unless given.")
    ] = None,
    as_json: Json = False,
    config: ConfigFile = None,
) -> None:
    """Write the model card of a registered generator: use, data, results, memorisation, limits, decision.

    Without --output the Markdown is printed. What the model's documents do not say is named as unknown.

    Examples:
      lesiongen card demo

      lesiongen card demo --version challenger --output cards/demo --licence cc-by-nc-4.0
    """
    from lesiongen.registry import model_card

    card = model_card(name, version, licence=licence)
    written = card.save(output) if output else []
    if as_json:
        print_json(card.facts.model_dump(mode="json"))
    elif written:
        for address in written:
            console.print(address, markup=False)
    else:
        console.print(card.markdown, markup=False, end="")
