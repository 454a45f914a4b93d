"""Pass a request to stop on to the step that runs, so that it can save its state."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType

import psutil

__all__ = ["stop_steps_on_signals", "terminate_processes"]

EXECUTOR = "kfp.dsl.executor_main"
EXIT_HANDLER = "finish"
_POLL_SECONDS = 0.5


@contextmanager
def stop_steps_on_signals(terminate: Callable[[set[str]], None]) -> Iterator[threading.Event]:
    """Turns SIGTERM and SIGINT into SIGTERM for every step but the exit handler; the pipeline then ends by itself.

    A step may be on its way when the signal arrives: until the block ends, those that turn up are stopped too.

    Args:
        terminate: Asks the running steps to stop, once each: it is given the ids of those already asked.

    Yields:
        An event that is set when a signal has arrived.
    """
    stop, over = threading.Event(), threading.Event()

    def watch() -> None:
        asked: set[str] = set()
        stop.wait()
        while not over.wait(_POLL_SECONDS):
            terminate(asked)

    def handle(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    if threading.current_thread() is not threading.main_thread():
        yield stop  # Python delivers signals to the main thread alone
        return
    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    before = {number: signal.signal(number, handle) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        over.set()


def terminate_processes(asked: set[str]) -> None:
    """Sends SIGTERM to the steps that run as processes below this one."""
    for child in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):
            command = child.cmdline()
            if EXECUTOR in command and EXIT_HANDLER not in command and str(child.pid) not in asked:
                asked.add(str(child.pid))
                child.terminate()
