"""``lesiongen drift``: how far a dataset is from a reference."""

from typing import TYPE_CHECKING, Annotated

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

if TYPE_CHECKING:
    from lesiongen.evaluation import DriftResult

__all__ = ["drift_command"]


def drift_command(
    dataset: Annotated[str, typer.Argument(help="The dataset that is judged: a folder or s3:// prefix.")],
    reference: Annotated[str, typer.Option(help="The dataset that it is compared with.")],
    output: Annotated[str, typer.Option(help="Folder or s3:// prefix for the report and its numbers.")],
    max_drifted_share: Annotated[
        float | None, typer.Option(help="Fail when a larger share of the properties has drifted.")
    ] = None,
    threshold: Annotated[
        float | None, typer.Option(help="Distance from which on a property counts as drifted.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="The same seed gives the same numbers.")] = None,
    values: Values = None,
    config_file: ConfigFile = None,
    as_json: Json = False,
) -> None:
    """Compare the real images of a dataset with those of a reference.

    Compares diagnoses, subgroups of patients and what is measured from the pixels; writes report.html, drift.json and
    drift.html.

    Exit codes: 0 passed, 1 failed (a limit is exceeded, or something cannot be read), 2 wrong use.

    Examples:
      lesiongen drift data/incoming --reference data/ham10000 --output reports/drift

      lesiongen drift data/incoming --reference data/ham10000 --output reports/drift --set max_distances.brightness=0.5
    """
    from lesiongen.config import parse_config
    from lesiongen.evaluation import DriftConfig

    flags = {"max_drifted_share": max_drifted_share, "threshold": threshold, "seed": seed}
    config = parse_config(DriftConfig, chosen_fields(values, flags))
    require_datasets(reference, dataset)
    from lesiongen.evaluation import drift

    result = drift(config, reference, dataset, output)
    if as_json:
        print_json({**result.drift.content(), "report": result.report})
    else:
        _show(result)
    if not result.passed:
        raise typer.Exit(1)


def _show(result: "DriftResult") -> None:
    for one in result.drift.properties:
        state = "drifted" if one.drifted else "ok"
        console.print(f"{one.name}: {one.distance:.3f} (limit {one.limit:.3f}) {state}", markup=False)
    for name, why in result.drift.absent.items():
        console.print(f"{name}: not compared, {why}", markup=False)
    for reason in result.drift.reasons:
        console.print(f"{reason}.", markup=False)
    console.print("passed" if result.passed else "failed", style="bold")
    console.print(f"report: {result.report}", markup=False)
