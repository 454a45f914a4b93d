"""Being asked to stop: SIGTERM or Ctrl-C becomes a request that long work answers when its state is whole."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from lesiongen.errors import Interrupted

__all__ = ["StopRequest", "stop_request"]


class StopRequest:
    """Whether the work was asked to stop."""

    def __init__(self) -> None:
        self.requested: str | None = None
        """Name of the signal that asked."""
        self._patient = False

    @contextmanager
    def deferred(self) -> Iterator[None]:
        """Within the block a signal is only noted; outside of it nothing is unsaved and it acts at once."""
        self._patient = True
        try:
            yield
        finally:
            self._patient = False

    def receive(self, number: int, _: FrameType | None) -> None:
        """Handles a signal; the second Ctrl-C does not wait."""
        again = self.requested is not None
        self.requested = signal.Signals(number).name
        if number == signal.SIGINT and again:
            raise KeyboardInterrupt
        if not self._patient:
            raise Interrupted(
                f"Stopped by {self.requested}",
                hint="Start the same command again; it goes on from its newest checkpoint, if there is one.",
            )


@contextmanager
def stop_request() -> Iterator[StopRequest]:
    """Turns SIGTERM and SIGINT into a request for the length of the block.

    Outside of the main thread Python cannot handle signals; the request then never comes.
    """
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield request
        return
    before = {number: signal.signal(number, request.receive) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
