"""Being interrupted: what SIGTERM, Ctrl-C and a closed terminal mean to work that runs.

Python runs a signal's handler between two instructions of the main thread, within another handler too. So no handler
takes a lock, logs or writes through a buffer: it would wait for ever for what the interrupted code holds. It counts,
raises, or ends the process.
"""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from lesiongen.errors import Interrupted

__all__ = ["Requests", "decide_exit_code", "interruptible", "kept_when_interrupted", "on_signals", "stop_signals"]

SAME_REQUEST_SECONDS = 1.0
"""Signals this close together are one request: `timeout` sends two, and a terminal reaches every process."""
AT_ONCE = 3
"""Number of the request that ends a process without any cleaning up."""


class Requests:
    """Counts the requests to stop that have come."""

    def __init__(self) -> None:
        self.count = 0
        self.number: int = signal.SIGINT
        """The signal that made the newest one; a KeyboardInterrupt that no signal raised here is Ctrl-C's too."""
        self._last = float("-inf")

    def note(self, number: int) -> bool:
        """Counts a signal; returns false where it belongs to the request before."""
        now = time.monotonic()
        if now - self._last < SAME_REQUEST_SECONDS:
            return False
        self._last = now
        self.number = number
        self.count += 1
        return True

    @property
    def name(self) -> str:
        """Name of the newest one's signal."""
        return signal.Signals(self.number).name

    @property
    def exit_code(self) -> int:
        """What a shell says of a command that the newest one's signal has ended: 130 for Ctrl-C, 143 for SIGTERM."""
        return 128 + self.number

    def interrupt(self, number: int, _: FrameType | None) -> None:
        """Handles a signal: the first request and the second raise, the third ends the process.

        Raises:
            KeyboardInterrupt: Not an error of ours: a library may catch any Exception, but lets this one through.
        """
        if not self.note(number):
            return
        if self.count >= AT_ONCE:
            os._exit(self.exit_code)
        raise KeyboardInterrupt


def stop_signals() -> list[signal.Signals]:
    """Returns the signals that ask a process to stop; a closed terminal does not where it is ignored (nohup)."""
    asking = [signal.SIGTERM, signal.SIGINT]
    return asking if signal.getsignal(signal.SIGHUP) == signal.SIG_IGN else [*asking, signal.SIGHUP]


@contextmanager
def on_signals(handle: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """Has requests to stop handled for the length of a block.

    Outside of the main thread Python cannot handle signals; they then act as before.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, handle) for number in stop_signals()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def interruptible() -> Iterator[Requests]:
    """Ends the block with KeyboardInterrupt on SIGTERM as on Ctrl-C, so that it cleans up; gives what asked for it.

    A second request interrupts the cleaning up, a third ends the process.
    """
    requests = Requests()
    with on_signals(requests.interrupt):
        yield requests


@contextmanager
def kept_when_interrupted(kept: Callable[[], str]) -> Iterator[None]:
    """Ends the block at once on Ctrl-C and on SIGTERM, and says what the next attempt resumes from.

    Args:
        kept: Says what is kept, and where.

    Raises:
        Interrupted: One of the signals came.
    """
    with interruptible() as requests:
        try:
            yield
        except KeyboardInterrupt:
            if requests.count > 1:
                raise
            hint = "Run the same command again to resume from there."
            raise Interrupted(f"Stopped by {requests.name}: {kept()}", hint=hint) from None


def decide_exit_code(code: int | None) -> None:
    """Has a signal that comes where no work is at hand end the process at once.

    Args:
        code: The exit code, decided already; None: 128 and the signal's number.
    """
    for number in stop_signals():
        signal.signal(number, lambda came, _: os._exit(128 + came if code is None else code))
