"""What a check finds, and how checks are run."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from lesiongen.errors import LesionGenError

__all__ = ["CheckResult", "Checks", "Outcome", "State", "failed", "ok", "run_checks", "skipped", "warning"]

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
"""Checks by name, in the order in which they are made. One may raise a `LesionGenError`: it has failed then."""


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
        except LesionGenError as error:
            found = failed(str(error.args[0]), error.hint or "Read the message; lesiongen --verbose doctor logs more.")
        except OSError as error:
            found = failed(f"{error.filename}: {error.strerror}", "Check the path and its permissions.")
        yield CheckResult(found.state, found.message, found.remedy, name)
