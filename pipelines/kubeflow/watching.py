"""Wait for a run, cancel one, and say how it ended."""

import time
from collections.abc import Callable

from lesiongen.errors import LesionGenError, StillRunning
from pipelines.kubeflow.logs import end_of_log, read_log
from pipelines.kubeflow.runs import NOT_STARTED, Run, StepStatus, read_later, read_run
from pipelines.kubeflow.server import Refused, Server

__all__ = ["cancel", "raise_for_outcome", "wait"]


def wait(server: Server, run: Run, *, timeout: float | None, say: Callable[[str], None]) -> Run:
    """Waits until a run has ended or the time is over, and returns it; says of every step that it starts and ends.

    Args:
        server: The server; it may be away for some minutes.
        run: The run.
        timeout: Seconds to wait at most; None waits for ever.
        say: Takes a line for the reader.

    Raises:
        ServiceError: The server has been away, or has rejected the credentials, for too long.
    """
    deadline = None if timeout is None else time.monotonic() + timeout
    said: dict[str, str] = {}
    while True:
        _say_steps(run, said, say)
        if run.has_ended:
            return run
        left = None if deadline is None else deadline - time.monotonic()
        if left is not None and left <= 0:
            return run
        run = read_later(server, run, left)


def cancel(server: Server, run: Run, *, timeout: float, say: Callable[[str], None]) -> Run:
    """Ends a run, and waits until it has ended.

    Args:
        server: The server.
        run: The run; nothing is done to one that has ended.
        timeout: Seconds to wait at most.
        say: Takes a line for the reader.

    Raises:
        StillRunning: It has not ended by then.
        ServiceError: The server does not answer as it should, or refuses.
    """
    if run.has_ended:
        return run
    try:
        server.ask(server.runs.run_service_terminate_run, run_id=run.id)
    except Refused:  # also what it says of a run that has just ended, or is being cancelled
        run = read_run(server, run.id, run)
        if not run.has_ended and run.state != "CANCELING":
            raise
    run = wait(server, read_run(server, run.id, run), timeout=timeout, say=say)
    if not run.has_ended:
        raise StillRunning(
            f"The run {run.name} is being cancelled, and has not ended after {timeout:g} s.", hint=_look_at(server, run)
        )
    return run


def raise_for_outcome(server: Server, run: Run) -> None:
    """Raises the error of a run that has not succeeded.

    Raises:
        StillRunning: The run has not ended.
        LesionGenError: The run failed, with the end of the failed step's log, or was cancelled.
    """
    if run.state == "SUCCEEDED":
        return
    if not run.has_ended:
        raise StillRunning(f"The run {run.name} has not ended: {run.state}.", hint=_look_at(server, run))
    if run.state != "FAILED":
        raise LesionGenError(f"The run {run.name} ended: {run.state}.", hint=f"Its page: {run.url}")
    failed = [each for each in run.steps if each.state == "FAILED"]
    failed.sort(key=lambda each: each.ended.timestamp() if each.ended else float("inf"))
    if not failed:
        said = f": {run.error}" if run.error else " before any of its steps did"
        raise LesionGenError(f"The run {run.name} failed{said}.", hint=f"Its page: {run.url}")
    step = failed[0]
    raise LesionGenError(
        f"The run {run.name} failed at {step.name}: {_last_words(server, run, step)}",
        hint=f"Log: lesiongen pipeline logs {run.id} {step.name}{server.profile.option}\nIts page: {run.url}",
    )


def _look_at(server: Server, run: Run) -> str:
    return f"It continues. Look at it: lesiongen pipeline status {run.id}{server.profile.option}"


def _last_words(server: Server, run: Run, step: StepStatus) -> str:
    try:
        log = read_log(server, run, step)
    except LesionGenError as error:
        return f"its log cannot be read ({error})"
    return end_of_log(log) if log else run.error or "its log is gone, or its container never started."


def _say_steps(run: Run, said: dict[str, str], say: Callable[[str], None]) -> None:
    for step in run.steps:
        if step.state == said.get(step.name, NOT_STARTED):
            continue
        said[step.name] = step.state
        took = f" after {step.seconds:.0f} s" if step.ended and step.seconds is not None else ""
        say(f"{step.name}: {step.state}{took}")
