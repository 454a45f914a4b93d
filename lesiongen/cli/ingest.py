"""``lesiongen ingest``: turn a collection into a dataset."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lesiongen.cli.options import (
    ConfigFile,
    Json,
    Values,
    chosen_fields,
    console,
    print_json,
    read_yaml,
)

if TYPE_CHECKING:
    from lesiongen.ingestion import IngestResult

__all__ = ["ingest_command"]


class OnError(StrEnum):
    """What happens to rows that cannot be used."""

    fail = "fail"
    reject = "reject"


class UnknownDiagnosis(StrEnum):
    """What happens to labels outside the taxonomy."""

    reject = "reject"
    keep = "keep"


Source = Annotated[str, typer.Option(help="Folder, zip or tar archive, or s3:// address with images and a table.")]
Output = Annotated[str, typer.Option(help="A new folder or s3:// prefix for the dataset.")]
Collection = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        autocompletion=lambda: _formats(),
        help="The collection, which says how its table is read; `lesiongen datasets` lists them. Required.",
    ),
]
Options = Annotated[
    list[str] | None,
    typer.Option("--option", metavar="NAME=VALUE", help="What the format lets one choose; repeatable."),
]
Limit = Annotated[int | None, typer.Option(help="At most this many rows, drawn by the seed.")]
KeepSplit = Annotated[
    bool | None, typer.Option("--keep-official-split", help="Keep the split that the source was published with.")
]
Errors = Annotated[OnError | None, typer.Option(help="Fail at any unusable row, or leave such rows out and list them.")]
MaxRejected = Annotated[float | None, typer.Option(help="Share of rejected rows that still passes.")]
Unknown = Annotated[UnknownDiagnosis | None, typer.Option(help="Reject labels outside the taxonomy, or keep them.")]
Columns = Annotated[
    list[str] | None,
    typer.Option(metavar="CANONICAL=OWN", help="image_folder: what the table calls a column; repeatable."),
]
ColumnsFile = Annotated[
    Path | None,
    typer.Option("--columns", metavar="FILE", help="image_folder: YAML file of canonical: own, for many columns."),
]


def ingest_command(
    source: Source,
    output: Output,
    format: Collection = None,
    name: Annotated[str | None, typer.Option(help="Name of the dataset; by default the source's.")] = None,
    seed: Annotated[int | None, typer.Option(help="The same seed gives the same splits.")] = None,
    limit: Limit = None,
    keep_official_split: KeepSplit = None,
    on_error: Errors = None,
    max_rejected: MaxRejected = None,
    unknown_diagnosis: Unknown = None,
    option: Options = None,
    column: Columns = None,
    columns: ColumnsFile = None,
    licence: Annotated[str | None, typer.Option(help="image_folder: licence of the images.")] = None,
    attribution: Annotated[str | None, typer.Option(help="image_folder: whom to name.")] = None,
    values: Values = None,
    config_file: ConfigFile = None,
    as_json: Json = False,
) -> None:
    """Turn a collection of images and a table into a dataset, split by lesion and patient.

    Rows that cannot be used are named with file, row, column, value and reason.

    Examples:
      lesiongen ingest --format ham10000 --source HAM10000 --output data/ham10000

      lesiongen ingest --format image_folder --source photos.zip --output data/photos --column diagnosis=label
    """
    from lesiongen.config import parse_config
    from lesiongen.ingestion import IngestConfig, ingest
    from lesiongen.ingestion.likely_format import no_format

    chosen = {
        "format": format,
        "name": name,
        "seed": seed,
        "limit": limit,
        "keep_official_split": keep_official_split,
        "on_error": on_error and on_error.value,
        "max_rejected": max_rejected,
        "unknown_diagnosis": unknown_diagnosis and unknown_diagnosis.value,
        "options": _pairs("option", option) or None,
        "columns": _columns(column, columns) or None,
        "licence": licence,
        "attribution": attribution,
    }
    settings = chosen_fields(values, chosen)
    if "format" not in settings:
        raise no_format(source)
    result = ingest(parse_config(IngestConfig, settings), source, output)
    if as_json:
        rows = {"rejected": result.rejected, "left_out": result.left_out}
        listed = {name: [vars(item) for item in items] for name, items in rows.items()}
        counts = {"accepted": result.accepted, "removed_metadata": result.removed_metadata, "notes": result.notes}
        print_json(result.dataset.model_dump() | counts | listed)
    else:
        _show(result)


def _formats() -> list[str]:
    from lesiongen.ingestion.formats import FORMATS

    return list(FORMATS)


def _columns(pairs: list[str] | None, file: Path | None = None) -> dict[str, str]:
    """Joins --columns and --column; the latter win."""
    of_file = {str(canonical): str(own) for canonical, own in read_yaml(file).items()} if file else {}
    return {canonical.replace("-", "_"): own for canonical, own in (of_file | _pairs("column", pairs)).items()}


def _pairs(flag: str, pairs: list[str] | None) -> dict[str, str]:
    """Parses ``--flag name=value``; a value is plain text (``yes`` is a name like any other)."""
    from lesiongen.errors import UsageError

    values: dict[str, str] = {}
    for pair in pairs or []:
        name, _, value = pair.partition("=")
        if not name or not value:
            form = "canonical=own, for example diagnosis=label" if flag == "column" else "name=value"
            raise UsageError(f"--{flag} {pair}: write {form}")
        values[name.strip()] = value
    return values


def _show(result: "IngestResult") -> None:
    from lesiongen.ingestion import LEFT_OUT_NAMES, counted

    console.print(f"{result.dataset.uri}: {result.accepted:,} images", markup=False)
    for title, counts in (("splits", result.dataset.splits), ("classes", result.dataset.classes)):
        console.print(f"  {title}: {', '.join(f'{key} {count:,}' for key, count in counts.items())}", markup=False)
    for kind, name in LEFT_OUT_NAMES.items():
        if items := [item for item in (*result.rejected, *result.left_out) if item.kind == kind]:
            console.print(f"  {counted(items)} {kind}, see {name} in its folder", markup=False)
    if result.removed_metadata:
        kinds_removed = ", ".join(f"{kind} {count:,}" for kind, count in result.removed_metadata.items())
        console.print(f"  removed from image files: {kinds_removed}", markup=False)
    for note in result.notes:
        console.print(f"  {note}", markup=False)
