"""What the images are worth to a classifier: scores of each condition on the real test images, and differences."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import pandas as pd
from PIL import Image

from lesiongen.dataset import diagnosis_phrase
from lesiongen.evaluation.classifier.conditions import Predictions, best_condition
from lesiongen.evaluation.evidence import Evidence, Results
from lesiongen.evaluation.measures.comparisons import ComparedImages, compare_conditions
from lesiongen.evaluation.measures.discrimination import macro_auroc
from lesiongen.evaluation.measures.measure import Figures, Measure
from lesiongen.evaluation.measures.metrics import calibration, condition_scores
from lesiongen.evaluation.measures.subgroups import group_gaps, group_score, intersected, subgroup_scores
from lesiongen.evaluation.measures.worst_group import Ranking, group_rows, named_worst_group, ranked_worst_group
from lesiongen.evaluation.report.figures import confusion_figure, recall_figure
from lesiongen.evaluation.report.text import bounds_of, with_interval
from lesiongen.records.comparison_names import ComparisonName
from lesiongen.records.evaluation import EvaluationRecord
from lesiongen.records.scores import Comparison, Condition, ConditionScores, SubgroupScore, WorstGroup
from lesiongen.reporting import Block, Figure, Section, Table, Text
from lesiongen.sample_sizes import MIN_GROUP_IMAGES
from lesiongen.seeds import derive_seed

__all__ = [
    "Utility",
    "compared",
    "compared_images",
    "comparisons_table",
    "condition_record",
    "groups_table",
    "named_group",
    "utility_entries",
]


class Utility(Measure):
    """Scores of the classifiers of each condition: on the whole, by diagnosis and by group of patients."""

    place = 20

    def measure(self, evidence: Evidence) -> Mapping[str, object]:
        """Returns ``utility``, ``worst_group``, ``best_condition`` and ``comparisons``."""
        return utility_entries(evidence, named_group(evidence))

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
        """Returns accuracies, AUROC, the recall of the worst group, and the differences with their p-values."""
        metrics: dict[str, float | None] = {}
        for condition, scores in evaluation.utility.items():
            metrics[f"balanced_accuracy_{condition}"] = scores.balanced_accuracy.mean
            metrics[f"accuracy_{condition}"] = scores.accuracy.mean
            metrics[f"auroc_{condition}"] = scores.auroc.mean
            metrics[f"worst_group_recall_{condition}"] = scores.worst_group.recall if scores.worst_group else None
        for comparison in evaluation.comparisons:
            name = comparison.name.replace(",", "").replace(" ", "_")
            metrics[f"difference_{name}"] = comparison.difference
            metrics[f"p_holm_{name}"] = comparison.p_holm
        return metrics


def utility_entries(results: Results, worst: WorstGroup) -> dict[str, object]:
    """Scores and compares the conditions on the test images: the entries of `Utility`.

    Args:
        results: What the classifiers predict.
        worst: The worst group, named on other images than the test images.
    """
    return {
        "utility": {name: condition_record(results, outcome, worst) for name, outcome in results.outcomes.items()},
        "worst_group": worst,
        "best_condition": best_condition(results.outcomes),
        "comparisons": compared(results, results.outcomes, worst),
    }


def named_group(results: Results) -> WorstGroup:
    """Names the worst group by the configuration or on validation images; of the test images only numbers are used."""
    config, material = results.config, results.material
    if config.worst_group is not None:
        return named_worst_group(config.worst_group, material.test.table, config.min_worst_group)
    validation = material.validation
    predictions = results.outcomes["real"].validation_probabilities.argmax(axis=-1)
    ranking = Ranking(validation.labels, predictions, validation.table)
    return ranked_worst_group(ranking, material.test.table, config.subgroups, config.min_worst_group, config.min_group)


def condition_record(results: Results, outcome: Predictions, worst: WorstGroup) -> ConditionScores:
    """Scores the classifiers of one condition on the test images."""
    config, material, resamples = results.config, results.material, results.resamples
    test, predictions = material.test, outcome.predictions
    pairs = intersected(test.table, config.intersections)

    def by(table: pd.DataFrame, columns: Sequence[str]) -> tuple[SubgroupScore, ...]:
        return subgroup_scores(
            test.labels, predictions, table, len(material.classes), columns, config.min_group, resamples
        )

    entries = by(test.table, config.subgroups)
    plain = condition_scores(test.labels, predictions, material.classes, resamples)
    return plain.changed(
        auroc=macro_auroc(test.labels, outcome.probabilities, resamples),
        calibration=calibration(test.labels, outcome.probabilities),
        subgroups=entries,
        intersections=by(pairs, list(pairs)),
        worst_group=group_score(by(test.table, [worst.column]), worst.column, worst.group) if worst.column else None,
        gaps=group_gaps(entries),
        validation_balanced_accuracy=tuple(outcome.validation),
        picked_steps=tuple(outcome.steps),
    )


def compared(
    results: Results, outcomes: Mapping[Condition, Predictions], worst: WorstGroup, *parts: str
) -> tuple[Comparison, ...]:
    """Makes the declared comparisons of some classifiers.

    Args:
        results: The settings and the test images.
        outcomes: What the classifiers of each condition predict.
        worst: The worst group.
        parts: Make the seed of the permutations one of these classifiers' own.
    """
    config, material = results.config, results.material
    named = {ComparisonName.read(name).test_set for name in config.family}
    return compare_conditions(
        material.test.labels,
        {name: outcome.predictions for name, outcome in outcomes.items()},
        len(material.classes),
        results.resamples,
        family=config.family,
        worst=group_rows(material.test.table, worst),
        permutations=config.n_permutations,
        significance_level=config.significance_level,
        seed=derive_seed(config.seed, "permutations", *parts),
        elsewhere={
            name: compared_images(results.on(name, outcomes), worst) for name in named & material.elsewhere.keys()
        },
    )


def compared_images(results: Results, worst: WorstGroup) -> ComparedImages:
    """Returns the images of a test set from elsewhere for comparisons.

    Args:
        results: What the classifiers make of it (`Results.on`).
        worst: The worst group, named without it; it is compared where the set has enough images of it.
    """
    test, least = results.material.test, results.config.min_worst_group
    rows = group_rows(test.table, worst)
    compared = ComparedImages(
        test.labels, {name: each.predictions for name, each in results.outcomes.items()}, results.resamples, rows
    )
    if rows is None or rows.sum() >= least:
        return compared
    why = (
        f"The worst group has {rows.sum()} images in the test set {results.test_set}; {least} are needed "
        "(min_worst_group)."
    )
    return replace(compared, worst=None, why_no_worst_group=why)


def _overall(evaluation: EvaluationRecord, figures: Figures) -> list[Block]:
    rows = []
    for name, scores in evaluation.utility.items():
        cells = [
            with_interval(score.mean, score)
            for score in (scores.balanced_accuracy, scores.accuracy, scores.macro_f1, scores.auroc)
        ]
        rows.append((name, *cells, scores.balanced_accuracy.spread))
    made = evaluation.protocol
    how = [made.training, made.both.meaning, made.reconstruction, made.selection, made.test, made.intervals, made.tests]
    return [
        Table(
            ("trained on", "balanced accuracy", "accuracy", "macro F1", "macro AUROC", "spread over seeds"),
            rows,
            "Tested on the same real test images, trained within the same budget",
        ),
        *_tested(evaluation),
        Figure(
            figures["recall"],
            "Balanced accuracy and recall of each class",
            "Points are means over seeds, lines are intervals over test lesions.",
        ),
        Figure(figures["confusion"], "Confusion matrices", "Shares of the true class, means over seeds."),
        Text("\n\n".join(filter(None, how))),
    ]


def _tested(evaluation: EvaluationRecord) -> list[Block]:
    caption = "Differences, paired over test lesions: the family declared before the run"
    return [
        comparisons_table(evaluation.comparisons, caption),
        *(
            Text(f"Not computed: {entry.name}. {entry.not_computed}")
            for entry in evaluation.comparisons
            if entry.not_computed
        ),
    ]


def comparisons_table(comparisons: Sequence[Comparison], caption: str) -> Table:
    """Lays out comparisons, a row for each."""
    rows = [
        (
            entry.name,
            entry.metric.replace("_", " "),
            entry.n,
            entry.difference,
            bounds_of(entry),
            entry.spread,
            entry.p_value,
            entry.p_holm,
            entry.significant,
        )
        for entry in comparisons
    ]
    heads = (
        "comparison",
        "of",
        "test images",
        "difference",
        "interval",
        "spread over seeds",
        "p",
        "p (Holm)",
        "significant",
    )
    return Table(heads, rows, caption)


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
    gaps = [
        (column.replace("_", " "), *(scores.gaps.get(column) for scores in utility.values())) for column in real.gaps
    ]
    text = (
        "Recall is the mean over the diagnoses with at least five images in the group, over all of them where none has "
        "five. The groups are sorted by the recall of the classifier of real images on the test images. The first of "
        "many groups looks bad by chance too, and would seem to gain from any change: it is not what the conditions "
        "are compared on. "
        f"Groups of fewer than {evaluation.config.get('min_group')} images are marked, not hidden."
    )
    blocks: list[Block] = [
        Text(evaluation.worst_group.explanation),
        Text(text),
        groups_table("Groups by one column", {name: scores.subgroups for name, scores in utility.items()}),
        Table(("by", *utility), gaps, "Difference in recall between the highest and the lowest group"),
    ]
    if real.intersections:
        both = {name: scores.intersections for name, scores in utility.items()}
        blocks.append(groups_table("Groups by two columns", both))
    return blocks


def groups_table(caption: str, found: Mapping[Condition, Sequence[SubgroupScore]]) -> Table:
    """Lays out the recall of groups of patients by condition, in the order of the condition ``real``."""
    rows = []
    for entry in found["real"]:
        same = [group_score(entries, entry.column, entry.group) or SubgroupScore() for entries in found.values()]
        cells = [with_interval(each.recall, each) for each in same]
        small = "too small" if entry.too_small else ""
        rows.append((entry.column.replace("_", " "), entry.group, entry.n, entry.lesions, *cells, small))
    heads = ("by", "group", "images", "lesions", *(f"recall, {condition}" for condition in found), "")
    return Table(heads, rows, caption)
