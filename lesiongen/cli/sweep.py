"""``lesiongen sweep``: which synthetic images, mixed in how, help on validation images."""

from typing import TYPE_CHECKING, Annotated

import typer

from lesiongen.cli.options import (
    ConfigFile,
    Json,
    Values,
    chosen_fields,
    console,
    named_datasets,
    print_json,
    require_datasets,
)

if TYPE_CHECKING:
    from lesiongen.evaluation import SweepResult

__all__ = ["sweep_command"]


def sweep_command(
    real: Annotated[str, typer.Option(help="Dataset of real images; its train and validation splits are read.")],
    synthetic: Annotated[
        list[str],
        typer.Option(
            metavar="NAME=DATASET", help="A set of synthetic images, such as those of a guidance scale. Repeatable."
        ),
    ],
    output: Annotated[
        str, typer.Option(help="Folder or s3:// prefix: a new one, or that of an earlier call, which is resumed.")
    ],
    classifier: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="What judges; lite0 where that extra is installed, otherwise small."),
    ] = None,
    n_seeds: Annotated[int | None, typer.Option(help="Classifiers trained per candidate.")] = None,
    values: Values = None,
    config_file: ConfigFile = None,
    as_json: Json = False,
) -> None:
    """Choose on validation images how synthetic images are used, and write the choice down.

    Each set and all of them pooled are mixed in by every protocol and share of the grid, with and without a filter;
    real images alone are always a candidate. The simplest within one standard error of the highest mean is chosen. The
    test split is not opened: `lesiongen evaluate --sweep` does that, with the choice. Repeat the command to resume.

    Examples:
      lesiongen sweep --real captioned --synthetic g1=synthetic-g1 --synthetic g4=synthetic-g4 --output sweep

      lesiongen sweep --real captioned --synthetic g1=synthetic --output sweep --set "filters=[{keep: 1}, {keep: 0.5}]"
    """
    from lesiongen.config import parse_config
    from lesiongen.evaluation import SweepConfig

    config = parse_config(SweepConfig, chosen_fields(values, {"classifier": classifier, "n_seeds": n_seeds}))
    sets = named_datasets(synthetic)
    require_datasets(real, *sets.values())
    from lesiongen.evaluation import sweep

    result = sweep(config, sets, real, output)
    if as_json:
        chosen = {name: getattr(result.record, name) for name in ("choice", "best", "tested")}
        print_json({"uri": result.uri, "digest": result.digest, "report": result.report, **chosen})
    else:
        _show(result)


def _show(result: "SweepResult") -> None:
    from lesiongen.records.text import number

    record = result.record
    for title, name in (("best", record.best), ("chosen", record.choice)):
        one = record.candidate(name)
        error = f"standard error {number(one.standard_error)}"
        console.print(f"{title}: {name}: balanced accuracy {number(one.mean)} ({error})", markup=False)
    if record.tested != record.choice:
        console.print(f"chosen among those with synthetic images: {record.tested}", markup=False)
    for note in record.notes:
        console.print(f"warning: {note}", markup=False)
    for name, reason in record.left_out.items():
        console.print(f"left out: {name}: {reason}", markup=False)
    console.print(f"SHA-256 of the choice: {result.digest}", markup=False)
    console.print(f"Report: {result.report}", markup=False)
