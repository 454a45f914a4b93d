"""What a check finds, and how checks are run."""

import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from lesiongen.errors import LesionGenError
from lesiongen.redaction import shown

__all__ = ["CheckResult", "Checks", "Outcome", "State", "failed", "ok", "run_checks", "skipped", "warning"]

logger = logging.getLogger(__name__)

_MORE = "Read the message; lesiongen --verbose doctor logs more."

State = Literal["ok", "warning", "failed", "skipped"]


@dataclass(frozen=True)
class Outcome:
    """What a check finds.

    Attributes:
        state: ``ok``; ``warning``: it works, but not as it should; ``failed``; ``skipped``: nothing to check.
        message: What was found, in a sentence.
        remedy: What to do about it; blank where nothing has to be done.
    """

    state: State
    message: str
    remedy: str = ""


@dataclass(frozen=True)
class CheckResult(Outcome):
    """What a check of a name finds."""

    name: str = ""


Checks = Mapping[str, Callable[[], Outcome]]
"""Checks by name, in the order in which they are made. One that raises has failed."""


def ok(message: str) -> Outcome:
    """Returns that all is well."""
    return Outcome("ok", message)


def warning(message: str, remedy: str) -> Outcome:
    """Returns that something works, but not as it should."""
    return Outcome("warning", message, remedy)


def failed(message: str, remedy: str) -> Outcome:
    """Returns that something does not work."""
    return Outcome("failed", message, remedy)


def skipped(message: str) -> Outcome:
    """Returns that there is nothing to check, and why."""
    return Outcome("skipped", message)


def run_checks(checks: Checks) -> Iterator[CheckResult]:
    """Makes one check after the other; an error of one does not keep the others from being made."""
    for name, check in checks.items():
        try:
            found = check()
        except Exception as error:  # a library may raise anything
            logger.debug("The check %s failed", name, exc_info=True)
            found = _failure(error)
        yield CheckResult(found.state, found.message, found.remedy, name)


def _failure(error: Exception) -> Outcome:
    if isinstance(error, LesionGenError):
        return failed(shown(error.args[0]), shown(error.hint or _MORE))
    if isinstance(error, OSError) and error.filename is not None:
        return failed(shown(f"{error.filename}: {error.strerror or error}"), "Check the path and its permissions.")
    text = shown(str(error).strip())
    return failed(f"this check stopped with an error: {type(error).__name__}{f': {text}' if text else ''}", _MORE)
