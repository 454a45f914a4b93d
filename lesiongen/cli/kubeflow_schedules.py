"""The commands of ``lesiongen pipeline`` for schedules on a Kubeflow Pipelines server."""

from collections.abc import Callable, Mapping
from typing import Annotated

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
from lesiongen.cli.options import ConfigFile, Json, print_json, print_table
from lesiongen.redaction import shown

__all__ = ["SCHEDULE_COMMANDS"]

ScheduleName = Annotated[str, typer.Argument(metavar="NAME", help="Name of the schedule.")]


def schedule_command(
    context: typer.Context,
    name: ScheduleName,
    cron: Annotated[
        str,
        typer.Option(
            help="When: minute, hour, day of the month, month, day of the week, in UTC unless the cluster says "
            "otherwise. '0 3 * * *' is every night at three."
        ),
    ],
    pipeline: Annotated[str, typer.Option(help="Which pipeline.")] = "release",
    profile: ProfileName = "default",
    package: PackageFile = None,
    parameters: Parameters = None,
    changes: Changes = None,
    experiment: Experiment = None,
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
    """Run a pipeline on Kubeflow Pipelines again and again; a schedule of the same name is replaced.

    Missed runs are skipped. If a run has not ended when the next one is due, that one starts only after it has ended.

    Examples:
      lesiongen pipeline schedule nightly --cron "0 3 * * *" --profile prod --package release.yaml --parameters run.yaml
    """
    from pipelines.kubeflow.schedules import check_cron, create_schedule

    six_fields = check_cron(cron)
    with checked_package(context, pipeline) as (chosen, values), connected_server(profile, experiment) as server:
        created, replaced = create_schedule(server, chosen, values, name, six_fields)
    if as_json:
        print_json({**created.as_dict(), "replaced": [each.id for each in replaced]})
    else:
        typer.echo(shown(f"The schedule {name} is {'replaced' if replaced else 'created'}: {created.cron}"))


def schedules_command(
    profile: ProfileName = "default", experiment: Experiment = None, as_json: Json = False, config: ConfigFile = None
) -> None:
    """List the schedules of an experiment.

    Examples:
      lesiongen pipeline schedules --profile prod
    """
    from pipelines.kubeflow.schedules import schedules

    with connected_server(profile, experiment) as server:
        found = list(schedules(server))
    if as_json:
        print_json([each.as_dict() for each in found])
        return
    rows = [(each.name, each.cron, "enabled" if each.enabled else "disabled", each.error) for each in found]
    print_table(("NAME", "CRON (SECOND FIRST)", "STATE", "ERROR"), rows)


def unschedule_command(
    name: ScheduleName,
    profile: ProfileName = "default",
    experiment: Experiment = None,
    as_json: Json = False,
    config: ConfigFile = None,
) -> None:
    """Delete a schedule; runs that it has started continue.

    Examples:
      lesiongen pipeline unschedule nightly --profile prod
    """
    from pipelines.kubeflow.schedules import delete_schedule

    with connected_server(profile, experiment) as server:
        deleted = delete_schedule(server, name)
    if as_json:
        print_json({"name": name, "deleted": [each.id for each in deleted]})
    else:
        typer.echo(shown(f"The schedule {name} is deleted."))


SCHEDULE_COMMANDS: Mapping[str, Callable[..., None]] = {
    "schedule": schedule_command,
    "schedules": schedules_command,
    "unschedule": unschedule_command,
}
"""The commands by name."""
