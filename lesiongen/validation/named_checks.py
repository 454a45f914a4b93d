"""Every check by its name in a checks file."""

from dataclasses import dataclass

from lesiongen.validation.checks import CANONICAL_CHECKS, Check
from lesiongen.validation.formats import FORMAT_SUITES
from lesiongen.validation.origin import REMOVED
from lesiongen.validation.sizes import SIZE_CHECKS
from lesiongen.validation.thresholds import Severity

__all__ = ["ALL_CHECKS", "CHECK_NAMES", "NamedCheck"]


@dataclass(frozen=True)
class NamedCheck:
    """A check as a checks file names it.

    Attributes:
        name: As it is written in a checks file; a format's check has the format and a dot before it.
        about: The column or what is counted.
        severity: The default.
        finds: What it finds.
        why: Why it matters.
        thresholds: Fields of `Thresholds` that bound it.
    """

    name: str
    about: str
    severity: Severity
    finds: str
    why: str
    thresholds: tuple[str, ...] = ()


def _of_rows(check: Check, prefix: str = "") -> NamedCheck:
    thresholds = tuple(check.thresholds.values())
    return NamedCheck(
        prefix + check.name, check.column, check.severity, f"An image {check.message}.", check.why, thresholds
    )


ALL_CHECKS = (
    *map(_of_rows, CANONICAL_CHECKS),
    *(NamedCheck(one.name, one.about, one.severity, f"{one.message}.", one.why) for one in SIZE_CHECKS),
    NamedCheck(
        REMOVED, "manifest", "info", "Ingest removed metadata that could identify a person from image files.",
        "It is still in the files that were ingested; removed_metadata.csv beside the dataset names them.",
    ),
    *(_of_rows(check, f"{name}.") for name, suite in FORMAT_SUITES.items() for check in suite.checks),
)  # fmt: skip
"""The canonical dataset, its sizes, its origin, then the formats."""
CHECK_NAMES = tuple(check.name for check in ALL_CHECKS)
