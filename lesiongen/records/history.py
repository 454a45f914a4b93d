"""The events of a registered model's history, as they are kept in MLflow's tags, and what a check of them found."""

from typing import Literal

from lesiongen.records.base import Record, added

__all__ = ["FINISHED", "STARTED", "UNDONE", "HistoryCheck", "HistoryEvent", "HistoryFinding"]

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
    sequence: int | None = added(None)
    """Place in the chain, from 1; each state of an event is a record. None in records of earlier releases."""
    previous: str | None = added(None)
    """Digest of the record before; None in the first."""
    imported: str | None = added(None)
    """Tag of the record of an earlier release that this one took into the chain."""
    decision_sha256: str | None = added(None)
    """Digest of the decision form, ``decision.json``."""
    run: str | None = added(None)
    """MLflow run that holds the decision form."""


class HistoryFinding(Record):
    """One thing that is wrong with a history."""

    kind: Literal["altered", "removed", "inserted", "moved"]
    record: int | None = None
    """Place in the chain; None where it has none."""
    tag: str | None = None
    """The tag in MLflow; None where it is gone."""
    message: str


class HistoryCheck(Record):
    """Whether a history is as it was written."""

    schema_version: Literal[1] = 1
    name: str
    intact: bool
    records: int
    digest: str | None = None
    """Of the last record; None where there is none."""
    findings: tuple[HistoryFinding, ...] = ()
    notes: tuple[str, ...] = ()
    """What the check could not see, in sentences."""
