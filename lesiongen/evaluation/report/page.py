"""The page that a person reads: what came out, how sure it is, and the figures behind it."""

from lesiongen.evaluation.measures.measure import Figures, all_measures
from lesiongen.evaluation.report.verdict import verdict
from lesiongen.records.evaluation import EvaluationRecord
from lesiongen.records.text import number
from lesiongen.reporting import Block, Callout, Facts, Page, Section, Table, Text

__all__ = ["build_page"]


def build_page(evaluation: EvaluationRecord, figures: Figures) -> Page:
    """Builds the report of an evaluation from the content of evaluation.json and the figures."""
    counts = evaluation.counts
    subtitle = (
        f"Tested on {counts.test.n} real images of {counts.test_lesions} lesions that no training has seen; "
        f"{counts.train.n} real and {counts.synthetic.n} synthetic training images."
    )
    page = Page(f"Evaluation: {evaluation.name}", subtitle)
    page.add(Section("Summary", _summary(evaluation)))
    for measure in all_measures():
        for section in measure.sections(evaluation, figures):
            page.add(section)
    page.add(Section("Settings", _settings(evaluation)))
    return page


def _summary(evaluation: EvaluationRecord) -> list[Block]:
    facts: dict[str, str | float | None] = {
        f"balanced accuracy, {name}": scores.balanced_accuracy.mean for name, scores in evaluation.utility.items()
    }
    facts["near copies"] = number(evaluation.memorisation.share_above, ".1%")
    facts["diagnosis recognised"] = number(evaluation.class_agreement.agreement, ".0%")
    callouts: list[Block] = [Callout(finding.kind, finding.text) for finding in verdict(evaluation)]
    return [Facts(facts), *callouts, *(Callout("info", note) for note in evaluation.notes)]


def _settings(evaluation: EvaluationRecord) -> list[Block]:
    sources = [(name, source.uri, source.version) for name, source in evaluation.sources.items()]
    values = [(name, str(value)) for name, value in evaluation.config.items()]
    made = f"Made on {evaluation.created} by LesionGen {evaluation.lesiongen_version}."
    return [
        Text(made),
        Table(("images", "address", "version"), sources),
        Table(("setting", "value"), values),
    ]
