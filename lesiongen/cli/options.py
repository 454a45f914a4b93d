"""Options that several commands share."""

import functools
import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from lesiongen.cli.renamed import new_flag
from lesiongen.config import parse_yaml
from lesiongen.errors import UsageError
from lesiongen.outlets import can_show
from lesiongen.redaction import shown

__all__ = [
    "ConfigFile",
    "Json",
    "PartOfJob",
    "Values",
    "Work",
    "chosen_fields",
    "console",
    "errors_console",
    "given",
    "joined_fields",
    "load_yaml",
    "named_datasets",
    "print_json",
    "print_table",
    "read_yaml",
    "require_datasets",
    "set_values",
    "summary",
    "with_addresses",
    "with_examples",
]


class _Console(Console):
    """A console whose texts hold neither secrets nor characters that a terminal obeys."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Renders an object into segments that may be shown."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(shown(segment.text), segment.style)


console = _Console(highlight=False, soft_wrap=True)
errors_console = _Console(stderr=True, highlight=False, soft_wrap=True)


def load_yaml(path: Path) -> Any:
    """Reads a YAML file.

    Raises:
        UsageError: The file is absent or is not YAML.
    """
    path = _with_address(path)
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is not YAML: {error}") from error
    return parse_yaml(text, str(path))


def read_yaml(path: Path) -> dict[str, Any]:
    """Reads a YAML file that holds a mapping.

    Raises:
        UsageError: The file is absent, is not YAML, or holds something else.
    """
    values = load_yaml(path)
    if not isinstance(values, dict):
        raise UsageError(f"{path} contains no mapping of options to values")
    return values


def _load_defaults(context: typer.Context, path: Path | None) -> Path | None:
    """Makes a file's values the command's defaults, below its flags and its LESIONGEN_ variables."""
    if path is None or context.resilient_parsing:
        return path
    # A key is the option as it is typed (set for --set) or the command's own name of it.
    names = {parameter.name: str(parameter.name) for parameter in context.command.params}
    for parameter in context.command.params:
        names |= {option.lstrip("-").replace("-", "_"): str(parameter.name) for option in parameter.opts}
    values = {}
    for key, value in read_yaml(path).items():
        if (name := names.get(str(key).replace("-", "_"))) is None:
            new = new_flag(str(context.info_name), f"--{str(key).replace('_', '-')}")
            now = f"; it is now called {new.removeprefix('--')}" if new else ""
            # Where --set takes fields of one configuration; those of a pipeline's stages are changes, not values.
            field = f"A field without an option of its own is written in the list set: set: [{key}=…]"
            hint = field if "values" in names and not new else None
            raise UsageError(f"{path}: unknown option {key} of {context.command_path}{now}", hint=hint)
        values[name] = value
    context.default_map = {**(context.default_map or {}), **values}
    return path


ConfigFile = Annotated[
    Path | None,
    typer.Option(
        "--config",
        metavar="FILE",
        is_eager=True,
        callback=_load_defaults,
        help="YAML file with values for these options; flags and LESIONGEN_… variables win over it.",
    ),
]
Values = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="FIELD=VALUE",
        help="Any other field of the stage's configuration; an unknown field's error lists all. Repeatable.",
    ),
]
PartOfJob = Annotated[
    str | None, typer.Option(metavar="I/N", help="Only the I-th of N parts; lesiongen merge makes them one.")
]
Work = Annotated[
    str | None, typer.Option(help="Where unfinished work is kept, for a next attempt; by default in the output.")
]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON, for another program.")]


def set_values(pairs: list[str] | None) -> dict[str, Any]:
    """Parses ``--set field=value`` pairs; values are read as YAML, so ``max_train_steps=200`` is a number.

    A field within a field is written with a dot: ``vision_language.timeout=30``.

    Raises:
        UsageError: A pair has no ``=``, its value is not YAML, or a field is given whole and in parts.
    """
    values: dict[str, Any] = {}
    for pair in pairs or []:
        field, equals, text = pair.partition("=")
        if not equals:
            raise UsageError(f"--set {pair}: write field=value")
        *outer, name = field.strip().replace("-", "_").split(".")
        place = values
        for part in outer:
            place = place.setdefault(part, {})
            if not isinstance(place, dict):
                raise UsageError(f"--set {pair}: {part} has been given as a whole")
        place[name] = parse_yaml(text, f"--set {pair[:200]}: the value")
    return values


def chosen_fields(pairs: list[str] | None, flags: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the fields of a configuration that a command is given by ``--set`` and by flags of their own.

    Args:
        pairs: The values of ``--set``.
        flags: By field, the values of the flags; None: not given.

    Raises:
        UsageError: A field is given in both ways, or a pair of ``--set`` is wrong.
    """
    return joined_fields(set_values(pairs), given(flags))


def joined_fields(fields: Mapping[str, Any], flags: Mapping[str, Any], place: str = "") -> dict[str, Any]:
    """Returns fields of ``--set`` and of flags together.

    Args:
        fields: Those of ``--set``.
        flags: Those of flags.
        place: What the name of a field begins with: a field around it and a dot.

    Raises:
        UsageError: A field is among both.
    """
    if twice := sorted(fields.keys() & flags):
        hint = "Omit one of the two. Variables and the --config file count too."
        raise UsageError(f"{place}{twice[0]} is given twice: by --set and by an option of its own", hint=hint)
    return {**fields, **flags}


def named_datasets(pairs: list[str] | None) -> dict[str, str]:
    """Parses ``NAME=DATASET`` pairs into addresses by name.

    Raises:
        UsageError: A pair lacks one of the two, or a name is given twice.
    """
    from lesiongen.storage import normal_address

    found: dict[str, str] = {}
    for pair in pairs or []:
        name, _, address = (part.strip() for part in pair.partition("="))
        if not name or not address:
            raise UsageError(f"{pair!r} is not NAME=DATASET", hint="For example: pad=data/pad.")
        if name in found:
            raise UsageError(f"{pair!r}: the name {name} is given twice")
        found[name] = normal_address(address)
    return found


def require_datasets(*uris: str | None) -> None:
    """Refuses what is not a dataset, before a stage's libraries are loaded, which takes seconds.

    Raises:
        LesionGenError: One of the addresses is not that of a dataset; the message names it.
    """
    from lesiongen.dataset import Dataset

    for uri in uris:
        if uri is not None:
            Dataset.open(uri)


def print_json(value: object) -> None:
    """Prints a value as JSON on standard output, in one piece whatever the terminal's width."""
    import json

    text = json.dumps(value, indent=2, ensure_ascii=False, default=str)
    if not can_show(text):
        text = json.dumps(value, indent=2, default=str)
    typer.echo(shown(text))


def print_table(header: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
    """Prints rows below a header, in columns as wide as their longest cell."""
    table = [header, *(tuple(shown(cell) for cell in row) for row in rows)]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for row in table:
        typer.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def given(values: Mapping[str, Any]) -> dict[str, Any]:
    """Keeps the options that were given, so that a configuration's own defaults fill the rest."""
    return {name: value for name, value in values.items() if value is not None}


def with_addresses(command: Callable[..., None]) -> Callable[..., None]:
    """Returns a command that reads ``~/x`` and ``S3://x`` alike wherever they come from: flags, variables, files."""

    @functools.wraps(command)
    def run(**values: Any) -> None:
        """Runs the command with normalised addresses."""
        command(**{name: _with_address(value) for name, value in values.items()})

    return run


def _with_address(value: Any) -> Any:
    from lesiongen.storage import normal_address

    if isinstance(value, list):
        return [_with_address(item) for item in value]
    return type(value)(normal_address(str(value))) if type(value) is str or isinstance(value, Path) else value


def summary(command: Callable[..., None]) -> str:
    """Returns the first sentence of a command's docstring, for the list of commands; typer would cut it short."""
    return (inspect.getdoc(command) or "").partition("\n\n")[0]


def with_examples(command: Callable[..., None]) -> str:
    """Returns the help of a command from its docstring, examples on lines of their own, to be copied."""
    text, heading, examples = (inspect.getdoc(command) or "").partition("Examples:\n")
    # Before a paragraph, \b keeps its lines as they are.
    return text + (heading and "\b\n" + heading) + examples.replace("\n\n", "\n")
