"""Schedules: runs that the server creates again and again."""

import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any

import kfp_server_api

from lesiongen.errors import ServiceError, Unavailable, UsageError
from pipelines.kubeflow.package import Package
from pipelines.kubeflow.server import NotSent, Server
from pipelines.kubeflow.submission import runtime_config, upload

__all__ = ["Schedule", "check_cron", "create_schedule", "delete_schedule", "schedules"]

_RANGES = {"minute": (0, 59), "hour": (0, 23), "day of the month": (1, 31), "month": (1, 12), "day of the week": (0, 6)}
_NAMES = {
    "month": "jan feb mar apr may jun jul aug sep oct nov dec".split(),
    "day of the week": "sun mon tue wed thu fri sat".split(),
}
_ITEM = re.compile(r"(?:\*|(?P<first>\w+)(?:-(?P<last>\w+))?)(?:/(?P<step>[1-9]\d*))?")


@dataclass(frozen=True)
class Schedule:
    """A schedule of the profile's experiment.

    Attributes:
        name: Its name.
        id: Its id on the server.
        cron: When it starts a run: second, minute, hour, day of the month, month, day of the week.
        enabled: Whether it starts runs.
        version_id: Id of the pipeline version that is run.
        parameters: The parameters of the runs.
        error: What the server says of a failure.
    """

    name: str
    id: str
    cron: str
    enabled: bool
    version_id: str
    parameters: dict[str, Any]
    error: str

    def as_dict(self) -> dict[str, Any]:
        """Returns plain values, for JSON."""
        return asdict(self)


def check_cron(text: str) -> str:
    """Returns a cron expression of five fields as the six that Kubeflow takes, whose first are seconds.

    Kubeflow would take five fields for seconds, minutes, hours, days and months.

    Raises:
        UsageError: It does not have five fields, or one of them is wrong.

    >>> check_cron("0 3 * * *")
    '0 0 3 * * *'
    """
    fields = text.split()
    if len(fields) != len(_RANGES):
        raise UsageError(
            f"--cron {text!r} has {len(fields)} fields.",
            hint="Write minute, hour, day of the month, month, day of the week: '0 3 * * *' is every night at three.",
        )
    for field, name in zip(fields, _RANGES, strict=True):
        for item in field.split(","):
            if not _is_valid(item, name):
                low, high = _RANGES[name]
                raise UsageError(
                    f"--cron {text!r}: the {name} {item!r} must be *, or of {low} to {high}, as in 1-5 or */2."
                )
    return " ".join(["0", *fields])


def create_schedule(
    server: Server, package: Package, parameters: Mapping[str, Any], name: str, cron: str
) -> tuple[Schedule, list[Schedule]]:
    """Creates a schedule, and deletes those that had its name.

    Missed runs are skipped. If a run has not ended when the next one is due, that one starts only after it has ended.

    Args:
        server: The server.
        package: What is run; it is uploaded unless the server has it.
        parameters: The parameters of the runs, which have been checked.
        name: The schedule's name.
        cron: When it starts a run, in Kubeflow's six fields (`check_cron`).

    Returns:
        The schedule, and those that it has replaced.

    Raises:
        Unavailable: The server does not answer; the schedule may have been created, unless the error is `NotSent`.
        ServiceError: The server does not answer as it should, or refuses the schedule.
    """
    experiment = server.experiment_id(create=True)
    version = upload(server, package)
    before = [each for each in schedules(server) if each.name == name]
    wanted = kfp_server_api.V2beta1RecurringRun(
        display_name=name,
        experiment_id=experiment,
        pipeline_version_reference=version.reference(),
        runtime_config=runtime_config(server, parameters),
        service_account=server.profile.service_account,
        trigger=kfp_server_api.V2beta1Trigger(cron_schedule=kfp_server_api.V2beta1CronSchedule(cron=cron)),
        mode=kfp_server_api.RecurringRunMode.ENABLE,
        max_concurrency="1",
        no_catchup=True,
    )
    # The new one first: if it is refused, the old one stays.
    created = _created(server, wanted, before)
    for old in before:
        _delete(server, old)
    return created, before


def schedules(server: Server) -> Iterator[Schedule]:
    """Yields the schedules of the profile's experiment, by name.

    Raises:
        ServiceError: The server does not answer as it should.
    """
    experiment = server.experiment_id()
    if experiment is None:
        return
    listing = server.recurring_runs.recurring_run_service_list_recurring_runs
    found = server.pages(listing, "recurring_runs", experiment_id=experiment)
    yield from sorted(map(_schedule, found), key=lambda each: (each.name, each.id))


def delete_schedule(server: Server, name: str) -> list[Schedule]:
    """Deletes the schedules of a name, and returns them; runs that they have started continue.

    Raises:
        UsageError: No schedule has this name.
        ServiceError: The server does not answer as it should.
    """
    known = list(schedules(server))
    found = [each for each in known if each.name == name]
    if not found:
        listed = ", ".join(dict.fromkeys(each.name for each in known)) or "none"
        raise UsageError(
            f"Unknown schedule {name!r} in the experiment {server.profile.experiment}.",
            hint=f"Schedules: {listed}.",
        )
    for each in found:
        _delete(server, each)
    return found


def _created(server: Server, wanted: Any, before: list[Schedule]) -> Schedule:
    """Creates a schedule; where the answer is lost, looks once whether it is there."""
    creating = server.recurring_runs.recurring_run_service_create_recurring_run
    try:
        return _schedule(server.ask(creating, recurring_run=wanted))
    except NotSent:
        raise
    except Unavailable as error:
        known = {each.id for each in before}
        with suppress(ServiceError):
            for each in schedules(server):
                if each.name == wanted.display_name and each.id not in known:
                    return each
        error.hint = f"The schedule {wanted.display_name} may have been created. Schedule it again: that replaces it."
        raise


def _delete(server: Server, schedule: Schedule) -> None:
    server.ask(server.recurring_runs.recurring_run_service_delete_recurring_run, recurring_run_id=schedule.id)


def _schedule(run: Any) -> Schedule:
    trigger, version, settings = run.trigger, run.pipeline_version_reference, run.runtime_config
    schedule = trigger and trigger.cron_schedule
    return Schedule(
        name=run.display_name or "",
        id=run.recurring_run_id,
        cron=(schedule and schedule.cron) or "",
        enabled=run.status == "ENABLED" or (run.status is None and run.mode == "ENABLE"),
        version_id=(version and version.pipeline_version_id) or "",
        parameters=dict((settings and settings.parameters) or {}),
        error=(run.error and run.error.message) or "",
    )


def _is_valid(item: str, field: str) -> bool:
    found = _ITEM.fullmatch(item)
    if not found:
        return False
    numbers = [_number(value, field) for value in (found["first"], found["last"]) if value is not None]
    low, high = _RANGES[field]
    return all(number is not None and low <= number <= high for number in numbers) and numbers == sorted(
        number for number in numbers if number is not None
    )


def _number(text: str, field: str) -> int | None:
    names = _NAMES.get(field, [])
    if text.lower() in names:
        return names.index(text.lower()) + _RANGES[field][0]
    return int(text) if text.isdecimal() and text.isascii() else None
