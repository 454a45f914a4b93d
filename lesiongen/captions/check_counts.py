"""What the checks found over a whole dataset, writer by writer, with the worst cases."""

from collections import Counter

from pydantic import BaseModel, ConfigDict

from lesiongen.captions.checks import Checked
from lesiongen.captions.findings import CheckFinding

__all__ = ["CheckCounts", "WorstCase"]

KEPT = 8
"""Worst cases of each check that are kept for the report."""


class WorstCase(BaseModel):
    """An image on which a check found something."""

    model_config = ConfigDict(frozen=True)

    image_id: str
    finding: CheckFinding


class CheckCounts(BaseModel):
    """Counts of findings; those of several parts of a dataset add up with ``+``.

    Attributes:
        rejected: Captions that were rejected and name the diagnosis alone.
        affected: Images on which a check found something.
        found: For each writer and check, how often each rule was applied.
        entries: For each check, how often it found something in each entry.
        worst: For each check, the worst cases, the worst first.
    """

    model_config = ConfigDict(extra="forbid")

    rejected: int = 0
    affected: int = 0
    found: dict[str, dict[str, Counter[str]]] = {}
    entries: dict[str, Counter[str]] = {}
    worst: dict[str, list[WorstCase]] = {}

    def add(self, image_id: str, checked: Checked) -> None:
        """Counts one image."""
        self.rejected += checked.rejected
        self.affected += bool(checked.findings)
        for finding in checked.findings:
            self.found.setdefault(finding.writer, {}).setdefault(finding.check, Counter())[finding.rule] += 1
            self.entries.setdefault(finding.check, Counter())[finding.entry] += 1
            cases = self.worst.setdefault(finding.check, [])
            cases.append(WorstCase(image_id=image_id, finding=finding))
            self.worst[finding.check] = _worst(cases)

    def __add__(self, other: "CheckCounts") -> "CheckCounts":
        found = {
            writer: _summed(self.found.get(writer, {}), other.found.get(writer, {}))
            for writer in sorted(self.found.keys() | other.found.keys())
        }
        worst = {
            check: _worst([*self.worst.get(check, []), *other.worst.get(check, [])])
            for check in sorted(self.worst.keys() | other.worst.keys())
        }
        return CheckCounts(
            rejected=self.rejected + other.rejected,
            affected=self.affected + other.affected,
            found=found,
            entries=_summed(self.entries, other.entries),
            worst=worst,
        )


def _summed(left: dict[str, Counter[str]], right: dict[str, Counter[str]]) -> dict[str, Counter[str]]:
    names = sorted(left.keys() | right.keys())
    return {name: left.get(name, Counter()) + right.get(name, Counter()) for name in names}


def _worst(cases: list[WorstCase]) -> list[WorstCase]:
    return sorted(cases, key=lambda case: (-case.finding.weight, case.image_id, case.finding.entry))[:KEPT]
