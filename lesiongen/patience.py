"""Outlasting a server that is away for a while."""

import logging
from collections.abc import Callable
from typing import TypeVar

from tenacity import RetryCallState, Retrying, retry_if_exception_type, stop_after_delay, wait_exponential_jitter

from lesiongen.errors import Unreachable

__all__ = ["outlast"]

logger = logging.getLogger(__name__)
FIRST_WAIT, LONGEST_WAIT = 0.5, 10.0
_Result = TypeVar("_Result")


def outlast(work: Callable[[], _Result], seconds: float) -> _Result:
    """Does something, again and again while the storage cannot be reached.

    Args:
        work: What is done; it may be done in part before it fails, and done again.
        seconds: How long; 0: one attempt.

    Raises:
        Unreachable: The storage could not be reached for so long.
    """
    retrying = Retrying(
        retry=retry_if_exception_type(Unreachable),
        stop=stop_after_delay(seconds),
        wait=wait_exponential_jitter(multiplier=FIRST_WAIT, max=LONGEST_WAIT),
        before_sleep=_warn,
        reraise=True,
    )
    return retrying(work)


def _warn(state: RetryCallState) -> None:
    if state.attempt_number == 1 and state.outcome is not None:
        logger.warning("%s; trying again", str(state.outcome.exception()).splitlines()[0])
