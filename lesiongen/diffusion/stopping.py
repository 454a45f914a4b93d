"""Being asked to stop: SIGTERM or Ctrl-C becomes a request that long work answers when its state is whole."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from lesiongen.errors import Interrupted
from lesiongen.interruption import Requests, on_signals

__all__ = ["StopRequest", "stop_request"]


class StopRequest:
    """Whether the work was asked to stop."""

    def __init__(self) -> None:
        self.requested: str | None = None
        """Name of the signal that asked."""
        self._requests = Requests()
        self._patient = False

    @contextmanager
    def deferred(self) -> Iterator[None]:
        """Defers a stop: within the block a signal is only noted; outside nothing is unsaved and it acts at once."""
        self._patient = True
        try:
            yield
        finally:
            self._patient = False

    def receive(self, number: int, _: FrameType | None) -> None:
        """Handles a signal; the second Ctrl-C does not wait, any other second signal asks for nothing new."""
        if not self._requests.note(number):
            return
        self.requested = self._requests.name
        if self._requests.count > 1:
            if number == signal.SIGINT:
                raise KeyboardInterrupt
            return
        if not self._patient:
            raise Interrupted(
                f"Stopped by {self.requested}",
                hint="Run the same command again; it resumes from its newest checkpoint, if there is one.",
            )


@contextmanager
def stop_request() -> Iterator[StopRequest]:
    """Turns SIGTERM, Ctrl-C and a closed terminal into a request for the length of the block.

    Outside of the main thread Python cannot handle signals; the request then never comes.
    """
    request = StopRequest()
    with on_signals(request.receive):
        yield request
