"""``lesiongen validate``: check a dataset."""

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
    from lesiongen.validation import ValidationResult

__all__ = ["validate_command"]

LISTED = 10


def _print_checks(wanted: bool) -> None:
    if wanted:
        from lesiongen.validation import default_checks

        typer.echo(default_checks(), nl=False)
        raise typer.Exit


def validate_command(
    dataset: Annotated[str, typer.Argument(help="The dataset: a folder or s3:// prefix.")],
    checks: Annotated[
        Path | None, typer.Option(help="YAML file of thresholds and severities; what it omits keeps its default.")
    ] = None,
    report: Annotated[
        str | None, typer.Option(help="Where the HTML report goes: a file named .html, a folder or an s3:// prefix.")
    ] = None,
    print_checks: Annotated[
        bool,
        typer.Option(
            "--print-checks", is_eager=True, callback=_print_checks, help="Print the default checks file, commented."
        ),
    ] = False,
    real_images: Annotated[
        bool | None, typer.Option("--real-images/--no-real-images", help="Show real patients' images in the report.")
    ] = None,
    values: Values = None,
    config_file: ConfigFile = None,
    as_json: Json = False,
) -> None:
    """Check a dataset: its metadata, every image, and rows against one another.

    Exit codes: 0 passed, 1 failed, 2 wrong use.

    Examples:
      lesiongen validate data/ham10000 --report report.html

      lesiongen validate --print-checks > checks.yaml

      lesiongen validate data/ham10000 --checks checks.yaml

      lesiongen validate data/ham10000 --set min_test_per_class=30 --no-real-images
    """
    from lesiongen.config import parse_config
    from lesiongen.validation import ValidateConfig, validate

    from_file = read_yaml(checks) if checks else {}
    from_flags = chosen_fields(values, {"allow_real_images": real_images})
    severities = (from_file.get("severities") or {}) | (from_flags.get("severities") or {})
    chosen = from_file | from_flags | ({"severities": severities} if severities else {})
    result = validate(parse_config(ValidateConfig, chosen), dataset, report)
    if as_json:
        findings = [vars(finding) for finding in result.findings]
        print_json({"passed": result.passed, "findings": findings, "report": result.report})
    else:
        _show(result)
    if not result.passed:
        raise typer.Exit(1)


def _show(result: "ValidationResult") -> None:
    for finding in result.findings:
        console.print(f"{finding.severity}: {finding.message} [{finding.check}]", markup=False)
        details = list(finding.details())
        for detail in details[:LISTED]:
            console.print(f"  {detail}", markup=False)
        if len(details) > LISTED:
            console.print(f"  and {len(details) - LISTED:,} more", markup=False)
        if finding.remedy:
            console.print(f"  {finding.remedy}", markup=False)
    console.print("passed" if result.passed else "failed", style="bold")
    if result.report:
        console.print(f"report: {result.report}", markup=False)
