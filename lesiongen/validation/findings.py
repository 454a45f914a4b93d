"""What validation finds, and what follows from it."""

from collections.abc import Iterator
from dataclasses import dataclass

from lesiongen.records.verdict import Verdict
from lesiongen.references import DatasetReference
from lesiongen.validation.thresholds import Severity

__all__ = ["Finding", "ValidationResult", "verdict_of"]

LISTED = 20


@dataclass(frozen=True)
class Finding:
    """Something that is wrong with rows, or with classes, subgroups or splits as a whole.

    Attributes:
        severity: ``error``, ``warning`` or ``info``.
        check: Name of the check.
        message: What is wrong, and with how many rows.
        rows: The image_id of every such row; empty where the finding is of classes, subgroups or splits.
        values: For each row the value there, or which other row it collides with; may be empty.
        parts: A line for every class, subgroup or split; empty where the finding is of rows.
        remedy: What to do about it, in sentences; may be empty.
    """

    severity: Severity
    check: str
    message: str
    rows: tuple[str, ...] = ()
    values: tuple[str, ...] = ()
    parts: tuple[str, ...] = ()
    remedy: str = ""

    def details(self) -> Iterator[str]:
        """Yields each row with what was found in it, or each class, subgroup or split."""
        yield from self.parts
        for position, row in enumerate(self.rows):
            yield f"{row}: {self.values[position]}" if self.values else row


@dataclass(frozen=True)
class ValidationResult:
    """The outcome: it passed when no finding is an error.

    Attributes:
        passed: Whether the dataset may be used.
        findings: All findings, the most severe first.
        dataset: What was checked.
        report: Address of the HTML report, where one was asked for.
    """

    passed: bool
    findings: list[Finding]
    dataset: DatasetReference
    report: str | None = None


def verdict_of(result: ValidationResult) -> Verdict:
    """Puts the errors of a validation into words."""
    if result.passed:
        return Verdict(passed=True)
    errors = [finding for finding in result.findings if finding.severity == "error"]
    lines = [f"{result.dataset.uri} did not pass {len(errors)} of the checks"]
    for finding in errors:
        lines.append(f"  {finding.check}: {finding.message}")
        details = list(finding.details())
        lines += [f"    {detail}" for detail in details[:LISTED]]
        lines += [f"    and {len(details) - LISTED:,} more"] if len(details) > LISTED else []
        lines += [f"    {finding.remedy}"] if finding.remedy else []
    hint = f"The report: {result.report}" if result.report else "Correct them at the source and ingest again."
    return Verdict(passed=False, message="\n".join(lines), hint=hint)
