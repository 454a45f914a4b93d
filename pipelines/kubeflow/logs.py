"""Logs of steps: from the pods while the server has them, then from the storage of the outputs."""

from collections.abc import Callable

from components.step import ERROR_PREFIX
from lesiongen.errors import Unavailable
from lesiongen.storage import open_storage
from pipelines.kubeflow.nodes import pods_of
from pipelines.kubeflow.runs import NOT_STARTED, Run, StepStatus, read_later
from pipelines.kubeflow.server import NotFound, Refused, Server, ServerFault, Unauthorized

__all__ = ["end_of_log", "follow_logs", "read_log"]

_TAIL_LINES = 25
_ERROR_BODY = '{"error_message":'
"""What the API server writes in place of a log that it cannot read; its status is that of success."""
_STORED = "executor-logs"


def read_log(server: Server, run: Run, status: StepStatus) -> str | None:
    """Returns the log of a step's newest attempt; None if it was deleted, or is not written yet.

    Raises:
        Unavailable: The server does not answer.
        StorageError: The storage of the outputs cannot be read.
    """
    if status.state == NOT_STARTED:
        return None
    for pod in reversed(pods_of(status.step, status.task, run.details)):
        if (text := _from_pod(server, run, pod)) is not None:
            return text
    return _stored(server, run, status)


def end_of_log(log: str) -> str:
    """Returns the lines in which a step names its error; the last lines of a log that names none."""
    marker, _, _ = ERROR_PREFIX.partition("{stage}")
    lines = log.splitlines()
    errors = [line for line in lines if marker and line.startswith(marker)]
    return "\n".join(errors or lines[-_TAIL_LINES:])


def follow_logs(server: Server, run: Run, step: str | None, say: Callable[[StepStatus, str], None]) -> Run:
    """Hands on the lines of the steps' logs as they come, until the run or the step has ended; returns the run then.

    Args:
        server: The server.
        run: The run.
        step: The step; all where it is None.
        say: Takes a step and a line of its log.

    Raises:
        UsageError: The run has no such step.
        ServiceError: The server does not answer as it should.
    """
    seen: dict[str, int] = {}
    while True:
        chosen = run.steps if step is None else run.steps_named(step)
        # Whether it has ended is asked for before the log: what is written in between is read next time.
        done = run.has_ended or (step is not None and all(_is_over(each) for each in chosen))
        for status in chosen:
            try:
                _hand_on(status, read_log(server, run, status), seen, say, whole=done)
            except (Unavailable, Unauthorized):  # it is waited for below
                if done:
                    raise
        if done:
            return run
        run = read_later(server, run)


def _is_over(status: StepStatus) -> bool:
    return status.ended is not None


def _hand_on(
    status: StepStatus, log: str | None, seen: dict[str, int], say: Callable[[StepStatus, str], None], *, whole: bool
) -> None:
    lines = (log or "").splitlines(keepends=True)
    if lines and not whole and not lines[-1].endswith("\n"):
        lines.pop()  # it is being written
    first = seen.get(status.name, 0)
    if len(lines) < first:  # another attempt has begun
        first = 0
    for line in lines[first:]:
        say(status, line.rstrip("\r\n"))
    seen[status.name] = max(len(lines), seen.get(status.name, 0)) if log is None else len(lines)


def _from_pod(server: Server, run: Run, pod: str) -> str | None:
    """Asks the API server, which shows the log itself, then the server of the pages, which the gateway leads to."""
    scope = {"podnamespace": server.namespace} if server.namespace else {}
    for path, query in (
        (f"/apis/v1alpha1/runs/{run.id}/nodes/{pod}/log", {}),
        ("/k8s/pod/logs", {"podname": pod, "runid": run.id, **scope}),
    ):
        try:
            text = server.text(path, **query)
        except (NotFound, Refused, ServerFault):  # the last is what the pages' server says of a pod that is gone
            continue
        if text and not text.startswith(_ERROR_BODY):
            return text
    return None


def _stored(server: Server, run: Run, status: StepStatus) -> str | None:
    """Returns what the launcher has copied beside the outputs, at the end of the step."""
    root = run.pipeline_root or server.profile.pipeline_root
    pipeline = run.spec.get("pipelineInfo", {}).get("name")
    if not root or not root.startswith("s3://") or not pipeline:
        return None
    storage = open_storage(root).child(pipeline, run.id, status.step.name)
    logs = [item for item in storage.list() if item.key.rpartition("/")[2].startswith(_STORED)]
    if not logs:
        return None
    newest = max(logs, key=lambda item: (item.modified, item.key))
    return storage.read_bytes(newest.key).decode("utf-8", "replace")
