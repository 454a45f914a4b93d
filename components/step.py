"""What the steps share: how they log, fail, and hand over references."""

import json
import logging
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

from pydantic import BaseModel
from pydantic_core import to_json, to_jsonable_python

from lesiongen.errors import LesionGenError, ServiceError, disk_error
from lesiongen.interruption import Requests, interruptible
from lesiongen.outlets import guard_streams, log_to
from lesiongen.permissions import new_files_for_owner
from lesiongen.references import read_reference, write_reference
from lesiongen.storage import open_storage
from lesiongen.tracking import finish_pipeline_run, stage_run

__all__ = [
    "ERROR_PREFIX",
    "IMAGE",
    "STARTED",
    "as_allowed",
    "as_metadata",
    "copy_report",
    "log_completion",
    "log_final_status",
    "publish",
    "publish_result",
    "step",
    "uri_of",
]

IMAGE = "lesiongen:local"
"""The image of a component that is used alone; compiling a pipeline sets its own."""

ERROR_PREFIX = "ERROR [{stage}] "
"""Begins every line of an error that ends a step."""

STARTED = "Step {stage} started"
"""The first line of a step; what comes before it was written by the executor."""

# The libraries' own bars and advice would fill a log that is read line by line.
_QUIET = {"TQDM_DISABLE": "1", "TRANSFORMERS_VERBOSITY": "error", "DIFFUSERS_VERBOSITY": "error"}

logger = logging.getLogger(__name__)


@contextmanager
def step(stage: str) -> Iterator[None]:
    """Runs the body of a step: its log goes to standard output, and a user's error ends it without a traceback.

    What it writes is its owner's alone (`lesiongen.permissions`): the launcher of a pod runs as the same user.

    Raises:
        SystemExit: The body raised a LesionGenError, or the disk is full: the text was written line by line, the exit
            code is that of the error. Or it was interrupted by a signal, which was written too.
    """
    os.environ.update({name: value for name, value in _QUIET.items() if name not in os.environ})
    guard_streams()  # for good: the executor writes a traceback of its own after the step
    log_to(sys.stdout, logging.INFO, ("lesiongen", "components"))
    logger.info("%s", STARTED.format(stage=stage))
    with interruptible() as requests:
        try:
            with new_files_for_owner():
                yield
        except LesionGenError as error:
            _fail(stage, error)
        except KeyboardInterrupt:
            _end_interrupted(stage, requests)
        except Exception as error:
            if requests.count:  # something else has met the signal first, such as a process of a pool
                _end_interrupted(stage, requests)
            if of_disk := disk_error(error):
                _fail(stage, of_disk)
            raise


def _fail(stage: str, error: LesionGenError) -> NoReturn:
    _say(stage, str(error))
    raise SystemExit(error.exit_code) from None


def _end_interrupted(stage: str, requests: Requests) -> NoReturn:
    _say(stage, f"Interrupted by {requests.name}. Nothing unfinished was published.")
    raise SystemExit(requests.exit_code) from None


def _say(stage: str, text: str) -> None:
    sys.stdout.flush()
    prefix = ERROR_PREFIX.format(stage=stage)
    sys.stdout.write("".join(f"{prefix}{line}\n" for line in text.splitlines()))
    sys.stdout.flush()


def as_allowed(config: Mapping[str, Any], allow_real_images: bool) -> dict[str, Any]:
    """Returns a stage's configuration; where the compile forbids to show real images, the run cannot allow it."""
    return {**config, **({} if allow_real_images else {"allow_real_images": False})}


def uri_of(artifact: Any) -> str:
    """Returns where the data that an input artifact refers to is stored.

    Raises:
        UsageError: The artifact holds no reference.
    """
    return read_reference(artifact.path).uri


def publish(reference: BaseModel, artifact: Any, **details: str) -> None:
    """Writes a reference into an output artifact, and shows it as the artifact's metadata."""
    write_reference(reference, artifact.path)
    artifact.metadata.update(as_metadata(reference.model_dump(mode="json") | details))


def publish_result(result: Any, artifact: Any) -> None:
    """Writes a stage's result (a pydantic model or a dataclass) as JSON into an output artifact."""
    text = json.dumps(to_jsonable_python(result), indent=2)
    Path(artifact.path).parent.mkdir(parents=True, exist_ok=True)
    Path(artifact.path).write_text(text + "\n", encoding="utf-8")
    artifact.metadata.update(as_metadata(result))


def as_metadata(values: object) -> dict[str, Any]:
    """Returns values as Kubeflow's launcher keeps them: it fails on a null or NaN, and makes a boolean a number."""
    plain: dict[str, Any] = json.loads(to_json(values, inf_nan_mode="null"))
    kept = {name: value for name, value in plain.items() if value is not None}
    return {name: int(value) if isinstance(value, bool) else value for name, value in kept.items()}


def copy_report(prefix: str, artifact: Any, *, page: str = "report.html", **details: bool) -> None:
    """Copies the HTML page that a stage wrote under ``prefix`` into an output artifact, for Kubeflow's own view."""
    Path(artifact.path).parent.mkdir(parents=True, exist_ok=True)
    Path(artifact.path).write_bytes(open_storage(prefix).read_bytes(page))
    artifact.metadata.update(as_metadata({"uri": f"{prefix}/{page}", **details}))


def log_completion(stage: str, final: bool) -> None:
    """Gives a step that has no MLflow run one, where it is the last of its pipeline: `log_final_status` looks for it.

    Its own work is done: a server that does not answer is a warning.
    """
    if final:
        try:
            with stage_run(stage, {}):
                pass
        except ServiceError as error:
            logger.warning("The end of the pipeline is not tracked: %s", error)


def log_final_status(name: str, last: str, status: Any) -> None:
    """Logs how a pipeline ended, and closes its run in MLflow.

    Args:
        name: The name that the pipeline was called with.
        last: Its last stage; see `lesiongen.tracking.finish_pipeline_run`.
        status: What Kubeflow Pipelines says of the end.
    """
    logger.info("The pipeline for %s ended: %s", name, status.state)
    if status.error_message:
        logger.info("%s", status.error_message)
    if run := os.environ.get("LESIONGEN_PIPELINE_RUN"):
        finish_pipeline_run(run, status.state, last=last)
