"""Progress of long work: a bar on a terminal, a line now and then in a log."""

import logging
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from lesiongen.redaction import shown

__all__ = ["Progress", "progress"]

logger = logging.getLogger(__name__)
LOG_EVERY_SECONDS = 10.0


class Progress(Protocol):
    """What a long loop reports to."""

    def advance(self, amount: int = 1, note: str = "") -> None:
        """Counts finished units; ``note`` is shown beside the bar (a loss, a file name)."""


class _LogProgress:
    def __init__(self, description: str, total: int | None, unit: str, done: int) -> None:
        self.description, self.total, self.unit = description, total, unit
        self.done = self.before = done
        self.started = self.logged = time.monotonic()

    def advance(self, amount: int = 1, note: str = "") -> None:
        self.done += amount
        now = time.monotonic()
        if now - self.logged >= LOG_EVERY_SECONDS or self.done == self.total:
            self.logged = now
            logger.info("%s", self.line(now, note))

    def line(self, now: float, note: str) -> str:
        rate = (self.done - self.before) / max(now - self.started, 1e-9)
        of_total = f"/{self.total:,}" if self.total is not None else ""
        left = f", {(self.total - self.done) / rate:.0f} s left" if self.total and rate > 0 else ""
        tail = f" · {shown(note)}" if note else ""
        # Below one a second the time of each says more; units in the plural have no short name of one.
        pace = f"{1 / rate:,.1f} s each" if 0 < rate < 1 else f"{rate:,.1f}/s"
        return f"{self.description}: {self.done:,}{of_total} {self.unit} ({pace}{left}){tail}"


class _BarProgress:
    def __init__(self, bar: object, task: int) -> None:
        self.bar, self.task = bar, task

    def advance(self, amount: int = 1, note: str = "") -> None:
        self.bar.update(self.task, advance=amount, note=shown(note))  # type: ignore[attr-defined]


@contextmanager
def progress(description: str, *, total: int | None = None, unit: str = "items", done: int = 0) -> Iterator[Progress]:
    """Shows how far a piece of long work has come, on standard error.

    Args:
        description: What is being done.
        total: Number of units, where it is known.
        unit: What is counted, in the plural.
        done: Units of the total that an earlier attempt has finished.
    """
    if not sys.stderr.isatty():
        yield _LogProgress(description, total, unit, done)
        return
    from rich import progress as rich_progress
    from rich.console import Console

    columns = (
        rich_progress.TextColumn("{task.description}", markup=False),
        rich_progress.BarColumn(),
        rich_progress.MofNCompleteColumn(),
        rich_progress.TextColumn(unit),
        rich_progress.TimeRemainingColumn(),
        rich_progress.TextColumn("{task.fields[note]}", markup=False),
    )
    with rich_progress.Progress(*columns, console=Console(stderr=True)) as bar:
        yield _BarProgress(bar, bar.add_task(shown(description), total=total, completed=done, note=""))
