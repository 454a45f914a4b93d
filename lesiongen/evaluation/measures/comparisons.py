"""Paired comparisons of the conditions on the same test lesions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from lesiongen.evaluation.measures.metrics import Resamples
from lesiongen.evaluation.measures.subgroups import entering_classes, resampled_recall
from lesiongen.records.comparison_names import ComparisonName
from lesiongen.records.scores import Comparison, Condition
from lesiongen.seeds import derive_seed

__all__ = ["ComparedImages", "compare_conditions", "holm", "paired_difference", "permutation_p_value"]

BLOCK = 1000
Predictions = Mapping[Condition, NDArray[np.int64]]


def compare_conditions(
    labels: NDArray[np.int64],
    predictions: Predictions,
    classes: int,
    resamples: Resamples,
    *,
    family: Sequence[str],
    worst: NDArray[np.bool_] | None,
    permutations: int,
    significance_level: float,
    seed: int,
    elsewhere: Mapping[str, "ComparedImages"] = MappingProxyType({}),
) -> tuple[Comparison, ...]:
    """Makes the comparisons of a family that was declared before the run: paired permutation tests, Holm's correction.

    Args:
        labels: [n].
        predictions: For each condition [seeds, n].
        classes: Number of classes.
        resamples: Resamples of the test lesions, for the interval of the difference.
        family: Names of the comparisons (`ComparisonName`). Holm's correction is over those that can be computed.
        worst: [n], which images are of the worst group; None where none is claimed.
        permutations: Permutations of each test.
        significance_level: Of the corrected p-value.
        seed: Seed of the permutations.
        elsewhere: By name, the test sets that comparisons of the family are on; all of them are corrected together.

    Returns:
        One for each name of the family, in its order. One that cannot be computed has no numbers and says why.
    """
    names = [ComparisonName.read(name) for name in family]
    tested = {"": ComparedImages(labels, predictions, resamples, worst), **elsewhere}
    obstacles = {name: _obstacle(name, tested) for name in names}
    computed = {}
    for name in names:
        if not obstacles[name]:
            images = tested[name.test_set]
            part = _Part.of(images.labels, images.worst if name.worst_group else None, classes)
            computed[name] = _compare(images, name, part, permutations, seed)
    corrected = holm([1.0 if entry.p_value is None else entry.p_value for entry in computed.values()])
    p_holm = dict(zip(computed, corrected, strict=True))
    return tuple(
        computed[name].changed(p_holm=p_holm[name], significant=p_holm[name] < significance_level, family=len(computed))
        if name in computed
        else _not_computed(name, obstacles[name], len(computed))
        for name in names
    )


@dataclass(frozen=True)
class ComparedImages:
    """Test images, and what the classifiers of each condition predict for them.

    Attributes:
        labels: [n].
        predictions: For each condition [seeds, n].
        resamples: Resamples of their lesions.
        worst: [n], which images are of the worst group; None where it is not compared on them.
        why_no_worst_group: Why it is not.
    """

    labels: NDArray[np.int64]
    predictions: Predictions
    resamples: Resamples
    worst: NDArray[np.bool_] | None
    why_no_worst_group: str = "No worst group is claimed."


@dataclass(frozen=True)
class _Part:
    """The test images of a comparison [n], and the classes whose recalls are averaged [classes]."""

    rows: NDArray[np.bool_]
    entering: NDArray[np.bool_]

    @classmethod
    def of(cls, labels: NDArray[np.int64], group: NDArray[np.bool_] | None, classes: int) -> "_Part":
        """Returns the images of a group, or all of them where it is None."""
        if group is not None:
            return cls(group, entering_classes(labels[group], classes))
        return cls(np.ones(len(labels), dtype=bool), np.bincount(labels, minlength=classes) > 0)

    def weights(self, labels: NDArray[np.int64]) -> NDArray[np.float64]:
        """Returns what each image, recognised, adds to the mean recall: [n]."""
        counts = np.maximum(np.bincount(labels[self.rows], minlength=len(self.entering)), 1)
        share = 1.0 / (np.count_nonzero(self.entering) * counts[labels])
        return np.where(self.rows & self.entering[labels], share, 0.0)


def paired_difference(
    labels: NDArray[np.int64],
    pair: tuple[NDArray[np.int64], NDArray[np.int64]],
    classes: int,
    resamples: Resamples,
    *,
    permutations: int,
    seed: int,
) -> Comparison:
    """Compares the balanced accuracy of two sets of classifiers outside the family: no correction, none significant.

    Args:
        labels: [n].
        pair: The predictions of each, [seeds, n]; the difference is that of the first less the second.
        classes: Number of classes.
        resamples: Resamples of the test lesions.
        permutations: Permutations of the test.
        seed: Seed of the permutations.
    """
    part = _Part.of(labels, None, classes)
    compared = _paired(labels, pair, part, resamples, permutations, seed)
    return compared.changed(metric="balanced_accuracy", p_holm=None, significant=False, family=None)


def _compare(images: ComparedImages, name: ComparisonName, part: _Part, permutations: int, seed: int) -> Comparison:
    scope = [*(["worst group"] if name.worst_group else []), *(["on", name.test_set] if name.test_set else [])]
    pair = images.predictions[name.first], images.predictions[name.second]
    own = derive_seed(seed, name.first, name.second, *scope)
    compared = _paired(images.labels, pair, part, images.resamples, permutations, own)
    return compared.changed(name=str(name), metric=name.metric)


def _paired(
    labels: NDArray[np.int64],
    pair: tuple[NDArray[np.int64], NDArray[np.int64]],
    part: _Part,
    resamples: Resamples,
    permutations: int,
    seed: int,
) -> Comparison:
    weights = part.weights(labels)
    one, other = ((each == labels) for each in pair)
    gain = one.mean(axis=0) - other.mean(axis=0)
    terms = np.bincount(resamples.lesions, weights * gain).astype(np.float64)
    per_seed = one @ weights - other @ weights
    first, second = (resampled_recall(labels, each, part.rows, part.entering, resamples) for each in pair)
    low, high = resamples.interval(first - second)
    return Comparison(
        difference=float(terms.sum()),
        low=low,
        high=high,
        p_value=permutation_p_value(terms, permutations, seed),
        per_seed=tuple(per_seed.tolist()),
        spread=float(np.std(per_seed, ddof=1)) if len(per_seed) > 1 else None,
        n=int(part.rows.sum()),
        lesions=len(np.unique(resamples.lesions[part.rows])),
        not_computed="",
    )


def _obstacle(name: ComparisonName, tested: Mapping[str, ComparedImages]) -> str:
    """Returns why a comparison cannot be computed; empty where it can."""
    if (images := tested.get(name.test_set)) is None:
        return f"The test set {name.test_set} was not given."
    absent = [condition for condition in (name.first, name.second) if condition not in images.predictions]
    if absent:
        return f"The condition {' and '.join(absent)} was not evaluated."
    return images.why_no_worst_group if name.worst_group and images.worst is None else ""


def _not_computed(name: ComparisonName, obstacle: str, family: int) -> Comparison:
    return Comparison(
        name=str(name),
        metric=name.metric,
        difference=None,
        low=None,
        high=None,
        p_value=None,
        per_seed=(),
        spread=None,
        p_holm=None,
        significant=False,
        family=family,
        n=None,
        lesions=None,
        not_computed=obstacle,
    )


def permutation_p_value(terms: NDArray[np.float64], permutations: int, seed: int) -> float:
    """Two-sided p-value of a paired permutation test.

    Under the null hypothesis the two conditions are exchangeable on each lesion, so the sign of its term is random.
    The observed arrangement counts as one of the permutations (Phipson and Smyth 2010), so p is never 0.

    Args:
        terms: [lesions] contribution of each lesion to the difference.
        permutations: Number of random sign assignments.
        seed: Seed of the signs.

    >>> permutation_p_value(np.zeros(5), permutations=99, seed=0)
    1.0
    """
    moving = terms[terms != 0]
    observed = abs(terms.sum()) - 1e-12
    rng = np.random.default_rng(seed)
    extreme = 0
    for start in range(0, permutations, BLOCK):
        signs = rng.choice(np.array([-1.0, 1.0]), (min(BLOCK, permutations - start), len(moving)))
        extreme += int((np.abs(signs @ moving) >= observed).sum())
    return (extreme + 1) / (permutations + 1)


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down correction (Holm 1979): p-values that can be read against the level as they are.

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    order = np.argsort(p_values)
    corrected = [0.0] * len(p_values)
    largest = 0.0
    for rank, index in enumerate(order):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[index]))
        corrected[index] = largest
    return corrected
