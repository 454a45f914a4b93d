"""MLflow runs: one for a pipeline run, one nested in it for every stage; nothing at all without a tracking server.

A stage opens its own run, so that the command line, a pipeline step and a library call are tracked alike. MLflow
is imported only when ``MLFLOW_TRACKING_URI`` or ``LESIONGEN_MLFLOW_URI`` is set. ``LESIONGEN_EXPERIMENT`` names the
experiment and ``LESIONGEN_PIPELINE_RUN`` the pipeline run that a stage belongs to. Where whoever started the process
has opened a run for it (``MLFLOW_RUN_ID``, as Kubeflow's MLflow plugin does), the stage logs into that one.
"""

import json
import logging
import os
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lesiongen import __version__
from lesiongen.endpoints import tracking_variable
from lesiongen.errors import Interrupted, ServiceError, UsageError
from lesiongen.mlflow_server import mlflow_client, service_errors
from lesiongen.owner import Owner, this_process
from lesiongen.parent_runs import (
    KIND_TAG,
    NESTED_TAG,
    OWNER_TAG,
    PARENT_TAG,
    STAGE_TAG,
    close_left_open,
    parent_run,
    stage_ended_well,
    united,
)
from lesiongen.redaction import names_secret, redact, shown
from lesiongen.temporary import temporary_folder

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = [
    "GIVEN_RUN",
    "PIPELINE_OWNER",
    "StageRun",
    "finish_pipeline_run",
    "joined_run",
    "stage_run",
]

logger = logging.getLogger(__name__)
PIPELINE_OWNER = "LESIONGEN_PIPELINE_OWNER"
"""The variable that says which process the pipeline run is open in that a stage belongs to."""
GIVEN_RUN = "MLFLOW_RUN_ID"
"""MLflow's own variable, by which whoever starts a process gives it a run."""
_ERROR_TAG = "lesiongen.error"
_SUCCEEDED, _FAILED, _CANCELED = ("SUCCEEDED", "COMPLETE", "CACHED"), ("FAILED",), ("CANCELED",)
"""States of a pipeline that the exit handler gets: the first from ``kfp.local`` alone, the others from the backend."""
# MLflow's own limits (mlflow.utils.validation): characters of a value, of a key, and entries of a request.
VALUE_LENGTH, KEY_LENGTH, PARAMETERS_PER_REQUEST = 6000, 250, 100
QUIET_SECONDS = 60.0
_EMBEDDED_IMAGE = re.compile(r"(data:image/\w+;base64,[A-Za-z0-9+/=]{1000,})")
MOST_OPEN_RUNS = 100
"""Runs that are looked at, the latest first, for those that killed processes left open."""


class StageRun:
    """The run of one stage. This class does nothing: it is used when no tracking server is named."""

    run_id: str | None = None

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Logs numbers; with a step they are points of a curve.

        Points of a curve are lost, with a warning, while the server does not answer: hours of training do not
        end for them. Numbers without a step are results, and raise.
        """

    def log_image(self, image: "Image | Path | str", name: str) -> None:
        """Logs an image under ``pictures/name``; ``name`` ends in .png."""

    def log_file(self, path: Path | str, folder: str | None = None) -> None:
        """Logs a file, within a folder of the run."""

    def log_folder(self, path: Path | str, folder: str) -> None:
        """Logs all files of a folder, within a folder of the run."""

    def log_text(self, text: str, name: str) -> None:
        """Logs a text, such as a page, as a file."""

    def log_json(self, value: object, name: str) -> None:
        """Logs a value as a JSON file."""

    def set_tags(self, tags: Mapping[str, object]) -> None:
        """Sets tags of the run."""


class _TrackedRun(StageRun):
    def __init__(self, client: Any, run_id: str) -> None:
        self.client = client
        self.run_id = run_id
        self.quiet_until = 0.0

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        if step is not None and time.monotonic() < self.quiet_until:
            return
        try:
            self._send_metrics(metrics, step or 0)
        except ServiceError as error:
            if step is None:
                raise
            self.quiet_until = time.monotonic() + QUIET_SECONDS
            logger.warning("Points of the curves are lost for %.0f s: %s", QUIET_SECONDS, error)

    def _send_metrics(self, metrics: Mapping[str, float], step: int) -> None:
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        points = [Metric(_key(name), float(value), now, step) for name, value in metrics.items()]
        with service_errors():
            self.client.log_batch(self.run_id, metrics=points)

    def log_image(self, image: "Image | Path | str", name: str) -> None:
        with temporary_folder("image") as folder:
            path = folder / Path(name).name
            if isinstance(image, str | Path):
                path.write_bytes(Path(image).read_bytes())
            else:
                image.save(path)
            self.log_file(path, "pictures")

    def log_file(self, path: Path | str, folder: str | None = None) -> None:
        with service_errors():
            self.client.log_artifact(self.run_id, str(path), folder)

    def log_folder(self, path: Path | str, folder: str) -> None:
        with service_errors():
            self.client.log_artifacts(self.run_id, str(path), folder)

    def log_text(self, text: str, name: str) -> None:
        with service_errors():
            self.client.log_text(self.run_id, _redacted(text), name)

    def log_json(self, value: object, name: str) -> None:
        self.log_text(json.dumps(value, indent=2, default=str), name)

    def set_tags(self, tags: Mapping[str, object]) -> None:
        from mlflow.entities import RunTag

        with service_errors():
            self.client.log_batch(self.run_id, tags=[RunTag(name, shown(value)) for name, value in tags.items()])

    def log_params(self, params: Mapping[str, object]) -> None:
        from mlflow.entities import Param

        with service_errors():
            known = self.client.get_run(self.run_id).data.params  # a parameter cannot be logged twice
            new = [Param(key, value) for key, value in _flat(params).items() if key not in known]
            for start in range(0, len(new), PARAMETERS_PER_REQUEST):
                self.client.log_batch(self.run_id, params=new[start : start + PARAMETERS_PER_REQUEST])

    def end(self, status: str) -> None:
        with service_errors():
            self.client.set_terminated(self.run_id, status)


class _GivenRun(_TrackedRun):
    """A run that whoever started this process has opened, and will close."""

    def log_params(self, params: Mapping[str, object]) -> None:
        """Logs parameters under names of our own: Kubeflow's plugin logs the step's arguments, and none twice."""
        super().log_params({"lesiongen": params})

    def end(self, status: str) -> None:
        """Does nothing."""


@contextmanager
def stage_run(stage: str, params: Mapping[str, object], run_id: str | None = None) -> Iterator[StageRun]:
    """Opens the run of a stage: FINISHED at the end, FAILED on an error, KILLED when interrupted.

    Runs of the experiment that were left open by killed processes of this machine are closed as KILLED.

    Args:
        stage: Name of the stage and of its run.
        params: Its configuration; nested mappings are flattened to dotted names, long values are cut.
        run_id: A run to go on with, as a resumed stage does; a new one is opened where it no longer exists.

    Yields:
        The run, or one that does nothing where no tracking server is named.

    Raises:
        ServiceError: The MLflow server does not answer, or refuses.
    """
    if tracking_variable() is None:
        yield StageRun()
        return
    client = mlflow_client()
    run = _given_run(client, stage) or _TrackedRun(client, _reopened(client, run_id) or _opened(client, stage))
    if not os.environ.get(GIVEN_RUN):
        _close_abandoned(client)
    run.log_params(params)
    try:
        yield run
    except BaseException as error:
        _close_failed(run, error)
        raise
    try:
        run.end("FINISHED")
    except ServiceError as error:  # the stage's output is complete; a run left open is not a reason to lose it
        logger.warning("The run %s was not closed: %s", run.run_id, error)


def joined_run(run_id: str | None) -> StageRun:
    """Gives a run that another process has opened and will close; one that does nothing without an id."""
    return StageRun() if run_id is None else _TrackedRun(mlflow_client(), run_id)


def finish_pipeline_run(pipeline_run: str, state: str, *, last: str) -> None:
    """Closes the run of a whole pipeline run, which no single stage can know to be over, and what its stages left open.

    Nothing is closed where the runs belong to whoever started this process.

    Args:
        pipeline_run: What the pipeline run is known by.
        state: How it ended, as Kubeflow Pipelines says it. Before 2.17 it says RUNNING after a loop: then the last
            stage's own run decides.
        last: The stage that runs when all others have succeeded, and is never cached.

    Raises:
        ServiceError: The MLflow server does not answer, or refuses.
    """
    if tracking_variable() is None or os.environ.get(GIVEN_RUN):
        return
    client = mlflow_client()
    experiment = _experiment(client)
    parent = _parent(client, experiment, pipeline_run)
    with service_errors():
        oldest = united(client, experiment, pipeline_run) or parent
        if state in _SUCCEEDED or (
            state not in (*_FAILED, *_CANCELED) and stage_ended_well(client, experiment, pipeline_run, last)
        ):
            status = "FINISHED"
        else:
            status = "KILLED" if state in _CANCELED else "FAILED"
        close_left_open(client, experiment, pipeline_run)
        client.set_terminated(oldest, status)


def _given_run(client: Any, stage: str) -> _GivenRun | None:
    """Returns the run that this process was given; None if it was given none, or another stage has it."""
    run_id = os.environ.get(GIVEN_RUN)
    if not run_id:
        return None
    with service_errors():
        tags = client.get_run(run_id).data.tags
        if tags.get(STAGE_TAG, stage) != stage:
            return None
        if _ERROR_TAG in tags:  # of an earlier try
            client.delete_tag(run_id, _ERROR_TAG)
    run = _GivenRun(client, run_id)
    pipeline_run = os.environ.get("LESIONGEN_PIPELINE_RUN")
    belongs = {PARENT_TAG: pipeline_run} if pipeline_run else {}
    run.set_tags({KIND_TAG: "stage", STAGE_TAG: stage, "lesiongen.version": __version__, **belongs})
    return run


def _opened(client: Any, stage: str) -> str:
    experiment = _experiment(client)
    tags = {KIND_TAG: "stage", STAGE_TAG: stage, **_common_tags(_owner_mark())}
    pipeline_run, given = os.environ.get("LESIONGEN_PIPELINE_RUN"), os.environ.get(GIVEN_RUN)
    if given:
        tags |= {NESTED_TAG: given}
    elif pipeline_run:
        tags |= {PARENT_TAG: pipeline_run, NESTED_TAG: _parent(client, experiment, pipeline_run)}
    with service_errors():
        run_id = str(client.create_run(experiment, tags=tags, run_name=stage).info.run_id)
        if pipeline_run and not given:
            united(client, experiment, pipeline_run)
    return run_id


def _reopened(client: Any, run_id: str | None) -> str | None:
    from mlflow.exceptions import MlflowException

    if run_id is None:
        return None
    with service_errors():
        try:
            client.set_tag(run_id, OWNER_TAG, _owner_mark())  # first: open, it must not name a dead process
            client.update_run(run_id, status="RUNNING")
        except MlflowException as error:
            if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE", "INVALID_STATE"):
                raise
            logger.warning("The run %s is gone; a new one is opened.", run_id)
            return None
    return run_id


def _experiment(client: Any) -> str:
    from mlflow.exceptions import MlflowException

    if given := os.environ.get(GIVEN_RUN):
        with service_errors():
            return str(client.get_run(given).info.experiment_id)
    name = os.environ.get("LESIONGEN_EXPERIMENT") or "lesiongen"
    with service_errors():
        found = client.get_experiment_by_name(name)
        if found is None:
            with suppress(MlflowException):  # another stage may create it at the same moment
                return str(client.create_experiment(name))
            found = client.get_experiment_by_name(name)
    if found is None or found.lifecycle_stage != "active":
        hint = "Restore it in MLflow, or choose another name with LESIONGEN_EXPERIMENT."
        raise ServiceError(f"The MLflow experiment {name!r} cannot be used: it was deleted.", hint=hint)
    return str(found.experiment_id)


def _parent(client: Any, experiment: str, pipeline_run: str) -> str:
    if not re.fullmatch(r"[\w.:/-]{1,200}", pipeline_run):
        raise UsageError(f"LESIONGEN_PIPELINE_RUN = {pipeline_run!r}: letters, digits and . : / _ - only")
    with service_errors():
        return parent_run(client, experiment, pipeline_run, _common_tags(os.environ.get(PIPELINE_OWNER, "")))


def _close_abandoned(client: Any) -> None:
    """Closes the runs whose processes were killed on this machine; of other machines' nothing is known here."""
    with suppress(ServiceError), service_errors():  # the stage that begins needs none of it
        query = f"attributes.status = 'RUNNING' and tags.`{OWNER_TAG}` LIKE '%'"
        for run in client.search_runs([_experiment(client)], query, max_results=MOST_OPEN_RUNS):
            owner = _parsed_owner(run.data.tags[OWNER_TAG])
            if owner is not None and owner.lives() is False:
                logger.info("Closing the run %s, whose process was killed (%s)", run.info.run_id, owner)
                client.set_terminated(run.info.run_id, "KILLED")


def _owner_mark() -> str:
    return json.dumps(this_process().plain())


def _parsed_owner(mark: str) -> Owner | None:
    with suppress(ValueError):
        return Owner.parse(json.loads(mark))
    return None


def _close_failed(run: _TrackedRun, error: BaseException) -> None:
    interrupted = isinstance(error, Interrupted | KeyboardInterrupt)
    with suppress(ServiceError):  # the stage's own error is the one to see
        first_line = (shown(error).splitlines() or [""])[0]  # before the cut, which could leave a part of a secret
        run.set_tags({_ERROR_TAG: f"{type(error).__name__}: {first_line}"[:500]})
        run.end("KILLED" if interrupted else "FAILED")


def _common_tags(owner: str) -> dict[str, str]:
    return {"lesiongen.version": __version__, **({OWNER_TAG: owner} if owner else {}), **_user()}


def _user() -> dict[str, str]:
    import getpass

    with suppress(OSError, KeyError):  # a container may run as a user without a name
        return {"mlflow.user": getpass.getuser()}
    return {}


def _flat(params: Mapping[str, object], prefix: str = "") -> dict[str, str]:
    flat: dict[str, str] = {}
    for name, value in params.items():
        key = f"{prefix}{name}"
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{key}.")
        else:
            flat[_key(key)] = "(not shown)" if names_secret(key) else _text(value)
    return flat


def _text(value: object) -> str:
    text = shown(json.dumps(value, default=str) if isinstance(value, list | tuple | dict) else value)
    return text if len(text) <= VALUE_LENGTH else text[: VALUE_LENGTH - 1] + "…"


def _redacted(page: str) -> str:
    """Looks at the texts of a page, and passes its images by: they are most of it."""
    pieces = _EMBEDDED_IMAGE.split(page)
    return "".join(piece if place % 2 else redact(piece) for place, piece in enumerate(pieces))


def _key(name: str) -> str:
    return re.sub(r"[^\w./ :-]", "_", name)[:KEY_LENGTH]
