"""At how many of its points a process is killed or disturbed: some of them by default, all by hand."""

import os
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")
EVERY = os.environ.get("LESIONGEN_EVERY_FAULT") == "1"
"""Whether ``LESIONGEN_EVERY_FAULT=1 make test-faults`` asks for all of them, which takes about an hour."""


def points(all_of_them: Sequence[T], *, step: int) -> Sequence[T]:
    """Returns every ``step``-th point and the last one; all of them where that is asked for."""
    if EVERY:
        return all_of_them
    return [point for number, point in enumerate(all_of_them) if number % step == 0 or number == len(all_of_them) - 1]
