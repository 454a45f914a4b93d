"""Pass a request to stop on to the step that runs, so that it can save its state."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

import psutil

from pipelines.runners import stop_containers

__all__ = ["stop_steps_on_signals"]

_EXECUTOR = "kfp.dsl.executor_main"


@contextmanager
def stop_steps_on_signals(stop: threading.Event, run_id: str) -> Iterator[None]:
    """Turns SIGTERM and SIGINT into SIGTERM for the running step; the pipeline then ends as a failed one does.

    Args:
        stop: Set when a signal arrived.
        run_id: The label of the run's containers.
    """

    def handle(_number: int, _frame: FrameType | None) -> None:
        stop.set()
        _terminate_steps()
        stop_containers(run_id)

    if threading.current_thread() is not threading.main_thread():
        yield  # Python delivers signals to the main thread alone
        return
    before = {number: signal.signal(number, handle) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _terminate_steps() -> None:
    for child in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):
            if any(_EXECUTOR in part for part in child.cmdline()):
                child.terminate()
