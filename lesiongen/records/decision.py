"""The decision on a release: the outcome of every gate, with its reason."""

from enum import StrEnum
from typing import Literal

from lesiongen.records.base import Record

__all__ = ["Decision", "Outcome", "Reason"]


class Outcome(StrEnum):
    """The outcome of one gate, or of all gates together."""

    PROMOTE = "PROMOTE"
    HOLD = "HOLD"
    REJECT = "REJECT"


class Reason(Record):
    """The outcome of one gate, and the numbers that led to it."""

    gate: str
    outcome: Outcome
    message: str

    @property
    def word(self) -> str:
        """Whether the gate passed, held or failed."""
        return {Outcome.PROMOTE: "passed", Outcome.HOLD: "held", Outcome.REJECT: "failed"}[self.outcome]

    @property
    def line(self) -> str:
        """The reason in one line: the gate, whether it passed, and why."""
        return f"{self.gate} {self.word}: {self.message}"

    @property
    def passed(self) -> bool:
        """Whether this gate lets the release pass."""
        return self.outcome is Outcome.PROMOTE


class Decision(Record):
    """The outcome of all gates, which is that of the strictest, and every gate's reason."""

    schema_version: Literal[1] = 1
    outcome: Outcome
    reasons: tuple[Reason, ...]
