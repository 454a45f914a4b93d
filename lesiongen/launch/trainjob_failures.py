"""Why a TrainJob does not start or has failed, from its conditions, its pods and their events."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lesiongen.errors import LesionGenError

__all__ = [
    "Trouble",
    "condition",
    "named_network_error",
    "no_pods",
    "trouble_of_events",
    "trouble_of_job",
    "trouble_of_pods",
]

_IMAGE = {"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "ImageInspectError"}
_CONTAINER = {"CreateContainerConfigError", "CreateContainerError", "RunContainerError"}
_NETWORK = re.compile(
    r"NCCL (?:error|failure)|nccl(?:Unhandled|System|Remote|Internal)|Dist(?:Network|Store|Backend)Error"
    r"|Rendezvous\w*Error|Watchdog caught collective|Connection (?:closed by|reset by|refused)"
    r"|Timed out (?:after|waiting) .*(?:clients|recv|send)|socket has timed out|Socket Timeout"
)
AGAIN = "Run the same command again to resume."


@dataclass(frozen=True)
class Trouble:
    """One reason why a job does not run.

    Attributes:
        message: What is wrong, in a sentence.
        hint: What to do about it.
        final: Whether it has ended a pod; else the pods wait, and may start yet.
    """

    message: str
    hint: str
    final: bool = False

    def error(self) -> LesionGenError:
        """Returns it as an error."""
        return LesionGenError(self.message, hint=self.hint)


def condition(job: Mapping[str, Any], kind: str) -> Mapping[str, Any] | None:
    """Returns a condition of a TrainJob that is true, such as ``Complete``, ``Failed`` or ``Suspended``."""
    conditions = job.get("status", {}).get("conditions", [])
    return next((each for each in conditions if each["type"] == kind and each["status"] == "True"), None)


def trouble_of_job(job: Mapping[str, Any]) -> Trouble | None:
    """Returns the reason that a failed TrainJob states itself; None where it only says that its pods have failed."""
    failed = condition(job, "Failed")
    if failed is None:
        return None
    name = job["metadata"]["name"]
    if "DeadlineExceeded" in failed["reason"]:
        seconds = job["spec"].get("activeDeadlineSeconds", 0)
        return Trouble(
            f"The TrainJob {name} has reached its time limit of {seconds / 3600:.1f} hours",
            f"Run the same command again to resume, with a higher deadline. {_said(failed)}".strip(),
            final=True,
        )
    if "RuntimeNotSupported" in failed["reason"]:
        hint = "Apply the TrainingRuntime, or name another one."
        return Trouble(f"The TrainJob {name} has no usable runtime: {failed['message']}", hint, final=True)
    return None


def trouble_of_pods(pods: Iterable[Mapping[str, Any]]) -> Trouble | None:
    """Returns what is wrong with the pods of a job: of several reasons one that has ended a pod."""
    found = [trouble for pod in pods if (trouble := _trouble_of_pod(pod))]
    return next((trouble for trouble in found if trouble.final), found[0] if found else None)


def trouble_of_events(events: Iterable[Mapping[str, Any]], name: str) -> Trouble | None:
    """Returns the newest reason that events give for pods of a job that do not exist yet.

    Args:
        events: Events of the namespace.
        name: Of the TrainJob; its JobSet, Job and pods have names that begin with it.
    """
    ours = [event for event in events if event.get("involvedObject", {}).get("name", "").startswith(name)]
    for event in sorted(ours, key=lambda each: each.get("lastTimestamp") or "", reverse=True):
        reason, message = event.get("reason", ""), event.get("message", "")
        if "exceeded quota" in message:
            hint = "Ask for fewer nodes or resources, wait until other jobs have ended, or have the quota raised."
            return Trouble(f"The quota of the namespace is used up: {message}", hint)
        if reason in ("FailedCreate", "TrainJobResourcesCreationFailed"):
            hint = "Check the TrainingRuntime against the rules of the namespace, such as its pod security level."
            return Trouble(f"The cluster refuses the pods of the TrainJob {name}: {message}", hint)
        if reason == "FailedScheduling":
            return _unschedulable(event["involvedObject"]["name"], message)
    return None


def no_pods(name: str) -> Trouble:
    """Returns the trouble of a TrainJob that has no pods, and nothing says why."""
    return Trouble(
        f"TrainJob {name} has no pods",
        f"Check that Kubeflow Trainer's controller runs, and what it says: kubectl describe trainjob {name}",
    )


def named_network_error(text: str, said: Sequence[str] = ()) -> LesionGenError | None:
    """Returns the error of processes that lost each other; None where neither text nor log speaks of it.

    Args:
        text: What a process left behind.
        said: The last lines of the log.
    """
    lines = [line.strip() for line in [*text.splitlines(), *said] if _NETWORK.search(line)]
    if not lines:
        return None
    return LesionGenError(
        f"The processes of the job could not reach each other, or one of them has gone: {lines[-1]}",
        hint="Check that network policies let the pods of a job reach each other on every port, that no pod was "
        f"deleted, and for NCCL the interface (NCCL_SOCKET_IFNAME) and /dev/shm. {AGAIN}",
    )


def _trouble_of_pod(pod: Mapping[str, Any]) -> Trouble | None:
    name, status = pod["metadata"]["name"], pod.get("status", {})
    containers = [*status.get("initContainerStatuses", []), *status.get("containerStatuses", [])]
    for container in containers:
        if trouble := _trouble_of_container(name, container):
            return trouble
    for each in status.get("conditions", []):
        if each["type"] == "DisruptionTarget" and each["status"] == "True":
            return _evicted(name, each)
        if each["type"] == "PodScheduled" and each["status"] == "False" and each.get("reason") == "Unschedulable":
            return _unschedulable(name, each.get("message", ""))
    return _evicted(name, status) if status.get("reason") in ("Evicted", "Preempted", "NodeLost") else None


def _trouble_of_container(pod: str, container: Mapping[str, Any]) -> Trouble | None:
    waiting = container.get("state", {}).get("waiting", {})
    ended = container.get("state", {}).get("terminated", container.get("lastState", {}).get("terminated", {}))
    if ended.get("reason") == "OOMKilled":
        return Trouble(
            f"Pod {pod} ran out of memory and was killed (OOMKilled)",
            f"Raise the memory limit of the TrainingRuntime, or take a smaller batch_size. {AGAIN}",
            final=True,
        )
    if waiting.get("reason") in _IMAGE:
        return Trouble(
            f"The image {container.get('image')} cannot be pulled: {_said(waiting) or waiting['reason']}",
            "Check the name of the image, and the pull secret of the TrainingRuntime.",
        )
    if waiting.get("reason") in _CONTAINER:
        return Trouble(
            f"The container of pod {pod} cannot be started: {_said(waiting) or waiting['reason']}",
            "Check the Secret and the ConfigMap that the TrainingRuntime names.",
        )
    return None


def _evicted(pod: str, said: Mapping[str, Any]) -> Trouble:
    why = ": ".join(part for part in (said.get("reason"), _said(said)) if part)
    return Trouble(f"Pod {pod} was evicted from its node ({why})", AGAIN, final=True)


def _unschedulable(pod: str, message: str) -> Trouble:
    hint = "Ask for fewer nodes or resources, or wait until other jobs have ended."
    return Trouble(f"No node of the cluster can take pod {pod}: {message}", hint)


def _said(of: Mapping[str, Any]) -> str:
    return str(of.get("message") or "").strip()
