"""What the numbers say, in sentences."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

__all__ = ["Finding", "verdict"]

MUCH = 3.0
"""Near copies at this multiple of what held-out real images show are called out as a warning."""


@dataclass(frozen=True)
class Finding:
    """One sentence or two, and how it is meant."""

    kind: Literal["good", "info", "warning"]
    text: str


def verdict(evaluation: Mapping[str, Any]) -> list[Finding]:
    """Says what an evaluation has found: the use of the images, the worst group, near copies."""
    findings = [_comparison(evaluation, entry) for entry in evaluation["comparisons"]]
    return [*findings, *_worst_group(evaluation), _copies(evaluation)]


def _comparison(evaluation: Mapping[str, Any], entry: Mapping[str, Any]) -> Finding:
    first, second = entry["name"].split(" vs ")
    means = {name: evaluation["utility"][name]["balanced_accuracy"]["mean"] for name in (first, second)}
    words = {"real": "real images", "synthetic": "synthetic images alone", "both": "real and synthetic images together"}
    change = "gain" if entry["difference"] > 0 else "loss"
    sure = "significant" if entry["significant"] else "not significant"
    text = (
        f"Trained on {words[first]}, the classifier reaches a balanced accuracy of {means[first]:.3f}, on "
        f"{words[second]} {means[second]:.3f}: a {change} of {abs(entry['difference']):.3f}{_bounds(entry)}, {sure} "
        f"after Holm's correction (p = {entry['p_holm']:.3g})."
    )
    if not entry["significant"]:
        return Finding("info", text)
    return Finding("good" if entry["difference"] > 0 else "warning", text)


def _bounds(entry: Mapping[str, Any]) -> str:
    if entry["low"] is None:
        return ""
    return f" (difference {entry['low']:+.3f} to {entry['high']:+.3f})"


def _worst_group(evaluation: Mapping[str, Any]) -> list[Finding]:
    real = evaluation["utility"]["real"]["worst_group"]
    if real is None:
        return [Finding("info", "No group of patients in the test split is large enough to be judged.")]
    same = next(
        entry
        for entry in evaluation["utility"]["both"]["subgroups"]
        if (entry["column"], entry["group"]) == (real["column"], real["group"])
    )
    name = f"{real['column'].replace('_', ' ')} = {real['group']}"
    text = (
        f"The group that the classifier of real images serves worst is {name} ({real['n']} test images of "
        f"{real['lesions']} lesions): recall {real['recall']:.3f}{_between(real)}. With synthetic images added it is "
        f"{same['recall']:.3f}{_between(same)}."
    )
    return [Finding("info", text)]


def _between(entry: Mapping[str, Any]) -> str:
    return "" if entry["low"] is None else f" ({entry['low']:.3f} to {entry['high']:.3f})"


def _copies(evaluation: Mapping[str, Any]) -> Finding:
    found = evaluation["memorisation"]
    text = (
        f"{found['share_above']:.1%} of the synthetic images are nearer to a training image than "
        f"{found['percentile']:g}% of held-out real images are; {found['expected_share']:.0%} would be expected."
    )
    if found["share_above"] > MUCH * found["expected_share"]:
        return Finding("warning", f"{text} Look at the nearest pairs before releasing anything.")
    return Finding("good", text)
