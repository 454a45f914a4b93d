"""Several nodes of a cluster, as a TrainJob of Kubeflow Trainer."""

import hashlib
import json
import logging
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
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
WORK = "lesiongen/work"
"""Label of the TrainJobs that do the same work, whatever their layout."""


@dataclass(frozen=True)
class _Run:
    """One run of a job: the TrainJob's name, and the addresses that its processes were given."""

    name: str
    errors: str
    lease: str


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
        if (found := self._found(cluster, name, planned["metadata"]["labels"][WORK])) is not None:
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

    def _planned(self, job: Job, cluster: "Cluster") -> dict[str, Any]:
        """Returns the TrainJob of a job."""
        nodes = min(self.nodes, job.processes)
        if job.processes % nodes:
            raise UsageError(f"{job.processes} processes cannot be spread evenly over {nodes} nodes")
        each = job.processes // nodes
        runtime = cluster.runtime(self.runtime)
        image = self.image or runtime.trainer.image
        _check_devices(runtime, each)
        work = _digest(job.module, job.identity or secrets.token_hex(8))
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

    def _found(self, cluster: "Cluster", name: str, work: str) -> _Run | None:
        """Returns the run to wait for; TrainJobs that failed, or do the same work in another layout, are deleted."""
        kept = None
        for job in cluster.jobs(f"{WORK}={work}"):
            run = _run_of(job)
            if job["metadata"]["name"] == name and run and not _ended_badly(job):
                kept = run
                continue
            logger.info("TrainJob %s of an earlier start is deleted", job["metadata"]["name"])
            cluster.delete(job["metadata"]["name"])
            _await_end(cluster, job["metadata"]["name"])
            if run:
                _forget(run)
        if kept is not None:
            logger.info("TrainJob %s of an earlier start is there; this launcher waits for it", name)
        return kept


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
            if not watch.started:  # no process reads the lease yet, or the first one waits for the others
                raise Interrupted("Stopped before there was anything to save.", hint="Start the same command again.")
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
    said = [*log.last]
    if lost := named_network_error(str(left or ""), said):
        return lost
    if left is not None:
        return left
    if stopping:
        return Interrupted("Stopped before there was anything to save.", hint="Start the same command again.")
    if watch.trouble:
        return watch.trouble.error()
    lines = "".join(f"\n{line}" for line in said)
    return LesionGenError(f"TrainJob {run.name} failed, and its processes left no error.{lines}", hint=AGAIN)


def _removed(cluster: "Cluster", run: _Run, lease: Lease) -> bool:
    """Deletes the TrainJob of a run and returns whether it is gone; without an answer the lease ends the processes."""
    try:
        found = cluster.job(run.name)
        if found is not None and _run_of(found) != run:  # another launcher's, of the same work
            return True
        cluster.delete(run.name)
        _await_end(cluster, run.name)
    except LesionGenError as error:
        logger.warning("TrainJob %s cannot be deleted: %s", run.name, error)
        lease.ask_to_stop()
        return False
    return True


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
    return _Run(job["metadata"]["name"], *addresses) if all(addresses) else None


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


def _check_devices(runtime: Any, each: int) -> None:
    """Refuses more processes than a node has GPUs.

    Raises:
        UsageError: The runtime's nodes have fewer.
    """
    trainer = runtime.trainer
    if trainer.device != "gpu" or not trainer.device_count.isdigit():
        return
    gpus = int(trainer.device_count) // trainer.num_nodes  # the SDK counts those of all nodes
    if gpus < each:
        raise UsageError(
            f"{each} processes of a node need a GPU each; the runtime {runtime.name} gives it {gpus}",
            hint="Raise nvidia.com/gpu in the runtime, or take more nodes.",
        )


def _digest(*parts: object) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]
