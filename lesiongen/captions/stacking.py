"""Stacks the writers' reports: the more trusted speaks, the less trusted fills the gaps."""

from collections.abc import Sequence

from lesiongen.concepts import ENTRIES, Entry, Report
from lesiongen.concepts.vocabulary import TONES

__all__ = ["contradicts", "stack_reports"]

TONE_TOLERANCE = 1


def stack_reports(reports: Sequence[Report]) -> tuple[Report, tuple[str, ...]]:
    """Merges reports given in the order of trust.

    Each entry comes whole from the most trusted report that has it. Returns the merged report and the names of the
    entries in which a less trusted report contradicts it.
    """
    merged: dict[str, Entry] = {}
    contradicted: list[str] = []
    for report in reports:
        for name, entry in report.entries():
            if name not in merged:
                merged[name] = entry
            elif name not in contradicted and contradicts(name, merged[name], entry):
                contradicted.append(name)
    return Report(**merged), tuple(name for name in ENTRIES if name in contradicted)


def contradicts(name: str, trusted: Entry, other: Entry) -> bool:
    """Says whether two entries cannot both be right.

    Tones contradict when they lie more than one class apart: a Fitzpatrick type is no colour, and the classes are
    narrow. Other entries contradict when they share no word.
    """
    if not trusted.value or not other.value:
        return False
    if name == "skin_tone" and trusted.value[0] in TONES and other.value[0] in TONES:
        return abs(TONES.index(trusted.value[0]) - TONES.index(other.value[0])) > TONE_TOLERANCE
    return not set(trusted.value) & set(other.value)
