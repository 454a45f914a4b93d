"""Test sets from elsewhere: the same classifiers on images of other institutions, each set apart."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lesiongen.evaluation.evidence import Evidence, Results
from lesiongen.evaluation.measures.comparisons import compare_conditions
from lesiongen.evaluation.measures.malignancy import JudgedImages, malignancy
from lesiongen.evaluation.measures.measure import Figures, Measure
from lesiongen.evaluation.measures.subgroups import resampled_recall
from lesiongen.evaluation.measures.utility import (
    compared_images,
    comparisons_table,
    condition_record,
    groups_table,
    named_group,
)
from lesiongen.evaluation.report.figures import test_sets_figure
from lesiongen.evaluation.report.text import bounds_of, with_interval
from lesiongen.records.comparison_names import ComparisonName
from lesiongen.records.evaluation import EvaluationRecord
from lesiongen.records.image_measures import Bounded
from lesiongen.records.scores import Comparison, Condition, WorstGroup
from lesiongen.records.test_sets import OutsideTestSet, Shift
from lesiongen.reporting import Block, Figure, Section, Table, Text
from lesiongen.seeds import derive_seed

__all__ = ["OutsideTestSets", "secondary_comparisons", "shift"]

FIGURE = "test_sets"


class OutsideTestSets(Measure):
    """Scores and comparisons on each test set from elsewhere; nothing is chosen by them."""

    place = 24

    def measure(self, evidence: Evidence) -> Mapping[str, object]:
        """Returns ``test_sets``."""
        worst = named_group(evidence)
        return {"test_sets": {name: _measured(evidence, name, worst) for name in evidence.material.elsewhere}}

    def figures(self, evidence: Evidence, evaluation: EvaluationRecord) -> Mapping[str, Image.Image]:
        """Draws the balanced accuracy of each condition on the run's own test split and on each set."""
        if not evaluation.test_sets:
            return {}
        sets = {"own test split": evaluation.utility}
        sets |= {name: found.utility for name, found in evaluation.test_sets.items()}
        return {FIGURE: test_sets_figure(sets)}

    def sections(self, evaluation: EvaluationRecord, figures: Figures) -> list[Section]:
        """Returns a section on all sets and one on each."""
        if not evaluation.test_sets:
            return []
        each = [Section(f"Test set {name}", _blocks(found)) for name, found in evaluation.test_sets.items()]
        return [Section("Outside test sets", _overview(evaluation, figures)), *each]

    def headline(self, evaluation: EvaluationRecord) -> Mapping[str, float | None]:
        """Returns the balanced accuracy of each condition on each set."""
        return {
            f"balanced_accuracy_{condition}_{name}": scores.balanced_accuracy.mean
            for name, found in evaluation.test_sets.items()
            for condition, scores in found.utility.items()
        }


def _measured(evidence: Evidence, name: str, worst: WorstGroup) -> OutsideTestSet:
    given, there, config = evidence.material.elsewhere[name], evidence.on(name), evidence.config
    images, classes = given.images, evidence.material.classes
    judged = JudgedImages(images.labels, images.table, there.resamples)
    probabilities = {condition: each.probabilities for condition, each in there.outcomes.items()}
    _, *further = evidence.trained.items()
    return OutsideTestSet(
        uri=given.dataset.uri,
        version=given.dataset.manifest.version,
        licences=given.licences,
        n=len(images),
        lesions=len(np.unique(images.lesions)),
        per_class=dict(images.count(classes)),
        left_out=dict(given.left_out),
        also_in=dict(given.also_in),
        utility={condition: condition_record(there, each, worst) for condition, each in there.outcomes.items()},
        shift={condition: shift(evidence, there, condition) for condition in there.outcomes},
        malignancy=malignancy(judged, probabilities, classes, config.subgroups, config.min_group),
        comparisons=secondary_comparisons(there, worst),
        further_classifiers={
            other: {
                condition: condition_record(there, each, worst)
                for condition, each in evidence.on(name, trained.outcomes).outcomes.items()
            }
            for other, trained in further
        },
    )


def secondary_comparisons(there: Results, worst: WorstGroup) -> tuple[Comparison, ...]:
    """Makes the comparisons of the family on a set for which the family does not declare them: nothing is corrected.

    Args:
        there: The settings, and what the classifiers make of the set.
        worst: The worst group.
    """
    config, material, name = there.config, there.material, there.test_set
    declared = [ComparisonName.read(each) for each in config.family]
    asked = {str(replace(each, test_set=name)): None for each in declared}
    compared = compared_images(there, worst)
    made = compare_conditions(
        compared.labels,
        compared.predictions,
        len(material.classes),
        compared.resamples,
        family=[each for each in asked if each not in config.family],
        worst=compared.worst,
        permutations=config.n_permutations,
        significance_level=config.significance_level,
        seed=derive_seed(config.seed, "permutations"),
        elsewhere={name: compared},
    )
    return tuple(entry.changed(p_holm=None, significant=False, family=None) for entry in made)


def shift(own: Results, there: Results, condition: Condition) -> Shift:
    """Returns how much lower or higher the balanced accuracy is on a set than on the run's own test split.

    It is over the classes that both hold: with other classes it would be another task. The lesions of the two are
    resampled independently.

    Args:
        own: What the classifiers make of the run's own test split.
        there: What they make of the set.
        condition: What they were trained on.
    """
    classes = own.material.classes
    held = [np.bincount(each.material.test.labels, minlength=len(classes)) > 0 for each in (own, there)]
    common = np.logical_and(*held)
    if not common.any():
        return Shift()
    before, after = (_mean_recalls(each, condition, common) for each in (own, there))
    low, high = there.resamples.interval(after[1:] - before[1:])
    return Shift(
        classes=tuple(name for name, is_common in zip(classes, common, strict=True) if is_common),
        own=before[0],
        there=after[0],
        difference=Bounded(value=after[0] - before[0], low=low, high=high),
    )


def _mean_recalls(results: Results, condition: Condition, entering: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Returns the mean recall of some classes, mean over the seeds: of all test images, then of each resample."""
    labels, predictions = results.material.test.labels, results.outcomes[condition].predictions
    plain = np.mean([(predictions[:, labels == k] == k).mean() for k in np.flatnonzero(entering)])
    rows = np.ones(len(labels), dtype=bool)
    return np.append(plain, resampled_recall(labels, predictions, rows, entering, results.resamples))


def _overview(evaluation: EvaluationRecord, figures: Figures) -> list[Block]:
    text = (
        "The classifiers of every condition, trained and picked on this run's own training and validation images, on "
        "images from elsewhere. Nothing is chosen by these images. The means are over the diagnoses that a set holds: "
        "their number differs, so that only the shift compares a set with the run's own test split, over the diagnoses "
        "that both hold. A classifier may still answer with any diagnosis of the run."
    )
    found = {"own test split": (evaluation.counts.test.per_class, evaluation.utility)}
    found |= {name: (each.per_class, each.utility) for name, each in evaluation.test_sets.items()}
    rows = []
    for name, (per_class, utility) in found.items():
        counts = [count for count in per_class.values() if count]
        cells = [with_interval(scores.balanced_accuracy.mean, scores.balanced_accuracy) for scores in utility.values()]
        rows.append((name, sum(counts), len(counts), *cells))
    heads = ("test set", "images", "diagnoses", *evaluation.utility)
    title = "Balanced accuracy by test set and condition"
    note = "Means over the diagnoses of each set; lines are intervals over its lesions."
    return [Text(text), Figure(figures[FIGURE], title, note), Table(heads, rows, title)]


def _blocks(found: OutsideTestSet) -> list[Block]:
    held = ", ".join(f"{diagnosis} {count}" for diagnosis, count in found.per_class.items() if count)
    text = (
        f"{found.uri}, version {(found.version or '')[:12]}; licence: {', '.join(found.licences)}. {found.n} images of "
        f"{found.lesions} lesions: {held}."
    )
    blocks: list[Block] = [Text(text), _shift_table(found), _scores_table(found)]
    left_out = [(reason, some.n, ", ".join(some.examples)) for reason, some in found.left_out.items()]
    if left_out:
        blocks.append(Table(("by", "images", "the first"), left_out, "Left out"))
    if found.comparisons:
        caption = "Secondary comparisons: outside the declared family, not corrected"
        blocks.append(comparisons_table(found.comparisons, caption))
    if any(scores.subgroups for scores in found.utility.values()):
        groups = {condition: scores.subgroups for condition, scores in found.utility.items()}
        blocks.append(groups_table("Groups by one column", groups))
    if found.further_classifiers:
        rows = [
            (other, *(with_interval(each.balanced_accuracy.mean, each.balanced_accuracy) for each in utility.values()))
            for other, utility in found.further_classifiers.items()
        ]
        blocks.append(Table(("classifier", *found.utility), rows, "Balanced accuracy of the other classifiers"))
    return blocks


def _shift_table(found: OutsideTestSet) -> Table:
    rows = [
        (condition, len(each.classes), each.own, each.there, each.difference.value, bounds_of(each.difference))
        for condition, each in found.shift.items()
    ]
    heads = ("trained on", "diagnoses in both", "own test split", "this set", "difference", "interval")
    return Table(heads, rows, "Shift: balanced accuracy over the diagnoses that both hold")


def _scores_table(found: OutsideTestSet) -> Table:
    rows = []
    for condition, scores in found.utility.items():
        shown = [
            with_interval(score.mean, score)
            for score in (scores.balanced_accuracy, scores.accuracy, scores.macro_f1, scores.auroc)
        ]
        judged = found.malignancy.conditions.get(condition)
        told = [judged.auroc.mean, judged.sensitivity.share, judged.specificity.share] if judged else [None] * 3
        rows.append((condition, *shown, *told))
    heads = (
        "trained on",
        "balanced accuracy",
        "accuracy",
        "macro F1",
        "macro AUROC",
        "AUROC, malignant",
        "sensitivity",
        "specificity",
    )
    return Table(heads, rows, "Scores")
