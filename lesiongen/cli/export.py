"""``lesiongen export``: synthetic images as a folder to hand on."""

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from lesiongen.cli.options import ConfigFile, Json, console, given, print_json

if TYPE_CHECKING:
    from lesiongen.exporting import ExportResult

__all__ = ["export_command"]


class LeaveOut(StrEnum):
    """Which images are not exported."""

    near_copies = "near-copies"


def export_command(
    dataset: Annotated[str, typer.Argument(help="Dataset of synthetic images: a folder or s3:// prefix.")],
    output: Annotated[str, typer.Option(help="A new folder or s3:// prefix.")],
    evaluation: Annotated[
        str | None, typer.Option(help="The evaluation of these images, which says which are near copies.")
    ] = None,
    leave_out: Annotated[LeaveOut | None, typer.Option(help="Images that are not exported.")] = None,
    name: Annotated[str | None, typer.Option(help="Name of the export; that of the dataset unless given.")] = None,
    model_name: Annotated[str | None, typer.Option(help="What the generator is called on the card.")] = None,
    licence: Annotated[str | None, typer.Option(help="Licence, where the dataset states none.")] = None,
    attribution: Annotated[str | None, typer.Option(help="Whom to name, where the dataset names nobody.")] = None,
    config_file: ConfigFile = None,
    as_json: Json = False,
) -> None:
    """Write synthetic images as a folder that can be handed on: PNG files, a table, a card, a licence, checksums.

    Each image says in its own file that it is synthetic and how it was made. The table has the columns of the ISIC
    archive, and Hugging Face's imagefolder opens the folder. Ids of patients, lesions and training images stay here;
    a dataset with an image that is not synthetic is refused.

    Examples:
      lesiongen export data/synthetic --output export

      lesiongen export data/synthetic --output export --evaluation evaluations/lesions --leave-out near-copies

      lesiongen export data/synthetic --output s3://bucket/export --model-name lesions-2026 --licence "CC BY 4.0"
    """
    from lesiongen.config import parse_config
    from lesiongen.exporting import ExportConfig, export

    chosen = {
        "name": name,
        "leave_out": leave_out and leave_out.value,
        "model_name": model_name,
        "licence": licence,
        "attribution": attribution,
    }
    result = export(parse_config(ExportConfig, given(chosen)), dataset, output, evaluation)
    if as_json:
        print_json({"uri": result.uri, "card": result.card, **result.record.model_dump(mode="json")})
    else:
        _show(result)


def _show(result: "ExportResult") -> None:
    record, copies = result.record, result.record.near_copies
    console.print(f"{result.uri}: {record.images or 0:,} images", markup=False)
    if copies is None and record.near_copies_left_out_before is not None:
        console.print(
            f"Near copies: {record.near_copies_left_out_before:,} dropped by a selection before", markup=False
        )
    elif copies is None:
        console.print("Near copies: not looked for; --evaluation names them", markup=False)
    elif copies.left_out or not copies.found:
        console.print(f"Near copies: {copies.left_out or 0:,} left out", markup=False)
    else:
        text = f"Near copies: {copies.found:,} are exported; --leave-out near-copies leaves them out"
        console.print(text, style="yellow", markup=False)
    console.print(f"Licence: {record.licence}", markup=False)
    console.print(f"Card: {result.card}", markup=False)
