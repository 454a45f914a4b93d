import numpy as np
import pytest

from lesiongen.evaluation.measures.comparisons import compare_conditions, holm, permutation_p_value
from lesiongen.evaluation.measures.metrics import Resamples


def test_holm_on_a_worked_example() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.9]) == pytest.approx([1.0, 1.0])


def test_p_value_is_the_share_of_sign_flips_at_least_as_extreme() -> None:
    # Of the 2^5 sign assignments only all plus and all minus reach the observed sum.
    assert permutation_p_value(np.ones(5), 40_000, 0) == pytest.approx(2 / 32, abs=0.005)
    assert permutation_p_value(np.zeros(9), 200, 0) == 1.0


def test_p_values_are_uniform_where_nothing_differs() -> None:
    rng = np.random.default_rng(0)
    values = [permutation_p_value(rng.normal(size=40), 200, seed) for seed in range(300)]
    assert 0.02 <= np.mean(np.array(values) < 0.05) <= 0.09


def test_a_real_gain_is_found_and_the_family_is_corrected() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 300)

    def predict(rate: float) -> np.ndarray:
        return np.where(rng.random((3, 300)) < rate, labels, (labels + 1) % 3)

    predictions = {"real": predict(0.5), "both": predict(0.7), "synthetic": predict(0.5)}
    resamples = Resamples(np.arange(300) // 2, 300, 0.95, 0)
    family = ("both vs real", "synthetic vs real")
    both, synthetic = compare_conditions(
        labels, predictions, 3, resamples, family=family, worst=None, permutations=2000, significance_level=0.05, seed=0
    )
    assert both.name == "both vs real"
    assert both.significant
    assert both.low < both.difference < both.high
    assert both.difference == pytest.approx(np.mean(both.per_seed))
    assert both.difference == pytest.approx(0.2, abs=0.06)
    assert both.p_holm == pytest.approx(2 * both.p_value)
    assert not synthetic.significant
