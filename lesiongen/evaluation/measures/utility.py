"""What the images are worth to a classifier: scores of each condition on the real test images, and differences."""

from collections.abc import Mapping

from PIL import Image

from lesiongen.dataset import diagnosis_phrase
from lesiongen.evaluation.classifier.conditions import Predictions, best_condition
from lesiongen.evaluation.evidence import Evidence, Results
from lesiongen.evaluation.measures.comparisons import compare_conditions
from lesiongen.evaluation.measures.measure import Figures, Measure
from lesiongen.evaluation.measures.metrics import calibration, condition_scores
from lesiongen.evaluation.measures.subgroups import group_gaps, subgroup_scores, worst_group
from lesiongen.evaluation.report.figures import confusion_figure, recall_figure
from lesiongen.evaluation.report.text import bounds_of, with_interval
from lesiongen.records.evaluation import Comparison, ConditionScores, EvaluationRecord
from lesiongen.reporting import Block, Figure, Section, Table, Text
from lesiongen.sample_sizes import MIN_GROUP_IMAGES
from lesiongen.seeds import derive_seed

__all__ = ["Utility", "utility_entries"]


class Utility(Measure):
    """Scores of the classifiers of each condition: on the whole, by diagnosis and by group of patients."""

    place = 20

    def measure(self, evidence: Evidence) -> Mapping[str, object]:
        """Returns ``utility``, ``best_condition`` and ``comparisons``."""
        return utility_entries(evidence)

    def figures(self, evidence: Evidence, evaluation: EvaluationRecord) -> Mapping[str, Image.Image]:
        """Draws recall of each class and the confusion matrices."""
        classes = evidence.material.classes
        return {
            "recall": recall_figure(evaluation.utility, classes),
            "confusion": confusion_figure(evaluation.utility, classes),
        }

    def sections(self, evaluation: EvaluationRecord, figures: Figures) -> list[Section]:
        """Returns the sections on the whole, on diagnoses and on groups of patients."""
        return [
            Section("Use for a classifier", _overall(evaluation, figures)),
            Section("By diagnosis", _by_diagnosis(evaluation)),
            Section("By group of patients", _by_group(evaluation)),
        ]

    def headline(self, evaluation: EvaluationRecord) -> Mapping[str, float | None]:
        """Returns accuracies, the recall of the worst group, and the differences with their p-values."""
        metrics: dict[str, float | None] = {}
        for condition, scores in evaluation.utility.items():
            metrics[f"balanced_accuracy_{condition}"] = scores.balanced_accuracy.mean
            metrics[f"accuracy_{condition}"] = scores.accuracy.mean
            metrics[f"worst_group_recall_{condition}"] = scores.worst_group.recall if scores.worst_group else None
        for comparison in evaluation.comparisons:
            name = comparison.name.replace(" ", "_")
            metrics[f"difference_{name}"] = comparison.difference
            metrics[f"p_holm_{name}"] = comparison.p_holm
        return metrics


def utility_entries(results: Results) -> dict[str, object]:
    """Scores and compares the conditions on the test images: the entries of `Utility`."""
    return {
        "utility": {name: _score(results, outcome) for name, outcome in results.outcomes.items()},
        "best_condition": best_condition(results.outcomes),
        "comparisons": _compare(results),
    }


def _score(results: Results, outcome: Predictions) -> ConditionScores:
    config, material, resamples = results.config, results.material, results.resamples
    test = material.test
    entries = subgroup_scores(
        test, outcome.predictions, len(material.classes), config.subgroups, config.min_group, resamples
    )
    plain = condition_scores(test.labels, outcome.predictions, material.classes, resamples)
    return plain.changed(
        calibration=calibration(test.labels, outcome.probabilities),
        subgroups=entries,
        worst_group=worst_group(entries),
        gaps=group_gaps(entries),
        validation_balanced_accuracy=tuple(outcome.validation),
        picked_steps=tuple(outcome.steps),
    )


def _compare(results: Results) -> tuple[Comparison, ...]:
    config, material = results.config, results.material
    return compare_conditions(
        material.test.labels,
        {name: outcome.predictions for name, outcome in results.outcomes.items()},
        len(material.classes),
        results.resamples,
        permutations=config.n_permutations,
        significance_level=config.significance_level,
        seed=derive_seed(config.seed, "permutations"),
    )


def _overall(evaluation: EvaluationRecord, figures: Figures) -> list[Block]:
    rows = []
    for name, scores in evaluation.utility.items():
        cells = [
            with_interval(score.mean, score) for score in (scores.balanced_accuracy, scores.accuracy, scores.macro_f1)
        ]
        rows.append((name, *cells, scores.balanced_accuracy.spread))
    made = evaluation.protocol
    how = [made.training, made.both.meaning, made.selection, made.test, made.intervals, made.tests]
    tests = [
        (
            entry.name,
            entry.difference,
            bounds_of(entry),
            entry.spread,
            entry.p_value,
            entry.p_holm,
            entry.significant,
        )
        for entry in evaluation.comparisons
    ]
    return [
        Table(
            ("trained on", "balanced accuracy", "accuracy", "macro F1", "spread over seeds"),
            rows,
            "Tested on the same real test images, trained within the same budget",
        ),
        Table(
            ("comparison", "difference", "interval", "spread over seeds", "p", "p (Holm)", "significant"),
            tests,
            "Differences in balanced accuracy, paired over test lesions",
        ),
        Figure(
            figures["recall"],
            "Balanced accuracy and recall of each class",
            "Points are means over seeds, lines are intervals over test lesions.",
        ),
        Figure(figures["confusion"], "Confusion matrices", "Shares of the true class, means over seeds."),
        Text("\n\n".join(how)),
    ]


def _by_diagnosis(evaluation: EvaluationRecord) -> list[Block]:
    utility = evaluation.utility
    rows = []
    for name in evaluation.classes:
        entries = {condition: scores.per_class[name] for condition, scores in utility.items()}
        cells = [with_interval(entry.recall, entry) for entry in entries.values()]
        small = "too small" if (entries["real"].n or 0) < MIN_GROUP_IMAGES else ""
        rows.append((name, diagnosis_phrase(name), entries["real"].n, *cells, small))
    heads = ("class", "diagnosis", "test images", *(f"recall, {condition}" for condition in utility), "")
    text = (
        f"Diagnoses with fewer than {MIN_GROUP_IMAGES} test images are marked: an interval over few lesions is too "
        "narrow, and of one lesion it has no width."
    )
    return [Text(text), Table(heads, rows, "Recall of each diagnosis")]


def _by_group(evaluation: EvaluationRecord) -> list[Block]:
    utility, real = evaluation.utility, evaluation.scores("real")
    if not real.subgroups:
        return [Text("The test images name no group of patients.")]
    found = {
        name: {(entry.column, entry.group): entry for entry in scores.subgroups} for name, scores in utility.items()
    }
    rows = []
    for entry in real.subgroups:
        same = [groups[entry.column, entry.group] for groups in found.values()]
        cells = [with_interval(each.recall, each) for each in same]
        small = "too small" if entry.too_small else ""
        rows.append((entry.column.replace("_", " "), entry.group, entry.n, entry.lesions, *cells, small))
    heads = ("by", "group", "images", "lesions", *(f"recall, {condition}" for condition in utility), "")
    gaps = [
        (column.replace("_", " "), *(scores.gaps.get(column) for scores in utility.values())) for column in real.gaps
    ]
    text = (
        "Recall is the mean over the diagnoses with at least five images in the group, over all of them where none has "
        "five. The groups are sorted by the "
        "recall of the classifier of real images, the worst first. The worst of many groups looks bad by chance too: "
        f"read its interval. Groups of fewer than {evaluation.config.get('min_group')} images are marked, not hidden."
    )
    return [
        Text(text),
        Table(heads, rows, "Groups, the worst first"),
        Table(("by", *utility), gaps, "Difference in recall between the best and the worst group"),
    ]
