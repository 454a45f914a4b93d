"""The commands of ``lesiongen pipeline`` for runs on a Kubeflow Pipelines server, and those for schedules there."""

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lesiongen.cli.compile_options import (
    DEFAULT_IMAGE,
    Accelerator,
    AcceleratorCount,
    CacheIngest,
    CaptionParts,
    FinetuneNamespace,
    FinetuneNodes,
    FinetuneRuntime,
    Image,
    PipelineName,
    Preset,
    RealImages,
    SampleParts,
    SettingsFile,
)
from lesiongen.cli.kubeflow_options import (
    Changes,
    Experiment,
    PackageFile,
    Parameters,
    ProfileName,
    checked_package,
    connected_server,
)
from lesiongen.cli.kubeflow_schedules import SCHEDULE_COMMANDS
from lesiongen.cli.options import ConfigFile, Json, print_json, print_table
from lesiongen.errors import UsageError
from lesiongen.redaction import shown

if TYPE_CHECKING:
    from pipelines.kubeflow.package import Package
    from pipelines.kubeflow.runs import Run, StepStatus
    from pipelines.kubeflow.server import Server
    from pipelines.kubeflow.submission import UploadedVersion

__all__ = ["COMMANDS"]

RunName = Annotated[str, typer.Argument(metavar="RUN", help="Id of the run, the beginning of it, or latest.")]


def submit_command(
    context: typer.Context,
    name: PipelineName = "release",
    profile: ProfileName = "default",
    package: PackageFile = None,
    parameters: Parameters = None,
    changes: Changes = None,
    run_name: Annotated[
        str | None, typer.Option(help="Name of the run in Kubeflow's lists; its data's name and the time unless given.")
    ] = None,
    experiment: Experiment = None,
    wait: Annotated[bool, typer.Option("--wait", help="Wait until the run has ended; show its steps.")] = False,
    timeout: Annotated[
        float | None, typer.Option(min=0, help="With --wait: seconds to wait at most; for ever unless given.")
    ] = None,
    preset: Preset = "tiny",
    image: Image = DEFAULT_IMAGE,
    accelerator: Accelerator = None,
    accelerator_count: AcceleratorCount = 1,
    cache_ingest: CacheIngest = False,
    finetune_nodes: FinetuneNodes = None,
    finetune_runtime: FinetuneRuntime = None,
    finetune_namespace: FinetuneNamespace = None,
    caption_parts: CaptionParts = None,
    sample_parts: SampleParts = None,
    allow_real_images: RealImages = True,
    settings: SettingsFile = None,
    as_json: Json = False,
    config: ConfigFile = None,
) -> None:
    """Run a pipeline on Kubeflow Pipelines.

    Compiles the pipeline, checks the parameters, uploads the package unless the server has it, and creates the run.
    Nothing is sent before the parameters are checked.

    With --wait the exit code is 0 if the run succeeded, 1 if it failed or was cancelled, and 75 if it has not ended
    when --timeout is over.

    Examples:
      lesiongen pipeline submit release --profile prod --image registry.example/lesiongen:1.0 --parameters run.yaml

      lesiongen pipeline submit --package release.yaml --set source=s3://data/ham --set format=ham10000 --wait
    """
    from pipelines.kubeflow.watching import raise_for_outcome
    from pipelines.kubeflow.watching import wait as wait_for

    if timeout is not None and not wait:
        raise UsageError("--timeout has no effect without --wait.", hint="Add --wait, or omit --timeout.")
    with checked_package(context, name) as (chosen, values), connected_server(profile, experiment) as server:
        say = _printer(quiet=as_json)
        run, version = _submitted(server, chosen, values, run_name, say)
        if wait:
            say("Waiting; Ctrl-C ends the waiting, not the run.")
            run = wait_for(server, run, timeout=timeout, say=say)
        if as_json:
            print_json({**run.as_dict(), "pipeline_version": version.name, "reused_version": version.reused})
        if wait:
            raise_for_outcome(server, run)
            say(f"The run {run.name} succeeded.")


def _submitted(
    server: "Server", package: "Package", values: Mapping[str, Any], run_name: str | None, say: Callable[[str], None]
) -> "tuple[Run, UploadedVersion]":
    """Creates the run of a package, and says which it is."""
    from pipelines.kubeflow.submission import submit

    run, version = submit(server, package, values, run_name)
    say(f"{version.name} is {'on the server already' if version.reused else 'uploaded'}.")
    say(f"Run {run.name}: {run.id}\n{run.url}")
    return run, version


def status_command(
    run: RunName,
    profile: ProfileName = "default",
    experiment: Experiment = None,
    as_json: Json = False,
    config: ConfigFile = None,
) -> None:
    """Show the state of a run on Kubeflow Pipelines, and of each of its steps.

    Examples:
      lesiongen pipeline status latest --profile prod
    """
    from pipelines.kubeflow.runs import find_run

    with connected_server(profile, experiment) as server:
        found = find_run(server, run)
    if as_json:
        print_json(found.as_dict())
        return
    typer.echo(shown(f"Run {found.name}: {found.state}{_took(found.seconds)}\n{found.id}\n{found.url}"))
    if found.error:
        typer.echo(shown(found.error))
    print_table(("STEP", "STATE", "STARTED", "TOOK"), [_row(step) for step in found.steps])


def logs_command(
    run: RunName,
    step: Annotated[str | None, typer.Argument(metavar="[STEP]", help="One step; all unless given.")] = None,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Continue until the run, or the step, has ended.")
    ] = False,
    profile: ProfileName = "default",
    experiment: Experiment = None,
    config: ConfigFile = None,
) -> None:
    """Print the logs of a run on Kubeflow Pipelines.

    Examples:
      lesiongen pipeline logs latest finetune --follow --profile prod
    """
    from lesiongen.errors import LesionGenError
    from pipelines.kubeflow.logs import follow_logs, read_log
    from pipelines.kubeflow.runs import find_run

    say = _LogPrinter(headed=step is None)
    with connected_server(profile, experiment) as server:
        found = find_run(server, run)
        if follow:
            follow_logs(server, found, step, say)
            return
        for status in found.steps if step is None else found.steps_named(step):
            for line in (read_log(server, found, status) or "").splitlines():
                say(status, line)
    if not say.lines:
        raise LesionGenError(
            f"No log found for {step or 'any step'} of the run {found.name}: {found.state}.",
            hint="A step has a log once its container runs. Where the pods are gone, name the pipeline_root in the "
            "profile: Kubeflow stores the logs of ended steps there.",
        )


def cancel_command(
    run: RunName,
    timeout: Annotated[float, typer.Option(min=0, help="Seconds to wait until it has ended.")] = 300,
    profile: ProfileName = "default",
    experiment: Experiment = None,
    as_json: Json = False,
    config: ConfigFile = None,
) -> None:
    """Cancel a run on Kubeflow Pipelines, wait until it has ended, and say what is left of it.

    Kubeflow kills the steps that run: they cannot save their state. TrainJobs of the run are then deleted, on
    the cluster of the profile's kube_context. Exit code 75: it has not ended after --timeout.

    Examples:
      lesiongen pipeline cancel latest --profile prod
    """
    from lesiongen.errors import StillRunning
    from pipelines.kubeflow.leftovers import delete_trainjobs, say_how_to_delete
    from pipelines.kubeflow.runs import find_run
    from pipelines.kubeflow.watching import cancel

    say = _printer(quiet=as_json)
    with connected_server(profile, experiment) as server:
        before = find_run(server, run)
        try:
            ended = cancel(server, before, timeout=timeout, say=say)
        except StillRunning:
            say_how_to_delete(server, before, say)
            raise
        delete_trainjobs(server, ended, say)
    if as_json:
        print_json(ended.as_dict())
        return
    typer.echo(shown(f"The run {ended.name} {'had ended before' if before.has_ended else 'has ended'}: {ended.state}."))
    for line in _left_behind(ended):
        typer.echo(shown(line))


COMMANDS: Mapping[str, Callable[..., None]] = {
    "submit": submit_command,
    "status": status_command,
    "logs": logs_command,
    "cancel": cancel_command,
    **SCHEDULE_COMMANDS,
}
"""The commands by name, for `lesiongen.cli.pipeline`."""


def _printer(*, quiet: bool) -> Callable[[str], None]:
    """Returns what prints a line for the reader: on standard error where the result goes to a program."""
    return lambda line: typer.echo(shown(line), err=quiet)


class _LogPrinter:
    """Prints lines of logs, and the step before them where it is another one.

    Args:
        headed: Whether to name the steps.
    """

    def __init__(self, *, headed: bool) -> None:
        self.lines = 0
        """How many lines it has printed."""
        self._headed, self._last = headed, ""

    def __call__(self, status: "StepStatus", line: str) -> None:
        """Prints a line of a step's log."""
        if self._headed and status.name != self._last:
            typer.echo(f"==> {shown(status.name)} <==")
        self._last = status.name
        self.lines += 1
        typer.echo(shown(line))


def _row(step: "StepStatus") -> tuple[str, ...]:
    took = "" if step.seconds is None else f"{step.seconds:.0f} s"
    return step.name, step.state, _local(step.started), took


def _local(moment: datetime | None) -> str:
    return f"{moment.astimezone():%Y-%m-%d %H:%M:%S}" if moment else ""


def _took(seconds: float | None) -> str:
    return "" if seconds is None else f", {seconds:.0f} s"


def _left_behind(run: "Run") -> Iterator[str]:
    """Yields what a run that was cancelled has finished and not finished, and where that is."""
    done = [step.name for step in run.steps if step.state == "SUCCEEDED"]
    begun = [step.name for step in run.steps if step.started and step.state != "SUCCEEDED"]
    yield f"Finished steps, whose results are kept: {', '.join(done) or 'none'}."
    yield f"Unfinished steps: {', '.join(begun) or 'none'}."
    defaults = run.spec.get("root", {}).get("inputDefinitions", {}).get("parameters", {})
    if root := run.arguments.get("root") or defaults.get("root", {}).get("defaultValue"):
        yield f"Results are below {root}; what unfinished steps keep for a next attempt is below {root}/work."
