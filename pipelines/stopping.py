"""Pass a request to stop on to the step that runs, so that it can save its state."""

import logging
import os
import select
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import psutil

from lesiongen.errors import Interrupted
from lesiongen.interruption import AT_ONCE, Requests, on_signals

__all__ = ["EXECUTOR", "EXIT_HANDLER", "RUN_MARK", "StopOfRun", "signal_processes", "stop_of_run"]

EXECUTOR = "kfp.dsl.executor_main"
EXIT_HANDLER = "finish"
RUN_MARK = "LESIONGEN_PIPELINE_RUN"
"""Variable that names the run in the environment of its steps."""
_POLL_SECONDS = 0.5

logger = logging.getLogger(__name__)
SignalSteps = Callable[[signal.Signals, set[str]], None]
"""Sends a signal to the steps that run, but the exit handler, and to none whose id is in the set; adds theirs to it."""


class StopOfRun:
    """Answers the requests to stop a run, in a thread of its own, whatever the main thread is waiting for.

    The first request has the steps save their state, and the run ends once they have. The second kills them; the run
    still stops its servers. The third ends the process at once.
    """

    def __init__(self) -> None:
        self._requests = Requests()
        self._signal_steps: SignalSteps | None = None
        self._asked: dict[signal.Signals, set[str]] = {signal.SIGTERM: set(), signal.SIGKILL: set()}

    @property
    def requested(self) -> bool:
        """Whether the run was asked to stop."""
        return self._requests.count > 0

    def check(self, hint: str) -> None:
        """Ends a run that was asked to stop between two parts of its work.

        Args:
            hint: How to continue.

        Raises:
            Interrupted: It was.
        """
        if self.requested:
            raise Interrupted(f"The pipeline was stopped by {self._requests.name}.", hint=hint)

    @contextmanager
    def passed_on(self, signal_steps: SignalSteps) -> Iterator[None]:
        """Has steps stopped for the length of a block, those too that start when the signal has come already."""
        self._signal_steps = signal_steps
        try:
            yield
        finally:
            self._signal_steps = None

    def watch(self, signals: int) -> None:
        """Reads the numbers of signals from a pipe and answers them, until it is closed."""
        while True:
            ready, _, _ = select.select([signals], [], [], _POLL_SECONDS)
            if ready:
                numbers = os.read(signals, 64)
                if not numbers:
                    return
                for number in numbers:
                    self._note(number)
            self._answer()

    def _note(self, number: int) -> None:
        if not self._requests.note(number):
            return
        if self._requests.count >= AT_ONCE:
            os._exit(self._requests.exit_code)
        words = {
            1: "%s: the run stops when the step at hand has saved its state; a second one does not wait for it.",
            2: "%s: the steps are killed; a third one leaves the servers running (lesiongen down).",
        }
        logger.warning(words[self._requests.count], self._requests.name)

    def _answer(self) -> None:
        signal_steps = self._signal_steps
        if signal_steps is None or not self.requested:
            return
        number = signal.SIGTERM if self._requests.count == 1 else signal.SIGKILL
        try:
            signal_steps(number, self._asked[number])
        except Exception:  # the Docker Engine may be gone; the next poll asks it again
            logger.debug("The steps cannot be reached", exc_info=True)


@contextmanager
def stop_of_run() -> Iterator[StopOfRun]:
    """Turns SIGTERM, Ctrl-C and a closed terminal into requests to stop the run, for the length of a block.

    Outside of the main thread Python cannot handle signals; the requests then never come.
    """
    stop = StopOfRun()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    watcher = threading.Thread(target=stop.watch, args=(reading,), daemon=True)
    watcher.start()
    # Python's own part, in C, writes the number into the pipe, even while the main thread waits for something.
    before = signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    try:
        with on_signals(lambda *_: None):
            yield stop
    finally:
        signal.set_wakeup_fd(before)
        os.close(writing)
        watcher.join()
        os.close(reading)


def signal_processes(run: str, number: signal.Signals, asked: set[str]) -> None:
    """Sends a signal to the steps of a run that are processes here, wherever they hang: their shell may have ended."""
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            command = process.cmdline()
            if EXECUTOR not in command or EXIT_HANDLER in command or str(process.pid) in asked:
                continue
            if process.environ().get(RUN_MARK) == run:
                asked.add(str(process.pid))
                process.send_signal(number)
