"""Statistics of concept fidelity, against scipy and worked-out values."""

import numpy as np
import pytest
from scipy import stats

from lesiongen.evaluation.concepts.statistics import difference, difference_within, spearman, spearman_within
from lesiongen.evaluation.measures.metrics import Resamples


def test_the_correlation_is_scipys_on_every_resample():
    rng = np.random.default_rng(0)
    asked = rng.integers(0, 3, 60).astype(float)
    values = np.round(asked + rng.normal(0, 1, 60), 1)  # with ties
    weights = rng.multinomial(60, np.full(60, 1 / 60), 20)
    expected = [
        stats.spearmanr(np.repeat(asked, drawn), np.repeat(values, drawn)).statistic for drawn in (*weights,)
    ]  # fmt: skip
    np.testing.assert_allclose(spearman(asked, values, weights), expected, rtol=1e-12)
    assert np.isnan(spearman(np.zeros(60), values, weights)).all()
    assert (spearman(asked, np.ones(60), weights) == 0).all(), "images that are all alike follow nothing"


def test_the_interval_is_that_of_scipys_percentile_bootstrap():
    rng = np.random.default_rng(1)
    asked = rng.integers(0, 3, 80).astype(float)
    values = asked + rng.normal(0, 1.5, 80)
    resamples = Resamples(np.arange(80), 4000, 0.95, seed=0)
    ours = resamples.interval(spearman(asked, values, resamples.weights))
    theirs = stats.bootstrap(
        (asked, values),
        lambda one, other: stats.spearmanr(one, other).statistic,
        paired=True,
        vectorized=False,
        method="percentile",
        n_resamples=1000,
        rng=np.random.default_rng(2),
    ).confidence_interval
    np.testing.assert_allclose(ours, (theirs.low, theirs.high), atol=0.02)


def test_within_diagnoses_is_the_mean_of_their_own_correlations():
    rng = np.random.default_rng(2)
    diagnoses = np.repeat([0, 1, 2, 3], [20, 30, 10, 4])  # the last has too few images of its own
    asked, values = rng.integers(0, 3, 64).astype(float), rng.normal(0, 1, 64)
    asked[diagnoses == 2] = 1  # all alike: no correlation
    own = [stats.spearmanr(asked[diagnoses == k], values[diagnoses == k]).statistic for k in (0, 1)]
    expected = (20 * own[0] + 30 * own[1]) / 50
    assert spearman_within(asked, values, diagnoses, np.ones((1, 64))).item() == pytest.approx(expected)
    assert np.isnan(spearman_within(np.zeros(64), values, diagnoses, np.ones((1, 64)))).all()
    assert np.isnan(spearman_within(asked, values, np.arange(64), np.ones((2, 64)))).tolist() == [True, True]


def test_images_of_the_right_diagnosis_alone_follow_no_caption_within_diagnoses():
    rng = np.random.default_rng(3)
    diagnoses = np.repeat([0, 1], 500)
    asked = diagnoses + rng.integers(0, 2, 1000).astype(float)
    values = diagnoses + rng.normal(0, 0.3, 1000)  # what the diagnosis looks like, whatever was asked
    one = np.ones((1, 1000))
    assert spearman(asked, values, one).item() > 0.5
    assert abs(spearman_within(asked, values, diagnoses, one).item()) < 0.07


def test_differences_of_shares_are_those_that_were_worked_out():
    # Diagnosis 0: 3 of 4 against 1 of 2. Diagnosis 1: 1 of 2 against 0 of 6. Diagnosis 2 is asked for nothing else.
    asked = np.array([1] * 4 + [0] * 2 + [1] * 2 + [0] * 6 + [1] * 3, dtype=bool)
    shown = np.array([1, 1, 1, 0] + [1, 0] + [1, 0] + [0] * 6 + [1] * 3, dtype=bool)
    diagnoses = np.repeat([0, 1, 2], [6, 8, 3])
    one = np.ones((1, 17))
    assert difference(asked, shown, one).item() == pytest.approx(7 / 9 - 1 / 8)
    weights = 4 * 2 / 6, 2 * 6 / 8
    expected = (weights[0] * (3 / 4 - 1 / 2) + weights[1] * (1 / 2)) / sum(weights)
    assert difference_within(asked, shown, diagnoses, one).item() == pytest.approx(expected)
    assert np.isnan(difference(np.ones(17, dtype=bool), shown, one)).all()


def test_a_resample_weighs_images_as_often_as_they_are_drawn():
    rng = np.random.default_rng(4)
    asked, shown, diagnoses = rng.random(40) < 0.5, rng.random(40) < 0.5, rng.integers(0, 2, 40)
    drawn = rng.multinomial(40, np.full(40, 1 / 40), 1)
    copies = [np.repeat(each, drawn[0]) for each in (asked, shown, diagnoses)]
    one = np.ones((1, 40))
    assert difference(asked, shown, drawn) == pytest.approx(difference(copies[0], copies[1], one))
    assert difference_within(asked, shown, diagnoses, drawn) == pytest.approx(difference_within(*copies, one))
