"""What the numbers say, in sentences."""

from dataclasses import dataclass
from typing import Literal, cast

from lesiongen.records.evaluation import Comparison, Condition, EvaluationRecord, SubgroupScore
from lesiongen.records.text import number

__all__ = ["Finding", "comparison_findings", "verdict"]

MUCH = 3.0
"""Near copies at this multiple of what held-out real images show are called out as a warning."""
WORDS: dict[Condition, str] = {
    "real": "real images",
    "synthetic": "synthetic images alone",
    "both": "real and synthetic images together",
}


@dataclass(frozen=True)
class Finding:
    """One sentence or two, and how it is meant."""

    kind: Literal["good", "info", "warning"]
    text: str


def verdict(evaluation: EvaluationRecord) -> list[Finding]:
    """Says what an evaluation has found: the use of the images, the worst group, near copies."""
    return [*comparison_findings(evaluation), _copies(evaluation)]


def comparison_findings(evaluation: EvaluationRecord) -> list[Finding]:
    """Says what the classifiers show: how the conditions differ, and what becomes of the worst group."""
    return [*(_comparison(evaluation, entry) for entry in evaluation.comparisons), *_worst_group(evaluation)]


def _comparison(evaluation: EvaluationRecord, entry: Comparison) -> Finding:
    first, second = (cast("Condition", name) for name in entry.name.split(" vs "))
    means = [evaluation.scores(name).balanced_accuracy.mean for name in (first, second)]
    difference = entry.difference
    if difference is None:
        return Finding("warning", f"The difference between {WORDS[first]} and {WORDS[second]} is not known.")
    shown = f"{abs(difference):.3f}"
    change = "no difference" if shown == "0.000" else f"a {'gain' if difference > 0 else 'loss'} of {shown}"
    sure = "significant" if entry.significant else "not significant"
    text = (
        f"Trained on {WORDS[first]}, the classifier reaches a balanced accuracy of {number(means[0])}, on "
        f"{WORDS[second]} {number(means[1])}: {change}{_bounds(entry)}, {sure} "
        f"after Holm's correction (p = {number(entry.p_holm, '.3g')})."
    )
    if not entry.significant:
        return Finding("info", text)
    return Finding("good" if difference > 0 else "warning", text)


def _bounds(entry: Comparison) -> str:
    if entry.low is None:
        return ""
    return f" (difference {number(entry.low, '+.3f')} to {number(entry.high, '+.3f')})"


def _worst_group(evaluation: EvaluationRecord) -> list[Finding]:
    real = evaluation.scores("real").worst_group
    if real is None:
        return [Finding("info", "No group of patients in the test split is large enough to be judged.")]
    same = next(
        entry
        for entry in evaluation.scores("both").subgroups
        if (entry.column, entry.group) == (real.column, real.group)
    )
    name = f"{real.column.replace('_', ' ')} = {real.group}"
    text = (
        f"The group that the classifier of real images serves worst is {name} ({real.n} test images of "
        f"{real.lesions} lesions): recall {number(real.recall)}{_between(real)}. With synthetic images added it is "
        f"{number(same.recall)}{_between(same)}."
    )
    return [Finding("info", text)]


def _between(entry: SubgroupScore) -> str:
    return "" if entry.low is None else f" ({number(entry.low)} to {number(entry.high)})"


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
    return Finding("good", text)
