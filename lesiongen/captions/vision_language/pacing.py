"""When the next request may be sent, and how long to wait after one that failed."""

import math
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

__all__ = ["Clock", "Pace", "backoff", "retry_after"]

FIRST_WAIT = 1.0
LONGEST_WAIT = 60.0
LONGEST_ASKED = 300.0


@dataclass(frozen=True)
class Clock:
    """Time and sleep, so that a test need not wait."""

    now: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    jitter: Callable[[float, float], float] = field(default=random.SystemRandom().uniform)


class Pace:
    """Keeps requests of several threads at a steady distance."""

    def __init__(self, per_minute: float | None, clock: Clock) -> None:
        self._distance = 60.0 / per_minute if per_minute else 0.0
        self._clock = clock
        self._next = clock.now()
        self._lock = threading.Lock()

    def wait(self) -> None:
        """Returns when the next request may be sent."""
        if not self._distance:
            return
        with self._lock:
            due = max(self._next, self._clock.now())
            self._next = due + self._distance
        self._clock.sleep(max(due - self._clock.now(), 0.0))


def backoff(attempt: int, asked: float | None, clock: Clock) -> float:
    """Returns the seconds to wait after the given failed attempt (1 is the first).

    Exponential with full jitter (Brooker 2015, "Exponential Backoff And Jitter"), and never less than the server asks,
    up to five minutes: one that asks for an hour is tried again sooner, and then given up.
    """
    spread = clock.jitter(0.0, min(LONGEST_WAIT, FIRST_WAIT * 2.0 ** (attempt - 1)))
    return spread if asked is None else min(asked, LONGEST_ASKED) + spread


def retry_after(header: str | None) -> float | None:
    """Returns the seconds of a Retry-After header: a number or a date (RFC 9110, 10.2.3)."""
    if not header:
        return None
    try:
        seconds = float(header)
    except ValueError:
        pass
    else:
        return max(seconds, 0.0) if math.isfinite(seconds) else None
    try:
        return max((parsedate_to_datetime(header) - datetime.now(UTC)).total_seconds(), 0.0)
    except (ValueError, TypeError):
        return None
