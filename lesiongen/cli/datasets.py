"""``lesiongen datasets``: the collections that can be ingested."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from lesiongen.cli.options import ConfigFile, Json, console, print_json

if TYPE_CHECKING:
    from lesiongen.ingestion.rows import Reader

__all__ = ["datasets_command"]


def datasets_command(
    name: Annotated[str | None, typer.Argument(help="One format, to see it in full.")] = None,
    config_file: ConfigFile = None,
    as_json: Json = False,
) -> None:
    """List the collections that ingest reads: where to get them, their licence, what is expected.

    Examples:
      lesiongen datasets

      lesiongen datasets derm7pt
    """
    from lesiongen.errors import UsageError
    from lesiongen.ingestion.config import formats_like
    from lesiongen.ingestion.formats import FORMATS, reader_class

    if name is not None and name not in FORMATS:
        raise UsageError(f"Unknown format {name!r}", hint=f"Formats are {', '.join(formats_like(name))}.")
    shown = {key: reader_class(key) for key in FORMATS if name in (None, key)}
    if as_json:
        print_json([_facts(key, reader) for key, reader in shown.items()])
    elif name is None:
        _list(shown)
    else:
        _describe(_facts(name, shown[name]))


def _facts(name: str, reader: "type[Reader]") -> dict[str, Any]:
    return {
        "format": name,
        "title": reader.title,
        "source": getattr(reader, "source", None),
        "licence": getattr(reader, "licence", None),
        "attribution": getattr(reader, "attribution", None),
        "homepage": reader.homepage,
        "expects": list(reader.expects),
        "options": dict(reader.options),
        "example": f"lesiongen ingest --format {name} --source path/to/{name} --output data/{name}",
    }


def _list(readers: "dict[str, type[Reader]]") -> None:
    width = max(map(len, readers)) + 2
    for name, reader in readers.items():
        licence = getattr(reader, "licence", None) or "licence as its owner says"
        console.print(f"{name:<{width}}{reader.title} ({licence})", markup=False)
        console.print(f"{'':<{width}}{reader.homepage}", markup=False)
    console.print("lesiongen datasets FORMAT shows one in full.", markup=False)


def _describe(facts: dict[str, Any]) -> None:
    console.print(f"{facts['title']} (--format {facts['format']})", markup=False, style="bold")
    for head in ("homepage", "licence", "attribution"):
        if facts[head]:
            console.print(f"{head}: {facts[head]}", markup=False)
    console.print("expects:", markup=False)
    for line in facts["expects"]:
        console.print(f"  {line}", markup=False)
    if facts["options"]:
        console.print("options (--option name=value):", markup=False)
        for option, text in facts["options"].items():
            console.print(f"  {option}: {text}", markup=False)
    console.print("example:", markup=False)
    console.print(f"  {facts['example']}", markup=False)
