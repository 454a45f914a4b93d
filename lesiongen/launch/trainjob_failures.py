"""Why a TrainJob does not start or has failed, from its conditions, its pods and their events."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from lesiongen.errors import LesionGenError

__all__ = [
    "Trouble",
    "condition",
    "is_pending",
    "missing_pods",
    "named_network_error",
    "trouble_of_events",
    "trouble_of_job",
    "trouble_of_pods",
    "trouble_of_waiting",
]

_IMAGE = {"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "ImageInspectError"}
_CONTAINER = {"CreateContainerConfigError", "CreateContainerError", "RunContainerError"}
_POD_EVENTS = {"FailedMount", "FailedAttachVolume", "FailedCreatePodSandBox"}
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


def is_pending(pod: Mapping[str, Any]) -> bool:
    """Tells whether no container of a pod has started yet."""
    return str(pod.get("status", {}).get("phase", "Pending")) == "Pending"


def trouble_of_waiting(pods: Iterable[Mapping[str, Any]]) -> Trouble | None:
    """Returns the trouble of the first pod that is pending, where nothing else says why."""
    for pod in filter(is_pending, pods):
        name, status = pod["metadata"]["name"], pod.get("status", {})
        waiting = [each.get("state", {}).get("waiting", {}) for each in status.get("containerStatuses", [])]
        reasons = [each.get("reason") for each in (*waiting, *status.get("conditions", []))]
        why = next((f" ({reason})" for reason in reasons if reason), "")
        return Trouble(f"Pod {name} is still pending{why}", f"Look at its events with: kubectl describe pod {name}")
    return None


def trouble_of_events(events: Iterable[Mapping[str, Any]], job: Mapping[str, Any]) -> Trouble | None:
    """Returns the newest reason that events give for pods of a job that do not exist or start.

    Args:
        events: Events of the namespace; those from before the job are of an earlier one of the same name.
        job: The TrainJob; its JobSet, Job and pods have names that begin with its own.
    """
    name, created = job["metadata"]["name"], datetime.fromisoformat(job["metadata"]["creationTimestamp"])
    ours = [event for event in events if event.get("involvedObject", {}).get("name", "").startswith(name)]
    times = [(_time_of(event) or created, event) for event in ours]
    for time, event in sorted(times, key=lambda each: each[0], reverse=True):
        if time < created:
            break
        reason, message = event.get("reason", ""), event.get("message", "")
        if "exceeded quota" in message:
            hint = "Ask for fewer nodes or resources, wait until other jobs have ended, or have the quota raised."
            return Trouble(f"The quota of the namespace is used up: {message}", hint)
        if reason in ("FailedCreate", "TrainJobResourcesCreationFailed"):
            hint = "Check the TrainingRuntime against the rules of the namespace, such as its pod security level."
            return Trouble(f"The cluster refuses the pods of the TrainJob {name}: {message}", hint)
        if reason == "FailedScheduling":
            return _unschedulable(event["involvedObject"]["name"], message)
        if reason in _POD_EVENTS:
            hint = "Check the volumes of the TrainingRuntime, and the network and storage of the node."
            return Trouble(f"Pod {event['involvedObject']['name']} cannot start ({reason}): {message}", hint)
    return None


def missing_pods(job: Mapping[str, Any], found: int) -> Trouble:
    """Returns the trouble of a TrainJob that lacks pods, and nothing says why.

    Args:
        job: The TrainJob.
        found: How many pods it has.
    """
    name, nodes = job["metadata"]["name"], job["spec"]["trainer"]["numNodes"]
    return Trouble(
        f"TrainJob {name} has {f'{found} of {nodes}' if found else 'no'} pods",
        f"Check that Kubeflow Trainer's controller runs, and what it says: kubectl describe trainjob {name}",
    )


def named_network_error(text: str, log_lines: Sequence[str] = ()) -> LesionGenError | None:
    """Returns the error of processes that lost each other; None where neither text nor log speaks of it.

    Args:
        text: What a process left behind.
        log_lines: The last lines of the log.
    """
    lines = [line.strip() for line in [*text.splitlines(), *log_lines] if _NETWORK.search(line)]
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


def _time_of(event: Mapping[str, Any]) -> datetime | None:
    """Returns when an event came last; those of the newer API have only an ``eventTime``."""
    written = event.get("lastTimestamp") or event.get("eventTime")
    return datetime.fromisoformat(written) if written else None


def _said(of: Mapping[str, Any]) -> str:
    return str(of.get("message") or "").strip()
