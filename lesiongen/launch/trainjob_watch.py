"""What is seen of a TrainJob, from its creation to its end: its conditions, its pods, and why they wait."""

import logging
import time
from typing import TYPE_CHECKING, Any

from lesiongen.errors import ServiceError
from lesiongen.launch.trainjob_failures import (
    AGAIN,
    Trouble,
    condition,
    is_pending,
    missing_pods,
    trouble_of_events,
    trouble_of_job,
    trouble_of_pods,
    trouble_of_waiting,
)

if TYPE_CHECKING:
    from lesiongen.launch.trainjob_cluster import Cluster

__all__ = ["Watch"]

logger = logging.getLogger(__name__)

START_SECONDS = 900.0
"""How long pods may wait for an image, a node or the quota; a job in a queue (suspended) waits without a limit."""
WARN_SECONDS = 10.0
"""After which time of waiting the reason is logged."""
ANSWER_SECONDS = 600.0
"""How long the cluster may not answer while a job runs."""
_INDEX = "batch.kubernetes.io/job-completion-index"
_ROLE = "jobset.sigs.k8s.io/replicatedjob-name"


class Watch:
    """Polls a TrainJob.

    Args:
        cluster: Where it runs.
        name: Its name.
    """

    def __init__(self, cluster: "Cluster", name: str) -> None:
        self.cluster, self.name = cluster, name
        self.complete = False
        self.started: bool | None = None
        """Whether all nodes have started, and the job was not suspended since; None until the first look."""
        self.ran = False
        """Whether all nodes had started at some time, so that there may be something saved."""
        self.first_node: str | None = None
        """Pod of the first node, once it has started."""
        self.trouble: Trouble | None = None
        """Why it does not run, or what has ended a pod."""
        self._answered = self._well = time.monotonic()
        self._warned = ""
        self._denied = self._queued = False

    def look(self) -> bool:
        """Looks once; returns whether the job has ended.

        Raises:
            LesionGenError: Its pods do not start in time, it was deleted, or the cluster does not answer for long.
        """
        from lesiongen.launch.trainjob_cluster import Denied, NoAnswer

        try:
            ended = self._look()
        except (Denied, NoAnswer) as error:
            denied = isinstance(error, Denied)
            if time.monotonic() - self._answered > ANSWER_SECONDS or (denied and self.started is None):
                raise
            if denied and not self._denied:
                logger.warning("%s; asking again for %.0f minutes", error.args[0], ANSWER_SECONDS / 60)
                self._denied = True
            logger.debug("%s", error)
            return False
        self._answered, self._denied = time.monotonic(), False
        return ended

    def _look(self) -> bool:
        job = self.cluster.job(self.name)
        if job is None:
            raise ServiceError(f"TrainJob {self.name} was deleted while it ran", hint=AGAIN)
        self.complete = condition(job, "Complete") is not None
        if self.complete:
            return True
        pods, nodes = self.cluster.pods(self.name), job["spec"]["trainer"]["numNodes"]
        failed, suspended = condition(job, "Failed") is not None, condition(job, "Suspended") is not None
        self._note_pods(pods, nodes, suspended=suspended)
        self._note_queue(suspended=suspended)
        # A pod that has ended may be removed before the job has failed; a suspended job begins again.
        ending = failed or (self.trouble is not None and self.trouble.final and not suspended)
        trouble = trouble_of_job(job) or trouble_of_pods(pods)
        if trouble is None and not (ending or suspended or (self.started and pods)):
            trouble = trouble_of_events(self._events(), job) or trouble_of_waiting(pods) or missing_pods(job, len(pods))
        if trouble is not None or not ending:
            self._note(trouble)
        if not failed and not suspended:
            self._require_start()
        else:
            self._well = time.monotonic()
        return failed

    def _events(self) -> list[dict[str, Any]]:
        try:
            return self.cluster.events()
        except ServiceError as error:  # they only explain; an account may not read them
            logger.debug("%s", error)
            return []

    def _note_pods(self, pods: list[dict[str, Any]], nodes: int, *, suspended: bool) -> None:
        started = [pod for pod in pods if not is_pending(pod)]
        # Of a job that fails pods may be gone before it says so; only a suspended one starts again.
        self.started = not suspended and (bool(self.started) or len(started) >= nodes)
        self.ran = self.ran or self.started
        for pod in started:
            labels = pod["metadata"].get("labels", {})
            if labels.get(_ROLE) == "node" and labels.get(_INDEX) == "0":
                self.first_node = pod["metadata"]["name"]

    def _note_queue(self, *, suspended: bool) -> None:
        if suspended and not self._queued:
            logger.info("TrainJob %s waits in a queue", self.name)
        self._queued = suspended

    def _note(self, trouble: Trouble | None) -> None:
        now = time.monotonic()
        if trouble is None or trouble.final:
            self._well = now
        elif now - self._well > WARN_SECONDS and trouble.hint != self._warned:  # the message may count attempts
            logger.warning("%s; waiting", trouble.message)
            self._warned = trouble.hint
        self.trouble = trouble

    def _require_start(self) -> None:
        if self.trouble and not self.trouble.final and time.monotonic() - self._well > START_SECONDS:
            raise self.trouble.error()
