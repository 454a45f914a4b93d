"""``lesiongen doctor``: is everything there that a run needs."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from lesiongen.cli.options import ConfigFile, Json, console, print_json

if TYPE_CHECKING:
    from lesiongen.doctor import CheckResult

__all__ = ["doctor_command"]

_STYLES = {"ok": "green", "warning": "yellow", "failed": "bold red", "skipped": "dim"}
_NAME, _STATE = 20, 9


def doctor_command(
    profile: Annotated[
        str | None,
        typer.Option(envvar="LESIONGEN_PROFILE", help="Kubeflow Pipelines server to check; default unless given."),
    ] = None,
    namespace: Annotated[
        str | None, typer.Option(help="Kubernetes namespace; the profile's, or that of the context, unless given.")
    ] = None,
    root: Annotated[
        str | None,
        typer.Option(
            help="Where runs store results; a test object is written there. s3://lesiongen unless given, and skipped "
            "where the environment names no server."
        ),
    ] = None,
    config_file: ConfigFile = None,
    as_json: Json = False,
) -> None:
    """Check the machine, S3, MLflow, Kubeflow Pipelines and the cluster, and say what to do.

    A check is ok, a warning, failed, or skipped where there is nothing to check. A small object is written to the
    root, and a run to MLflow; both are deleted. Secrets are looked for by their names; their values are not shown.

    Exit codes: 0 nothing failed, 1 a check failed, 2 wrong use.

    Examples:
      lesiongen doctor

      lesiongen doctor --profile prod --namespace lesions --root s3://my-bucket/release

      lesiongen doctor --json
    """
    from lesiongen.doctor import cluster_checks, machine_checks, run_checks, service_checks
    from pipelines.kubeflow.health import cluster_of, kubeflow_checks

    namespace_of_profile, context = cluster_of(profile)
    checks = {
        **machine_checks(),
        **service_checks(root),
        **kubeflow_checks(profile),
        **cluster_checks(namespace or namespace_of_profile, context),
    }
    results = []
    for result in run_checks(checks):
        results.append(result)
        if not as_json:
            _show(result)
    passed = not any(result.state == "failed" for result in results)
    if as_json:
        print_json({"passed": passed, "checks": [asdict(result) for result in results]})
    if not passed:
        raise typer.Exit(1)


def _show(result: "CheckResult") -> None:
    console.print(result.state.ljust(_STATE), style=_STYLES[result.state], end="")
    console.print(f"{result.name.ljust(_NAME)}{result.message}", markup=False)
    if result.remedy:
        console.print(f"{' ' * (_STATE + _NAME)}{result.remedy}", markup=False)
