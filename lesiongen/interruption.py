"""Being interrupted: work whose finished pieces are kept says so, and ends as work to be started again."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from lesiongen.errors import Interrupted

__all__ = ["kept_when_interrupted"]


@contextmanager
def kept_when_interrupted(kept: Callable[[], str]) -> Iterator[None]:
    """Ends the block at once on Ctrl-C and on SIGTERM, and says what a next attempt goes on from.

    Outside of the main thread Python cannot handle signals; SIGTERM then acts as it did.

    Args:
        kept: Says what is kept, and where.

    Raises:
        Interrupted: One of the signals came.
    """
    name = "SIGINT"

    # Not an error of ours: a library may catch any Exception, but lets this one through.
    def interrupt(number: int, _: FrameType | None) -> None:
        nonlocal name
        name = signal.Signals(number).name
        raise KeyboardInterrupt

    in_main_thread = threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGTERM, interrupt) if in_main_thread else None
    try:
        yield
    except KeyboardInterrupt:
        hint = "Start the same command again to go on from there."
        raise Interrupted(f"Stopped by {name}: {kept()}", hint=hint) from None
    finally:
        if in_main_thread:
            signal.signal(signal.SIGTERM, before)
