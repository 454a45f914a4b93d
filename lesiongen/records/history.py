"""The events of a registered model's history, as they are kept in MLflow's tags."""

from typing import Literal

from lesiongen.records.base import Record

__all__ = ["FINISHED", "STARTED", "UNDONE", "HistoryEvent"]

STARTED, FINISHED, UNDONE = "started", "finished", "undone"


class HistoryEvent(Record):
    """One event of a registered model."""

    schema_version: Literal[1] = 1
    when: str
    """By the clock of whoever acted: information, never the order of events."""
    who: str
    action: str
    """register, promote, hold, reject or rollback."""
    version: str
    champion_before: str | None = None
    champion_after: str | None = None
    reasons: tuple[str, ...] = ()
    number: int | None = None
    """The order of events: the number of the lease under which it began. The first releases gave none."""
    state: str = FINISHED
    """started (it did not end, or is at work), finished, or undone."""
    repaired_by: str | None = None
    """Who finished or undid it, where the command that began it did not end."""
    reported_under: int | None = None
    """Number of the lease under which a repaired rollback was reported to whoever repeated it."""
