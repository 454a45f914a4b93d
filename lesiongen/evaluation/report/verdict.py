"""What the numbers say, in sentences."""

from dataclasses import dataclass
from typing import Literal

from lesiongen.records.comparison_names import ComparisonName
from lesiongen.records.evaluation import EvaluationRecord
from lesiongen.records.image_measures import Bounded
from lesiongen.records.scores import Comparison, Condition, ConditionScores
from lesiongen.records.test_sets import OutsideTestSet
from lesiongen.records.text import number

__all__ = ["Finding", "comparison_findings", "parts_finding", "verdict"]

MUCH = 3.0
"""Near copies at this multiple of what held-out real images show are called out as a warning."""
WORDS: dict[Condition, str] = {
    "real": "real images",
    "synthetic": "synthetic images alone",
    "both": "real and synthetic images together",
    "reconstruction": "reconstructions of the real images",
}


@dataclass(frozen=True)
class Finding:
    """One sentence or two, and how it is meant."""

    kind: Literal["good", "info", "warning"]
    text: str


def verdict(evaluation: EvaluationRecord) -> list[Finding]:
    """Says what an evaluation has found: the use of the images, which part loses it, the worst group, near copies."""
    return [*comparison_findings(evaluation), parts_finding(evaluation), _copies(evaluation)]


def comparison_findings(evaluation: EvaluationRecord) -> list[Finding]:
    """Says what the classifiers show: how the conditions differ, and what becomes of the worst group."""
    names = [ComparisonName.read(entry.name) for entry in evaluation.comparisons]
    overall, grouped = (
        [
            _comparison(evaluation, name, entry)
            for name, entry in zip(names, evaluation.comparisons, strict=True)
            if name.worst_group is worst_group
        ]
        for worst_group in (False, True)
    )
    named = Finding("info", evaluation.worst_group.explanation)
    return [*overall, named, *(grouped if evaluation.worst_group.column else ())]


def _comparison(evaluation: EvaluationRecord, name: ComparisonName, entry: Comparison) -> Finding:
    first, second, difference = WORDS[name.first], WORDS[name.second], entry.difference
    if difference is None:
        reason = f": {entry.not_computed}" if entry.not_computed else "."
        there = f" on the test set {name.test_set}" if name.test_set else ""
        return Finding("warning", f"The difference between {first} and {second}{there} is not known{reason}")
    shown = f"{abs(difference):.3f}"
    change = "no difference" if shown == "0.000" else f"a {'gain' if difference > 0 else 'loss'} of {shown}"
    sure = "significant" if entry.significant else "not significant"
    ours, theirs = (_level(_scores(evaluation, condition, name), name) for condition in (name.first, name.second))
    where = _where(name, entry)
    what, p_value = name.metric.replace("_", " "), number(entry.p_holm, ".3g")
    text = (
        f"{where} on {first}, the classifier reaches a {what} of {number(ours)}, on {second} {number(theirs)}: "
        f"{change}{_bounds(entry)}, {sure} after Holm's correction (p = {p_value})."
    )
    if not entry.significant:
        return Finding("info", text)
    return Finding("good" if difference > 0 else "warning", text)


def _where(name: ComparisonName, entry: Comparison) -> str:
    of_set = f" of the test set {name.test_set}" if name.test_set else ""
    if name.worst_group:
        return f"In the worst group{of_set} ({entry.n} test images of {entry.lesions} lesions), trained"
    return f"On the test set {name.test_set}, trained" if name.test_set else "Trained"


def _scores(evaluation: EvaluationRecord, condition: Condition, name: ComparisonName) -> ConditionScores:
    if not name.test_set:
        return evaluation.scores(condition)
    found = evaluation.test_sets.get(name.test_set, OutsideTestSet())
    return found.utility.get(condition, ConditionScores())


def _level(scores: ConditionScores, name: ComparisonName) -> float | None:
    """Returns what a comparison compares: balanced accuracy, or the recall of the worst group."""
    if not name.worst_group:
        return scores.balanced_accuracy.mean
    return scores.worst_group.recall if scores.worst_group else None


def _bounds(entry: Comparison) -> str:
    if entry.low is None:
        return ""
    return f" (difference {number(entry.low, '+.3f')} to {number(entry.high, '+.3f')})"


def parts_finding(evaluation: EvaluationRecord) -> Finding:
    """Says how much the autoencoder loses and how much the denoiser, or that it was not measured."""
    found = evaluation.reconstruction
    if found is None:
        text = (
            "How much of the difference between real and synthetic images is the autoencoder's was not measured: "
            "lesiongen reconstruct makes the images for it, and lesiongen evaluate --reconstructed takes them."
        )
        return Finding("info", text)
    reached = evaluation.scores("reconstruction").balanced_accuracy.mean
    text = (
        "Trained on the real images as the generator's autoencoder gives them back, the classifier reaches a balanced "
        f"accuracy of {number(reached)}, {number(found.ceiling.value, '.2f')} of that from real images (the ceiling). "
        f"Of the change from real to synthetic images, the autoencoder's part is {_share(found.autoencoder)}, the "
        f"denoiser's {_share(found.denoiser)}."
    )
    if _near_chance(evaluation):
        return Finding(
            "warning", f"{text} Real images themselves teach it no more than chance: the ceiling means nothing."
        )
    return Finding("info", text)


def _near_chance(evaluation: EvaluationRecord) -> bool:
    """Tells whether chance is within the interval of the balanced accuracy from real images."""
    real = evaluation.scores("real")
    tested = sum(bool(each.n) for each in real.per_class.values())
    low = real.balanced_accuracy.low
    return low is not None and tested > 0 and low <= 1 / tested


def _share(part: Bounded) -> str:
    return f"{number(part.value, '+.3f')} ({number(part.low, '+.3f')} to {number(part.high, '+.3f')})"


def _copies(evaluation: EvaluationRecord) -> Finding:
    found = evaluation.memorisation
    text = (
        f"{number(found.share_above, '.1%')} of the synthetic images are nearer to a training image than "
        f"{number(found.percentile, 'g')}% of held-out real images are; "
        f"{number(found.expected_share, '.0%')} would be expected."
    )
    if found.share_above is None or found.expected_share is None:
        return Finding("warning", f"How many images are near copies is not known: {text}")
    if found.share_above > MUCH * found.expected_share:
        return Finding("warning", f"{text} Look at the nearest pairs before releasing anything.")
    low = found.search.above_chance_low
    if low is not None and low > 0:
        return Finding("warning", f"{text} All descriptors together find more than chance: at least {low:+.1%}.")
    return Finding("good", text)
