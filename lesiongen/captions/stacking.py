"""Stacks the writers' reports: the more trusted speaks, the less trusted fills the gaps."""

from collections.abc import Sequence

from lesiongen.captions.contradictions import denied_words, difference, gravity
from lesiongen.captions.findings import CheckFinding, CheckName
from lesiongen.concepts import ENTRIES, Entry, Report, Source
from lesiongen.concepts.schema import absent_words

__all__ = ["stack_reports"]


def stack_reports(reports: Sequence[Report]) -> tuple[Report, tuple[CheckFinding, ...]]:
    """Merges reports given in the order of trust.

    Each entry comes whole from the most trusted report that has words for it. Words that a more trusted report
    recorded as absent are taken out, and its record of their absence stays in the merged entry's evidence. Returns
    the merged report, and where a less trusted report said otherwise.
    """
    merged: dict[str, Entry] = {}
    findings: list[CheckFinding] = []
    for name in ENTRIES:
        stated = [entry for report in reports if (entry := getattr(report, name)) is not None]
        if stated:
            merged[name], found = _stack_entries(name, stated)
            findings += found
    descriptions = [report.description for report in reports if report.description is not None]
    return Report(**merged, description=descriptions[0] if descriptions else None), tuple(findings)


def _stack_entries(name: str, stated: Sequence[Entry]) -> tuple[Entry, list[CheckFinding]]:
    findings: list[CheckFinding] = []
    absent: dict[str, Source] = {}
    speaks: Entry | None = None
    for entry in stated:
        if denied := denied_words(entry, absent):
            source = next(iter(denied.values()))
            findings.append(_finding(name, source, entry, f"{source}: no {', no '.join(denied)}"))
            entry = entry.model_copy(update={"value": tuple(word for word in entry.value if word not in denied)})
        if speaks is not None and (reason := difference(name, speaks, entry)):
            findings.append(_finding(name, speaks.source, entry, reason, gravity(name, speaks, entry)))
        absent |= {word: entry.source for word in absent_words(name, entry) if word not in absent}
        if speaks is None and entry.value:
            speaks = entry
    kept = speaks or stated[0]
    return kept.model_copy(update={"evidence": {**dict.fromkeys(absent, 0.0), **kept.evidence}}), findings


def _finding(name: str, trusted: Source, other: Entry, reason: str, weight: float = 0.5) -> CheckFinding:
    check: CheckName = "contradiction between writers"
    if trusted == "metadata":
        check = "contradiction with the metadata"
    if "measured" in (trusted, other.source):
        check = "contradiction with the measurement"
    return CheckFinding(
        check=check, writer=other.source, entry=name, rule="keep the more trusted", detail=reason, weight=weight
    )
