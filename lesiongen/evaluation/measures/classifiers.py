"""What further classifiers say of the conditions, beside the primary one."""

from collections.abc import Mapping

from lesiongen.evaluation.classifier.conditions import Predictions, best_condition
from lesiongen.evaluation.evidence import Evidence, Results
from lesiongen.evaluation.measures.measure import Figures, Measure
from lesiongen.evaluation.measures.utility import compared, condition_record, named_group
from lesiongen.evaluation.report.text import bounds_of, with_interval
from lesiongen.records.evaluation import EvaluationRecord
from lesiongen.records.scores import ClassifierScores, ClassifierSource, Condition, WorstGroup
from lesiongen.records.text import number
from lesiongen.reporting import Block, Section, Table, Text

__all__ = ["FurtherClassifiers", "further_scores"]


class FurtherClassifiers(Measure):
    """The primary classifier and its source, and the scores of the others by condition."""

    place = 26

    def measure(self, evidence: Evidence) -> Mapping[str, object]:
        """Returns ``classifier`` and ``further_classifiers``."""
        _, *further = evidence.trained
        worst = named_group(evidence)
        trained = {name: evidence.trained[name] for name in further}
        scores = {
            name: further_scores(evidence, name, each.source, each.outcomes, worst) for name, each in trained.items()
        }
        return {"classifier": evidence.primary.source, "further_classifiers": scores}

    def sections(self, evaluation: EvaluationRecord, figures: Figures) -> list[Section]:
        """Returns the section that sets the classifiers side by side; none where there is one classifier."""
        if evaluation.classifier is None or not evaluation.further_classifiers:
            return []
        return [Section("Other classifiers", _side_by_side(evaluation, evaluation.classifier))]

    def headline(self, evaluation: EvaluationRecord) -> Mapping[str, float | None]:
        """Returns the balanced accuracy of each further classifier in each condition."""
        return {
            f"balanced_accuracy_{condition}_{_metric_name(name)}": scores.balanced_accuracy.mean
            for name, further in evaluation.further_classifiers.items()
            for condition, scores in further.utility.items()
        }


def further_scores(
    results: Results,
    name: str,
    source: ClassifierSource,
    outcomes: Mapping[Condition, Predictions],
    worst: WorstGroup,
) -> ClassifierScores:
    """Scores a further classifier; its comparisons are outside the declared family: nothing is corrected.

    Args:
        results: The settings and the test images.
        name: What it was asked for by.
        source: What it is.
        outcomes: What its classifiers predict.
        worst: The worst group.
    """
    comparisons = compared(results, outcomes, worst, name)
    return ClassifierScores(
        classifier=source,
        utility={condition: condition_record(results, outcome, worst) for condition, outcome in outcomes.items()},
        best_condition=best_condition(outcomes),
        comparisons=tuple(entry.changed(p_holm=None, significant=False, family=None) for entry in comparisons),
    )


def _side_by_side(evaluation: EvaluationRecord, primary: ClassifierSource) -> list[Block]:
    every = {
        _primary_name(evaluation): (primary, evaluation.utility),
        **{name: (scores.classifier, scores.utility) for name, scores in evaluation.further_classifiers.items()},
    }
    rows = []
    for place, (name, (source, utility)) in enumerate(every.items()):
        cells = [with_interval(scores.balanced_accuracy.mean, scores.balanced_accuracy) for scores in utility.values()]
        rows.append((name, "further" if place else "primary", source.image_size, *cells))
    tests = [
        (name, entry.name, entry.difference, bounds_of(entry), entry.spread, entry.p_value)
        for name, scores in evaluation.further_classifiers.items()
        for entry in scores.comparisons
    ]
    sources = [
        (name, source.source, source.revision, source.licence or "not stated", _settings(source))
        for name, (source, _) in every.items()
    ]
    text = (
        "Verdict, corrected tests and gates rest on the primary classifier alone. The comparisons of the others are "
        "secondary: they are outside the declared family, and their p-values are not corrected. All conditions of a "
        "classifier share its budget and its hyperparameters, which were fixed on real images."
    )
    return [
        Text(text),
        Table(("classifier", "role", "pixels", *evaluation.utility), rows, "Balanced accuracy by what was trained on"),
        Table(
            ("classifier", "comparison", "difference", "interval", "spread over seeds", "p (not corrected)"),
            tests,
            "Secondary comparisons, paired over test lesions",
        ),
        Table(("classifier", "begins with", "revision", "licence", "settings"), sources, "What the classifiers are"),
    ]


def _primary_name(evaluation: EvaluationRecord) -> str:
    """Returns the name that the primary classifier was asked for by."""
    names = evaluation.config.get("classifiers")
    return str(names[0]) if isinstance(names, list) and names else "primary"


def _settings(source: ClassifierSource) -> str:
    shown = (
        f"{name} {number(value, 'g')}" if isinstance(value, float) else f"{name} {value}"
        for name, value in source.hyperparameters.items()
        if not isinstance(value, list)
    )
    return ", ".join(shown)


def _metric_name(name: str) -> str:
    """Returns a classifier's name as part of a metric's: letters, digits and underscores."""
    return "".join(letter if letter.isalnum() else "_" for letter in name).strip("_")
