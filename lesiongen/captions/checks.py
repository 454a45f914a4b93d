"""Checks what the writers state before it becomes a caption; every check has a rule, and every case is kept."""

from collections.abc import Iterator, Mapping

from pydantic import BaseModel, ConfigDict

from lesiongen.captions.contradictions import across_entries, within_entry
from lesiongen.captions.findings import CheckFinding, CheckName, Rule
from lesiongen.captions.free_text import text_problems
from lesiongen.captions.stacking import stack_reports
from lesiongen.concepts import Description, Entry, Report, Source
from lesiongen.concepts.body import unknown_words
from lesiongen.concepts.schema import SOURCES, is_age
from lesiongen.concepts.vocabulary import SEXES
from lesiongen.dataset import Sample

__all__ = ["Checked", "CheckFinding", "check"]

ANOTHER_PATIENT = 2
"""Facts in which a text may differ from the table before it must belong to another patient."""


class Checked(BaseModel):
    """The report that is left, and what was found.

    Attributes:
        report: The writers' reports as one, without what a check took out.
        findings: What was found, writer by writer.
        rejected: Whether the caption may state the diagnosis and nothing else.
    """

    model_config = ConfigDict(frozen=True)

    report: Report
    findings: tuple[CheckFinding, ...] = ()
    rejected: bool = False


def check(reports: Mapping[Source, Report], sample: Sample) -> Checked:
    """Checks the writers' reports against themselves, the table and each other, and makes one report of them.

    Three rules apply. ``drop``: the words concerned go, and the entry with them where none is left.
    ``keep the more trusted``: of two statements the one of the source higher in the order of trust stays.
    ``reject``: the report stays as it is left, but the caption names the diagnosis alone.

    Args:
        reports: Each writer's report.
        sample: What the table says; the image is not looked at.
    """
    findings: list[CheckFinding] = []
    clean = []
    for writer in sorted(reports, key=SOURCES.index):
        report, found = _by_itself(writer, reports[writer], sample)
        clean.append(report)
        findings += found
    stacked, contradicted = stack_reports(clean)
    report, between = _without_contradictions(stacked)
    findings += [*contradicted, *between]
    rejected = any(finding.rule == "reject" for finding in findings)
    return Checked(report=report, findings=tuple(findings), rejected=rejected)


def _by_itself(writer: Source, report: Report, sample: Sample) -> tuple[Report, list[CheckFinding]]:
    """Checks one writer's report against itself and the table."""
    findings: list[CheckFinding] = []
    kept: dict[str, Entry | Description | None] = {}
    for name, entry in report.entries():
        found = list(_entry_problems(writer, name, entry, sample))
        findings += [finding for finding, _ in found]
        gone = {word for _, words in found for word in words}
        kept[name] = _without(entry, gone)
    description, found_in_text = _described(writer, report.description, sample)
    return Report(**kept, description=description), findings + found_in_text


def _without(entry: Entry, gone: set[str]) -> Entry | None:
    left = tuple(word for word in entry.value if word not in gone)
    if gone and not left:
        return None
    return entry.model_copy(update={"value": left})


Problem = tuple[CheckFinding, tuple[str, ...]]
"""What was found, and the words that go."""


def _entry_problems(writer: Source, name: str, entry: Entry, sample: Sample) -> Iterator[Problem]:
    def problem(check: CheckName, words: tuple[str, ...], detail: str, rule: Rule = "drop") -> Problem:
        return CheckFinding(check=check, writer=writer, entry=name, rule=rule, detail=detail), words

    if not _may_say_who(writer, name, entry.source):
        yield problem("without evidence", entry.value, f"names {entry.source} as its source")
        return
    if entry.source == "measured" and entry.value and not entry.evidence:
        yield problem("without evidence", entry.value, "is measured and has no number")
        return
    for words, reason in within_entry(name, entry):
        yield problem("contradiction within the entry", words, reason)
    if name == "patient":
        for check, word, detail in _patient_problems(entry, sample):
            yield problem(check, (word,), detail)


def _may_say_who(writer: Source, name: str, source: Source) -> bool:
    """A writer speaks for itself; the table also says when it was an expert who recorded the skin type."""
    return source == writer or (writer == "metadata" and source == "expert" and name == "skin_tone")


def _patient_problems(entry: Entry, sample: Sample) -> Iterator[tuple[CheckName, str, str]]:
    """Compares age, sex and site with the table, which alone knows them.

    A site is free text and is read as such: what is not a place of the body stays out, as does its wording.
    """
    for word in entry.value:
        if is_age(word):
            known = None if sample.age is None else f"{sample.age:.0f} years"
        elif word in SEXES:
            known = (sample.sex or "").lower() or None
        else:
            known = " ".join((sample.site or "").lower().split()) or None
        problems = [] if is_age(word) or word in SEXES else list(text_problems(word, sample))
        if entry.source == "metadata" and known != word:
            yield "without evidence", word, "is not what the table says"
        elif problems:
            yield problems[0].check, word, problems[0].detail
        elif not (is_age(word) or word in SEXES) and (unknown := unknown_words(word)):
            yield "unknown place", word, f"{unknown} of its words name no place of the body"
        elif known not in (None, word) and (is_age(word) or word in SEXES):
            yield "contradiction with the metadata", word, f"the table says {known}"


def _described(
    writer: Source, description: Description | None, sample: Sample
) -> tuple[Description | None, list[CheckFinding]]:
    """Takes out the sentences that a check objects to; too many contradictions reject the caption."""
    if description is None:
        return None, []
    findings, kept = [], []
    differing = 0
    for sentence in description.sentences():
        problems = list(text_problems(sentence, sample))
        differing += sum(problem.check == "contradiction with the metadata" for problem in problems)
        for problem in problems:
            invented = problem.check == "invented diagnosis" and writer == "vision-language"
            findings.append(problem.finding(writer, "reject" if invented else "drop"))
        if not problems:
            kept.append(sentence)
    if differing >= ANOTHER_PATIENT:
        detail = f"the text differs from the table in {differing} facts"
        findings.append(
            CheckFinding(check="another patient", writer=writer, entry="description", rule="reject", detail=detail)
        )
    text = " ".join(kept)
    return (Description(text=text, source=description.source) if text else None), findings


def _without_contradictions(report: Report) -> tuple[Report, list[CheckFinding]]:
    """Drops what two entries of the stacked report cannot both say."""
    findings = []
    entries = dict(report.entries())
    for loser, winner, reason in across_entries(report):
        if loser not in entries or winner not in entries:
            continue
        rule: Rule = "drop" if entries[loser].source == entries[winner].source else "keep the more trusted"
        writer = entries.pop(loser).source
        findings.append(
            CheckFinding(
                check="contradiction between entries", writer=writer, entry=loser, rule=rule, detail=reason, weight=0.5
            )
        )
    return Report(**entries, description=report.description), findings
