"""Runs on the server: find one, and read how it and its steps are doing."""

import logging
import math
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from lesiongen.errors import Unavailable, UsageError
from pipelines.kubeflow.nodes import Step, steps_of
from pipelines.kubeflow.package import spec_of
from pipelines.kubeflow.server import NotFound, Server, Unauthorized

__all__ = ["ENDED", "NOT_STARTED", "Run", "StepStatus", "find_run", "read_later", "read_run", "run_of"]

ENDED = frozenset({"SUCCEEDED", "SKIPPED", "FAILED", "CANCELED"})
"""States of the server that a run or a step does not leave."""
NOT_STARTED = "NOT_STARTED"
"""State of a step that the server does not know yet; ours, not the server's."""
_UNSPECIFIED = "RUNTIME_STATE_UNSPECIFIED"
POLL_SECONDS = 5.0
"""How often a run is asked for that is waited for."""
OUTAGE_SECONDS = 300.0
"""How long the server may be away meanwhile."""
_SHORTEST_PREFIX = 4
_SHOWN = 5

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class StepStatus:
    """How a step is doing.

    Attributes:
        name: The step; with a number where it is run for each item of a list.
        state: The server's state of it, or `NOT_STARTED`.
        started: When it started.
        ended: When it ended.
        step: Its place in the pipeline.
        task: The server's own account of it; None before its start.
    """

    name: str
    state: str
    started: datetime | None
    ended: datetime | None
    step: Step
    task: Any

    @property
    def seconds(self) -> float | None:
        """How long it took, or has taken so far; None before its start."""
        return _seconds(self.started, self.ended)

    def as_dict(self) -> dict[str, Any]:
        """Returns plain values, for JSON."""
        return {"step": self.name, "state": self.state, **_times(self.started, self.ended)}


@dataclass(frozen=True)
class Run:
    """A run, as the server sees it at one moment.

    Attributes:
        id: Its id.
        name: Its name in the lists of Kubeflow.
        state: The server's state of it.
        error: What the server says about a failure; it seldom does.
        started: When it was created.
        ended: When it ended.
        url: Its page.
        steps: Its steps, in order.
        spec: Specification of its pipeline; empty where the server keeps it no more.
        arguments: The parameters that it was given.
        pipeline_root: Where its steps' outputs are, where the run says so.
        details: The server's own account of its nodes.
    """

    id: str
    name: str
    state: str
    error: str
    started: datetime | None
    ended: datetime | None
    url: str
    steps: tuple[StepStatus, ...]
    spec: dict[str, Any]
    arguments: dict[str, Any]
    pipeline_root: str | None
    details: tuple[Any, ...]

    @property
    def has_ended(self) -> bool:
        """Whether it will change no more."""
        return self.state in ENDED

    @property
    def seconds(self) -> float | None:
        """How long it took, or has taken so far."""
        return _seconds(self.started, self.ended)

    def steps_named(self, name: str) -> tuple[StepStatus, ...]:
        """Returns the steps of a name: one, or those that a loop has made of it.

        Raises:
            UsageError: The run has no step of this name.
        """
        found = tuple(each for each in self.steps if name in (each.name, each.step.name))
        if not found:
            raise UsageError(
                f"The run {self.name} has no step {name!r}.",
                hint=f"Steps: {', '.join(each.name for each in self.steps)}.",
            )
        return found

    def as_dict(self) -> dict[str, Any]:
        """Returns plain values, for JSON."""
        steps = [step.as_dict() for step in self.steps]
        plain = {"run": self.id, "name": self.name, "state": self.state, "error": self.error, "url": self.url}
        return {**plain, **_times(self.started, self.ended), "steps": steps}


def find_run(server: Server, text: str) -> Run:
    """Finds a run by its id, by the beginning of its id, or as ``latest``: the last one of the profile's experiment.

    Raises:
        UsageError: The run is unknown, or several begin so.
        ServiceError: The server does not answer as it should.
    """
    if _is_id(text):
        try:
            return read_run(server, text)
        except NotFound:
            raise UsageError(f"Unknown run {text} on {server.address}.", hint=_listed(_newest(server))) from None
    if text == "latest":
        newest = next(_newest(server), None)
        if newest is None:
            raise UsageError(f"The experiment {server.profile.experiment} has no runs yet.")
        return read_run(server, newest.run_id)
    if len(text) < _SHORTEST_PREFIX:
        raise UsageError(
            f"{text!r} is not a run.", hint=f"Give an id, at least {_SHORTEST_PREFIX} characters of one, or latest."
        )
    found = [run for run in _newest(server) if str(run.run_id).startswith(text.lower())]
    if len(found) != 1:
        problem = "Several runs begin" if found else "No run begins"
        where = f"in the experiment {server.profile.experiment}"
        raise UsageError(f"{problem} with {text!r} {where}.", hint=_listed(iter(found) if found else _newest(server)))
    return read_run(server, found[0].run_id)


def read_run(server: Server, run_id: str, before: Run | None = None) -> Run:
    """Reads the state of a run.

    Args:
        server: The server.
        run_id: The id.
        before: The same run at an earlier moment: its pipeline is not asked for again.

    Raises:
        ServiceError: The server does not answer as it should, or does not know the run.
    """
    found = server.ask(server.runs.run_service_get_run, run_id=run_id)
    return run_of(server, found, before.spec if before else _spec(server, found))


def read_later(server: Server, run: Run, at_most: float | None = None) -> Run:
    """Reads the state of a run after a while; a server that is away, or rejects credentials, is asked for some minutes.

    Args:
        server: The server.
        run: The run, as it was.
        at_most: Seconds that all this may take; if the server is away for longer, the run is returned as it was.

    Raises:
        Unavailable: The server has been away for too long.
        Unauthorized: It has rejected the credentials for too long.
    """
    deadline = math.inf if at_most is None else time.monotonic() + at_most
    away: float | None = None
    while True:
        time.sleep(max(0.0, min(POLL_SECONDS, deadline - time.monotonic())))
        try:
            return read_run(server, run.id, run)
        except (Unavailable, Unauthorized) as error:  # credentials may be renewed meanwhile
            if away is None:
                away = time.monotonic()
                words = " ".join(str(error).splitlines())
                logger.warning("%s Trying again for %.0f minutes.", words, OUTAGE_SECONDS / 60)
            if time.monotonic() - away >= OUTAGE_SECONDS:
                raise
            if time.monotonic() >= deadline:
                return run


def run_of(server: Server, found: Any, spec: dict[str, Any]) -> Run:
    """Returns a run from the server's object of it.

    Args:
        server: The server.
        found: The object.
        spec: Specification of its pipeline.
    """
    details = tuple((found.run_details and found.run_details.task_details) or ())
    settings = found.runtime_config
    return Run(
        id=found.run_id,
        name=found.display_name or "",
        state=found.state or _UNSPECIFIED,
        error=_error(found),
        started=_moment(found.created_at),
        ended=_moment(found.finished_at),
        url=server.page(f"runs/details/{found.run_id}"),
        steps=tuple(_statuses(steps_of(spec), details)),
        spec=spec,
        arguments=dict((settings and settings.parameters) or {}),
        pipeline_root=(settings and settings.pipeline_root) or None,
        details=details,
    )


def _newest(server: Server) -> Iterator[Any]:
    experiment = server.experiment_id()
    if experiment is not None:
        listing = server.runs.run_service_list_runs
        yield from server.pages(listing, "runs", experiment_id=experiment, sort_by="created_at desc")


def _listed(runs: Iterator[Any]) -> str:
    shown = [f"{run.run_id} ({run.display_name})" for run, _ in zip(runs, range(_SHOWN), strict=False)]
    return f"Runs: {', '.join(shown) or 'none yet'}."


def _is_id(text: str) -> bool:
    try:
        return str(uuid.UUID(text)) == text.lower()
    except ValueError:
        return False


def _spec(server: Server, run: Any) -> dict[str, Any]:
    if spec := spec_of(run.pipeline_spec):
        return spec
    if not (version := run.pipeline_version_reference):
        return {}
    reading = server.pipelines.pipeline_service_get_pipeline_version
    ids = {"pipeline_id": version.pipeline_id, "pipeline_version_id": version.pipeline_version_id}
    try:
        return spec_of(server.ask(reading, **ids).pipeline_spec)
    except NotFound:  # versions can be deleted
        return {}


def _statuses(steps: list[Step], details: tuple[Any, ...]) -> Iterator[StepStatus]:
    for step in steps:
        records = [task for task in details if task.display_name == step.name]
        records.sort(key=lambda task: (str(task.start_time), str(task.task_id)))
        if not records:
            yield StepStatus(step.name, NOT_STARTED, None, None, step, None)
        for number, task in enumerate(records, start=1):
            name = f"{step.name}-{number}" if step.repeated else step.name
            state = NOT_STARTED if task.state in (None, _UNSPECIFIED) else task.state
            yield StepStatus(name, state, _moment(task.start_time), _moment(task.end_time), step, task)


def _error(run: Any) -> str:
    history = [status.error for status in run.state_history or () if status.error]
    error = run.error or (history[-1] if history else None)
    return str((error and error.message) or "")


def _moment(value: datetime | None) -> datetime | None:
    """Returns a time of the server; it writes the year 1970, or 1, for what has not taken place."""
    if value is None or value.year <= 1970:
        return None
    return value if value.tzinfo else value.replace(tzinfo=UTC)


def _seconds(started: datetime | None, ended: datetime | None) -> float | None:
    # The server's clock may be ahead of this machine's.
    return None if started is None else max(0.0, ((ended or datetime.now(UTC)) - started).total_seconds())


def _times(started: datetime | None, ended: datetime | None) -> dict[str, str | None]:
    return {name: each.isoformat() if each else None for name, each in (("started", started), ("ended", ended))}
