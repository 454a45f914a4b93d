"""TrainJobs of a pipeline's steps: the launcher of ``finetune``, and what ``finish`` deletes."""

import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from lesiongen.config import StageConfig, parse_config
from lesiongen.errors import LesionGenError
from lesiongen.launch import Launcher, TrainJobLauncher
from lesiongen.launch.trainjob_deletion import delete_jobs_of

if TYPE_CHECKING:
    from lesiongen.diffusion import FinetuneConfig

__all__ = ["launched", "trainjobs_deleted"]

logger = logging.getLogger(__name__)


class _TrainJob(StageConfig):
    """The component's argument ``trainjob``; Kubeflow hands over its whole numbers as floats."""

    runtime: str
    nodes: int
    processes: int
    image: str
    deadline: int
    namespace: str | None = None


def launched(
    config: "FinetuneConfig", trainjob: Mapping[str, Any], checkpoints: str
) -> "tuple[FinetuneConfig, Launcher | None]":
    """Returns the configuration and the launcher of a step's training; no launcher where the step itself trains.

    Args:
        config: Its ``runtime.processes`` is kept where it is more than 1.
        trainjob: The component's argument (`pipelines.settings.CompileSettings.trainjob`); empty where the step itself
            trains.
        checkpoints: Where checkpoints go; leases and errors go below.

    Raises:
        UsageError: The image lacks the package ``kubeflow``, or the checkpoints are not on S3.
    """
    if not trainjob:
        return config, None
    given = parse_config(_TrainJob, trainjob)
    if config.runtime.processes == 1:
        config = config.changed(processes=given.processes)
    options = given.model_dump(exclude={"processes"})
    return config, TrainJobLauncher(f"{checkpoints}/jobs", pipeline_run=_pipeline_run(), **options)


@contextmanager
def trainjobs_deleted(trainjob: Mapping[str, Any]) -> Iterator[None]:
    """Deletes the TrainJobs of this pipeline run at the end of its body, however that ends.

    A step that was killed could not delete its own.

    One that cannot be deleted is a warning: once it trains, it ends by itself ten minutes after its step.

    Args:
        trainjob: The argument of ``finetune``; empty where the pipeline trains in no TrainJob.
    """
    try:
        yield
    finally:
        run = _pipeline_run()
        if trainjob and run is not None:
            _delete_jobs_of(run, trainjob.get("namespace"))


def _delete_jobs_of(run: str, namespace: str | None) -> None:
    try:
        for name in delete_jobs_of(run, namespace):
            logger.info("Deleted TrainJob %s", name)
    except LesionGenError as error:
        logger.warning("TrainJobs of this run may be left; those in a queue stay until they are deleted: %s", error)


def _pipeline_run() -> str | None:
    return os.environ.get("LESIONGEN_PIPELINE_RUN") or None
