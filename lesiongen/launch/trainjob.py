"""Several nodes of a cluster, as a TrainJob of Kubeflow Trainer."""

import hashlib
import json
import logging
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, ClassVar

from lesiongen.errors import Interrupted, LesionGenError, ServiceError, UsageError
from lesiongen.launch.job import Job, Launcher
from lesiongen.launch.lease import LEASE, Lease, held_lease
from lesiongen.launch.trainjob_failures import AGAIN, condition, named_network_error
from lesiongen.launch.trainjob_watch import Watch
from lesiongen.launch.worker import ERRORS, LEVEL, error_of
from lesiongen.storage import open_storage

if TYPE_CHECKING:
    from lesiongen.launch.trainjob_cluster import Cluster
    from lesiongen.launch.trainjob_log import NodeLog

__all__ = ["DEADLINE_SECONDS", "TrainJobLauncher"]

logger = logging.getLogger(__name__)

API_VERSION = "trainer.kubeflow.org/v1alpha1"
POLL_SECONDS = 2.0
DEADLINE_SECONDS = 48 * 3600
GONE_SECONDS = 300.0
"""How long the deletion of a job may take."""
DELETE_ATTEMPTS = 4
DELETE_SECONDS = 5.0
"""How often the deletion of a job is tried, and the time between two attempts."""
WORK = "lesiongen/work"
"""Label of the TrainJobs that do the same work, whatever their layout."""


@dataclass(frozen=True)
class _Run:
    """One run of a job: the TrainJob's name, and the addresses that its processes were given."""

    name: str
    errors: str
    lease: str
    earlier: bool = field(default=False, compare=False)
    """Whether another start has created it."""


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
    ) -> None:
        if not _sdk_is_installed():
            hint = "Install it with: pip install lesiongen[cluster]"
            raise UsageError("TrainJobs need the package kubeflow, which is not installed", hint=hint)
        if not place.startswith("s3://"):
            raise UsageError(
                f"{place} is a folder of this host; the training runs on others", hint="Give an s3:// prefix."
            )
        self.place, self.runtime, self.nodes = place.rstrip("/"), runtime, nodes
        self.namespace, self.image, self.deadline = namespace, image, deadline

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
            return _wait_and_delete(cluster, _Run(name, *_addresses(planned)), stop_requested, planned)
        except AlreadyThere:  # another launcher has created it since it was looked for
            found = _run_of(cluster.job(name))
            if found is None:
                raise
        logger.info("TrainJob %s exists already; this launcher waits for it", name)
        return _wait_and_delete(cluster, found, stop_requested)

    def end_earlier(self, module: str, identity: str) -> None:
        """Deletes every TrainJob of the same work, and returns when they are gone; see `Launcher.end_earlier`."""
        from lesiongen.launch.trainjob_cluster import Cluster

        cluster = Cluster(self.namespace)
        for job in cluster.jobs(f"{WORK}={_work(module, identity)}"):
            _delete_earlier(cluster, job)

    def _planned(self, job: Job, cluster: "Cluster") -> dict[str, Any]:
        """Returns the TrainJob of a job."""
        from lesiongen.launch.trainjob_cluster import check_devices

        nodes = min(self.nodes, job.processes)
        if job.processes % nodes:
            raise UsageError(f"{job.processes} processes cannot be spread evenly over {nodes} nodes")
        each = job.processes // nodes
        runtime = cluster.runtime(self.runtime)
        image = self.image or runtime.trainer.image
        check_devices(runtime, each)
        work = _work(job.module, job.identity or secrets.token_hex(8))
        name = f"lg-{_digest(work, image, self.runtime, nodes, each)}"
        place = f"{self.place}/{name}-{secrets.token_hex(4)}"
        variables = {
            ERRORS: f"{place}/errors",
            LEASE: f"{place}/lease.json",
            LEVEL: logging.getLevelName(logging.getLogger("lesiongen").getEffectiveLevel()),
            "TORCH_CPP_LOG_LEVEL": "ERROR",
            **({"OMP_NUM_THREADS": str(job.threads)} if job.threads else {}),
        }
        return {
            "apiVersion": API_VERSION,
            "kind": "TrainJob",
            "metadata": {"name": name, "labels": {WORK: work, "app.kubernetes.io/managed-by": "lesiongen"}},
            "spec": {
                "runtimeRef": {"name": runtime.name, "kind": runtime.kind.value},
                "activeDeadlineSeconds": self.deadline,
                "trainer": {
                    "image": image,
                    "command": ["python", "-m", "lesiongen.launch.agent"],
                    "args": ["--module", job.module, _literal(job.specification)],
                    "env": [{"name": key, "value": _literal(value)} for key, value in variables.items()],
                    "numNodes": nodes,
                    "numProcPerNode": each,
                },
            },
        }


def _found(cluster: "Cluster", planned: dict[str, Any]) -> _Run | None:
    """Returns the run to wait for; TrainJobs that failed, or do the same work in another layout, are deleted."""
    name, kept = planned["metadata"]["name"], None
    for job in cluster.jobs(f"{WORK}={planned['metadata']['labels'][WORK]}"):
        run = _run_of(job)
        if job["metadata"]["name"] == name and run and not _ended_badly(job):
            logger.info("TrainJob %s of an earlier start exists; this launcher waits for it", name)
            _log_differences(job, planned)
            kept = run
        else:
            _delete_earlier(cluster, job)
    return kept


def _delete_earlier(cluster: "Cluster", job: dict[str, Any]) -> None:
    """Deletes a TrainJob of an earlier start, and returns when it is gone."""
    name = job["metadata"]["name"]
    logger.info("Deleting TrainJob %s of an earlier start", name)
    cluster.delete(name)
    _await_end(cluster, name)
    if run := _run_of(job):
        _forget(run)


def _log_differences(job: dict[str, Any], planned: dict[str, Any]) -> None:
    """Logs which settings of this start a TrainJob of an earlier one does not take over."""
    was, now = job["spec"].get("activeDeadlineSeconds"), planned["spec"]["activeDeadlineSeconds"]
    if was != now:
        limit = f"{was / 3600:.1f} hours" if was else "no limit"
        logger.warning("TrainJob %s keeps its own deadline: %s", job["metadata"]["name"], limit)
    if job["spec"]["trainer"].get("args") != planned["spec"]["trainer"]["args"]:
        logger.info("TrainJob %s keeps the settings that it was started with", job["metadata"]["name"])


def _wait_and_delete(
    cluster: "Cluster", run: _Run, stop_requested: Callable[[], bool], planned: dict[str, Any] | None = None
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
def _deleted_at_end(cluster: "Cluster", run: _Run) -> Iterator[Lease]:
    """Holds the lease of a run, and deletes its TrainJob however the block ends."""
    gone = False
    try:
        with held_lease(run.lease) as lease:
            try:
                yield lease
            finally:
                gone = _removed(cluster, run, lease)
    finally:
        if gone:
            _forget(run)


def _create(cluster: "Cluster", run: _Run, planned: dict[str, Any]) -> None:
    """Creates the TrainJob of a run.

    Raises:
        AlreadyThere: Another launcher has created one of this name.
        LesionGenError: The cluster refuses it, or does not answer; it may have been created all the same.
    """
    from lesiongen.launch.trainjob_cluster import AlreadyThere

    try:
        cluster.create(planned)
    except AlreadyThere:
        if _run_of(cluster.job(run.name)) != run:  # else a proxy has sent the request twice
            raise
    logger.info("Created TrainJob %s in the namespace %s", run.name, cluster.namespace)


def _wait(cluster: "Cluster", run: _Run, lease: Lease, log: "NodeLog", stop_requested: Callable[[], bool]) -> None:
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


def _error(run: _Run, watch: Watch, log: "NodeLog", *, stopping: bool) -> LesionGenError:
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


def _removed(cluster: "Cluster", run: _Run, lease: Lease) -> bool:
    """Deletes the TrainJob of a run and returns whether it is gone; without an answer the lease ends the processes."""
    try:
        _try_again(lambda: _delete(cluster, run))
    except LesionGenError as error:
        logger.warning("TrainJob %s cannot be deleted: %s", run.name, error)
        lease.ask_to_stop()
        return False
    return True


def _delete(cluster: "Cluster", run: _Run) -> None:
    """Deletes the TrainJob of a run, and returns when it is gone; one of the same name that is another's stays."""
    found = cluster.job(run.name)
    if found is None or _run_of(found) == run:
        cluster.delete(run.name)
        _await_end(cluster, run.name)


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


def _await_end(cluster: "Cluster", name: str) -> None:
    """Waits until a deleted TrainJob and its pods are gone.

    Raises:
        ServiceError: They are still there after `GONE_SECONDS`.
    """
    until = time.monotonic() + GONE_SECONDS
    while cluster.job(name) is not None or cluster.pods(name):
        if time.monotonic() > until:
            hint = f"Look at it with: kubectl -n {cluster.namespace} describe trainjob {name}"
            raise ServiceError(
                f"TrainJob {name} is still there {GONE_SECONDS:.0f} seconds after its deletion", hint=hint
            )
        time.sleep(POLL_SECONDS)


def _forget(run: _Run) -> None:
    """Deletes the lease and the errors of a run; what cannot be deleted is a few small objects."""
    with suppress(LesionGenError):
        open_storage(run.lease.rpartition("/")[0]).delete_all()


def _run_of(job: dict[str, Any] | None) -> _Run | None:
    """Returns the run that a TrainJob of the cluster belongs to; None where it is none of ours."""
    if job is None:
        return None
    addresses = _addresses(job)
    return _Run(job["metadata"]["name"], *addresses, earlier=True) if all(addresses) else None


def _addresses(job: dict[str, Any]) -> tuple[str, str]:
    variables = {each["name"]: each.get("value", "") for each in job["spec"].get("trainer", {}).get("env", [])}
    return variables.get(ERRORS, "").replace("$$", "$"), variables.get(LEASE, "").replace("$$", "$")


def _literal(text: str) -> str:
    """Returns a text of a container that Kubernetes reads as it is: ``$(NAME)`` would be the variable, a secret too."""
    return text.replace("$", "$$")


def _ended_badly(job: dict[str, Any]) -> bool:
    return condition(job, "Failed") is not None or "deletionTimestamp" in job["metadata"]


def _sdk_is_installed() -> bool:
    """Tells whether the SDK is there; other packages bring a folder ``kubeflow`` too."""
    try:
        return find_spec("kubeflow.trainer") is not None
    except ModuleNotFoundError:
        return False


def _work(module: str, identity: str) -> str:
    return _digest(module, identity)


def _digest(*parts: object) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]
