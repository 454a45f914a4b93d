"""Deleting TrainJobs: at the end of a job, before the same work starts again, and what a pipeline run has left."""

import logging
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from lesiongen.errors import LesionGenError, ServiceError
from lesiongen.launch.lease import Lease
from lesiongen.launch.trainjob_object import PIPELINE_RUN, Run, run_of
from lesiongen.launch.trainjob_sdk import require_sdk
from lesiongen.storage import open_storage

if TYPE_CHECKING:
    from lesiongen.launch.trainjob_cluster import Cluster

__all__ = ["delete_earlier", "delete_jobs_of", "forget", "forget_others", "removed"]

logger = logging.getLogger(__name__)

GONE_SECONDS = 300.0
"""How long the deletion of a job may take."""
GONE_POLL_SECONDS = 2.0
DELETE_ATTEMPTS = 4
DELETE_SECONDS = 5.0
"""How often the deletion of a job is tried, and the time between two attempts."""


def delete_jobs_of(pipeline_run: str, namespace: str | None = None, context: str | None = None) -> list[str]:
    """Deletes the TrainJobs that a run of a pipeline has left, and returns their names when they are gone.

    Args:
        pipeline_run: Id of the run.
        namespace: None: that of the context, or of this pod.
        context: Context of kubectl; None: the current one.

    Raises:
        UsageError: No cluster is configured, or the package ``kubeflow`` is not installed.
        LesionGenError: The cluster does not answer, or does not let this account delete them.
    """
    require_sdk()
    from lesiongen.launch.trainjob_cluster import Cluster

    cluster = Cluster(namespace, context)
    jobs = cluster.jobs(f"{PIPELINE_RUN}={pipeline_run}")
    for job in jobs:
        _try_again(lambda job=job: delete_earlier(cluster, job))  # type: ignore[misc]
    return [job["metadata"]["name"] for job in jobs]


def delete_earlier(cluster: "Cluster", job: dict[str, Any]) -> None:
    """Deletes a TrainJob of an earlier start, and returns when it is gone."""
    name, uid = job["metadata"]["name"], job["metadata"]["uid"]
    logger.info("Deleting TrainJob %s of an earlier start", name)
    cluster.delete(name, uid)
    _await_end(cluster, name, uid)
    if run := run_of(job):
        forget(run)


def removed(cluster: "Cluster", run: Run, lease: Lease) -> bool:
    """Deletes the TrainJob of a run and returns whether it is gone; without an answer the lease ends the processes."""
    try:
        _try_again(lambda: _delete(cluster, run))
    except LesionGenError as error:
        logger.warning("TrainJob %s cannot be deleted: %s", run.name, error)
        lease.ask_to_stop()
        return False
    return True


def forget(run: Run) -> None:
    """Deletes the lease and the errors of a run; what cannot be deleted is a few small objects."""
    with suppress(LesionGenError):
        open_storage(run.lease.rpartition("/")[0]).delete_all()


def forget_others(run: Run) -> None:
    """Deletes what other runs of a TrainJob's name have left, once the name is that of this run alone.

    A launcher that was killed before its TrainJob was created has left a lease that nobody knows of.
    """
    place, _, own = run.lease.rpartition("/")[0].rpartition("/")
    with suppress(LesionGenError):
        storage = open_storage(place)
        for item in storage.list(f"{run.name}-"):
            if not item.key.startswith(f"{own}/"):
                storage.delete(item.key)


def _delete(cluster: "Cluster", run: Run) -> None:
    """Deletes the TrainJob of a run, and returns when it is gone; one of the same name that is another's stays."""
    found = cluster.job(run.name)
    if found is None or run_of(found) == run:
        uid = found["metadata"]["uid"] if found else None
        cluster.delete(run.name, uid)
        _await_end(cluster, run.name, uid)


def _try_again(call: Callable[[], None]) -> None:
    """Calls a function again where the cluster does not answer, or refuses the credentials, a few times."""
    from lesiongen.launch.trainjob_cluster import Denied, NoAnswer

    for _ in range(DELETE_ATTEMPTS - 1):
        try:
            return call()
        except (Denied, NoAnswer) as error:
            logger.debug("%s", error)
            time.sleep(DELETE_SECONDS)
    call()


def _await_end(cluster: "Cluster", name: str, uid: str | None) -> None:
    """Waits until a deleted TrainJob and its pods are gone, or another one has its name.

    Raises:
        ServiceError: They are still there after `GONE_SECONDS`.
    """
    until = time.monotonic() + GONE_SECONDS
    while (found := cluster.job(name)) is not None or cluster.pods(name):
        if found is not None and uid is not None and found["metadata"]["uid"] != uid:
            return
        if time.monotonic() > until:
            hint = f"Look at it with: kubectl -n {cluster.namespace} describe trainjob {name}"
            raise ServiceError(
                f"TrainJob {name} is still there {GONE_SECONDS:.0f} seconds after its deletion", hint=hint
            )
        time.sleep(GONE_POLL_SECONDS)
