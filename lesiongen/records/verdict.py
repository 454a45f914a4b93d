"""Whether a dataset may be used, as one step tells it to the next."""

from pydantic import BaseModel, ConfigDict

from lesiongen.errors import DataError

__all__ = ["Verdict", "require_passed"]


class Verdict(BaseModel):
    """Whether a dataset may be used, and why not; small enough to be handed from step to step.

    Attributes:
        passed: Whether it may.
        message: The checks or limits that it did not pass, and the rows; empty where it passed.
        hint: Where to read more.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    passed: bool
    message: str = ""
    hint: str = ""


def require_passed(verdict: Verdict) -> None:
    """Does nothing for a dataset that passed.

    Raises:
        DataError: It did not; the message says what it did not pass.
    """
    if not verdict.passed:
        raise DataError(verdict.message, hint=verdict.hint)
