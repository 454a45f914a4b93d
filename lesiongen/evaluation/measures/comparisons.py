"""Paired comparisons of the conditions on the same test lesions."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from lesiongen.evaluation.measures.metrics import Resamples, balanced_accuracy, lesion_confusions, resampled_scores
from lesiongen.records.evaluation import Comparison, Condition
from lesiongen.seeds import derive_seed

__all__ = ["FAMILY", "compare_conditions", "holm", "permutation_p_value"]

FAMILY: tuple[tuple[Condition, Condition], ...] = (("both", "real"), ("synthetic", "real"))
"""The comparisons, declared before any result is seen: Holm's correction is over exactly these."""

BLOCK = 1000


def compare_conditions(
    labels: NDArray[np.int64],
    predictions: Mapping[Condition, NDArray[np.int64]],
    classes: int,
    resamples: Resamples,
    *,
    permutations: int,
    significance_level: float,
    seed: int,
) -> tuple[Comparison, ...]:
    """Compares balanced accuracies over `FAMILY`: paired permutation tests with Holm's correction.

    Args:
        labels: [n].
        predictions: For each condition [seeds, n].
        classes: Number of classes.
        resamples: Resamples of the test lesions, for the interval of the difference.
        permutations: Permutations of each test.
        significance_level: Of the corrected p-value.
        seed: Seed of the permutations.
    """
    results = []
    for first, second in FAMILY:
        terms = _lesion_terms(labels, predictions[first], predictions[second], resamples.lesions)
        per_seed = [
            balanced_accuracy(labels, one, classes) - balanced_accuracy(labels, other, classes)
            for one, other in zip(predictions[first], predictions[second], strict=True)
        ]
        low, high = resamples.interval(_resampled_difference(labels, predictions, (first, second), classes, resamples))
        results.append(
            Comparison(
                name=f"{first} vs {second}",
                metric="balanced_accuracy",
                difference=float(terms.sum()),
                low=low,
                high=high,
                p_value=permutation_p_value(terms, permutations, derive_seed(seed, first, second)),
                per_seed=tuple(per_seed),
                spread=float(np.std(per_seed, ddof=1)) if len(per_seed) > 1 else None,
            )
        )
    corrected = holm([1.0 if result.p_value is None else result.p_value for result in results])
    return tuple(
        result.changed(p_holm=p, significant=p < significance_level, family=len(FAMILY))
        for result, p in zip(results, corrected, strict=True)
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


def _lesion_terms(
    labels: NDArray[np.int64],
    first: NDArray[np.int64],
    second: NDArray[np.int64],
    lesions: NDArray[np.int64],
) -> NDArray[np.float64]:
    """Splits the difference in seed-averaged balanced accuracy into one term for each lesion."""
    gain = (first == labels).mean(axis=0) - (second == labels).mean(axis=0)
    counts = np.bincount(labels)
    weights = 1.0 / (np.count_nonzero(counts) * counts[labels])
    return np.bincount(lesions, weights * gain).astype(np.float64)


def _resampled_difference(
    labels: NDArray[np.int64],
    predictions: Mapping[Condition, NDArray[np.int64]],
    pair: tuple[Condition, Condition],
    classes: int,
    resamples: Resamples,
) -> NDArray[np.float64]:
    means = []
    for name in pair:
        parts = [
            resampled_scores(lesion_confusions(labels, row, resamples.lesions, classes), resamples)
            for row in predictions[name]
        ]
        means.append(np.mean([part["balanced_accuracy"] for part in parts], axis=0))
    return np.asarray(means[0] - means[1])
