"""Several nodes of a cluster, as a TrainJob of Kubeflow Trainer."""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ClassVar

from lesiongen.errors import Interrupted, LesionGenError, UsageError
from lesiongen.launch.job import Job, Launcher
from lesiongen.launch.lease import Lease, held_lease
from lesiongen.launch.trainjob_deletion import delete_earlier, forget, forget_others, removed
from lesiongen.launch.trainjob_failures import AGAIN, condition, named_network_error
from lesiongen.launch.trainjob_object import WORK, JobLayout, Run, addresses, run_of, trainjob, work_label
from lesiongen.launch.trainjob_sdk import require_sdk
from lesiongen.launch.trainjob_watch import Watch
from lesiongen.launch.worker import error_of
from lesiongen.storage import open_storage

if TYPE_CHECKING:
    from lesiongen.launch.trainjob_cluster import Cluster
    from lesiongen.launch.trainjob_log import NodeLog

__all__ = ["DEADLINE_SECONDS", "TrainJobLauncher"]

logger = logging.getLogger(__name__)

POLL_SECONDS = 2.0
DEADLINE_SECONDS = 48 * 3600


class TrainJobLauncher(Launcher):
    """Runs a job as a TrainJob of Kubeflow Trainer 2.3 or 2.4, on one or several nodes.

    A TrainJob is named by the work, the image and the layout: one that still runs after its launcher was killed is
    found again and waited for. It is deleted at its end. Its processes end when this launcher does
    (`lesiongen.launch.lease`).

    Args:
        place: ``s3://`` prefix for leases and errors, which the pods can write.
        runtime: TrainingRuntime or ClusterTrainingRuntime, as in ``infra/trainer``.
        nodes: How many nodes at most; a job of fewer processes takes as many nodes as processes.
        namespace: None: that of the current context, or of this pod.
        image: None: the runtime's.
        deadline: Seconds after which the cluster ends the job.
        pipeline_run: Id of the run of a pipeline that the job belongs to (`delete_jobs_of`).

    Raises:
        UsageError: The package ``kubeflow`` is not installed, or the place is not on S3.
    """

    shares_files: ClassVar[bool] = False

    def __init__(
        self,
        place: str,
        *,
        runtime: str,
        nodes: int = 1,
        namespace: str | None = None,
        image: str | None = None,
        deadline: int = DEADLINE_SECONDS,
        pipeline_run: str | None = None,
    ) -> None:
        require_sdk()
        if not place.startswith("s3://"):
            raise UsageError(
                f"{place} is a folder of this host; the training runs on others", hint="Give an s3:// prefix."
            )
        self.place, self.runtime, self.nodes = place.rstrip("/"), runtime, nodes
        self.namespace, self.image, self.deadline = namespace, image, deadline
        self.pipeline_run = pipeline_run

    def run(self, job: Job, stop_requested: Callable[[], bool]) -> None:
        """Creates the TrainJob, or finds it running, and waits for it; see `Launcher.run`."""
        from lesiongen.launch.trainjob_cluster import AlreadyThere, Cluster

        cluster = Cluster(self.namespace)
        planned = self._planned(job, cluster)
        name = planned["metadata"]["name"]
        if (found := _found(cluster, planned)) is not None:
            try:
                return _wait_and_delete(cluster, found, stop_requested)
            except Interrupted:
                if stop_requested():
                    raise
                logger.info("TrainJob %s had been asked to stop; it is started again", name)
        try:
            return _wait_and_delete(cluster, Run(name, *addresses(planned)), stop_requested, planned)
        except AlreadyThere:  # another launcher has created it since it was looked for
            found = run_of(cluster.job(name))
            if found is None:
                raise
        logger.info("TrainJob %s exists already; this launcher waits for it", name)
        return _wait_and_delete(cluster, found, stop_requested)

    def end_earlier(self, module: str, identity: str) -> None:
        """Deletes every TrainJob of the same work, and returns when they are gone; see `Launcher.end_earlier`."""
        from lesiongen.launch.trainjob_cluster import Cluster

        cluster = Cluster(self.namespace)
        for job in cluster.jobs(f"{WORK}={work_label(module, identity)}"):
            delete_earlier(cluster, job)

    def _planned(self, job: Job, cluster: "Cluster") -> dict[str, Any]:
        """Returns the TrainJob of a job."""
        from lesiongen.launch.trainjob_cluster import check_devices

        nodes = min(self.nodes, job.processes)
        if job.processes % nodes:
            raise UsageError(f"{job.processes} processes cannot be spread evenly over {nodes} nodes")
        runtime = cluster.runtime(self.runtime)
        layout = JobLayout(
            (runtime.name, runtime.kind.value), self.image or runtime.trainer.image, nodes, job.processes // nodes
        )
        check_devices(runtime, layout.processes)
        return trainjob(job, layout, self.place, deadline=self.deadline, pipeline_run=self.pipeline_run)


def _found(cluster: "Cluster", planned: dict[str, Any]) -> Run | None:
    """Returns the run to wait for; TrainJobs that failed, or do the same work in another layout, are deleted."""
    name, kept = planned["metadata"]["name"], None
    for job in cluster.jobs(f"{WORK}={planned['metadata']['labels'][WORK]}"):
        run = run_of(job)
        if job["metadata"]["name"] == name and run and not _ended_badly(job):
            logger.info("TrainJob %s of an earlier start exists; this launcher waits for it", name)
            _log_differences(job, planned)
            kept = run
        else:
            delete_earlier(cluster, job)
    return kept


def _log_differences(job: dict[str, Any], planned: dict[str, Any]) -> None:
    """Logs which settings of this start a TrainJob of an earlier one does not take over."""
    was, now = job["spec"].get("activeDeadlineSeconds"), planned["spec"]["activeDeadlineSeconds"]
    if was != now:
        limit = f"{was / 3600:.1f} hours" if was else "no limit"
        logger.warning("TrainJob %s keeps its own deadline: %s", job["metadata"]["name"], limit)
    if job["spec"]["trainer"].get("args") != planned["spec"]["trainer"]["args"]:
        logger.info("TrainJob %s keeps the settings that it was started with", job["metadata"]["name"])


def _wait_and_delete(
    cluster: "Cluster", run: Run, stop_requested: Callable[[], bool], planned: dict[str, Any] | None = None
) -> None:
    """Waits for the end of a TrainJob, which is created first where it is only planned, and deletes it in any case."""
    from lesiongen.launch.trainjob_log import NodeLog

    log = NodeLog(cluster)
    with _deleted_at_end(cluster, run) as lease:
        if planned is not None:
            _create(cluster, run, planned)
        try:
            _wait(cluster, run, lease, log, stop_requested)
        finally:
            log.finish()


@contextmanager
def _deleted_at_end(cluster: "Cluster", run: Run) -> Iterator[Lease]:
    """Holds the lease of a run, and deletes its TrainJob however the block ends."""
    gone = False
    try:
        with held_lease(run.lease) as lease:
            try:
                yield lease
            finally:
                gone = removed(cluster, run, lease)
    finally:
        if gone:
            forget(run)


def _create(cluster: "Cluster", run: Run, planned: dict[str, Any]) -> None:
    """Creates the TrainJob of a run.

    Raises:
        AlreadyThere: Another launcher has created one of this name.
        LesionGenError: The cluster refuses it, or does not answer; it may have been created all the same.
    """
    from lesiongen.launch.trainjob_cluster import AlreadyThere

    try:
        cluster.create(planned)
    except AlreadyThere:
        if run_of(cluster.job(run.name)) != run:  # else a proxy has sent the request twice
            raise
    logger.info("Created TrainJob %s in the namespace %s", run.name, cluster.namespace)
    forget_others(run)


def _wait(cluster: "Cluster", run: Run, lease: Lease, log: "NodeLog", stop_requested: Callable[[], bool]) -> None:
    """Returns when the job is complete.

    Raises:
        LesionGenError: It failed, cannot start, or the cluster does not answer any more.
    """
    watch = Watch(cluster, run.name)
    while True:
        stopping, ended = stop_requested(), watch.look()
        if watch.first_node:
            log.follow(watch.first_node)
        if ended:
            if watch.complete:
                return
            log.finish()
            raise _error(run, watch, log, stopping=stopping)
        if stopping:
            lease.ask_to_stop()
            if watch.started is False:  # no process reads the lease, or the first one waits for the others
                raise _stopped(saved=watch.ran or run.earlier)
        time.sleep(POLL_SECONDS)


def _error(run: Run, watch: Watch, log: "NodeLog", *, stopping: bool) -> LesionGenError:
    """Returns the error of a job that failed: what ended a pod is the cause of what the other processes say."""
    place = open_storage(run.errors)
    if watch.trouble and watch.trouble.final and not stopping:
        return watch.trouble.error()
    left = error_of(place, stopping=stopping)
    if left is not None and (type(left) is not LesionGenError or left.hint):
        return left
    if left is None and (asked := error_of(place, stopping=True)):
        return asked  # its lease ran out, or an earlier launcher has asked it
    log_lines = [*log.last]
    if lost := named_network_error(str(left or ""), log_lines):
        return lost
    if left is not None:
        return left
    if stopping:
        return _stopped(saved=watch.ran or run.earlier)
    if watch.trouble:
        return watch.trouble.error()
    lines = "".join(f"\n{line}" for line in log_lines)
    return LesionGenError(f"TrainJob {run.name} failed, and its processes left no error.{lines}", hint=AGAIN)


def _stopped(*, saved: bool) -> Interrupted:
    """Returns the error of a stop that no process has answered.

    Args:
        saved: Whether the job may have saved a checkpoint before.
    """
    if saved:
        return Interrupted(
            "Stopped", hint="Start the same command again: it resumes from its newest checkpoint, if there is one."
        )
    return Interrupted("Stopped before there was anything to save.", hint="Start the same command again.")


def _ended_badly(job: dict[str, Any]) -> bool:
    return condition(job, "Failed") is not None or "deletionTimestamp" in job["metadata"]
