"""The worst group is named on other images than those on which the conditions are compared."""

import numpy as np
import pandas as pd
import pytest

from lesiongen.evaluation.measures.comparisons import compare_conditions, holm
from lesiongen.evaluation.measures.metrics import Resamples
from lesiongen.evaluation.measures.subgroups import mean_recall
from lesiongen.evaluation.measures.worst_group import Ranking, group_rows, named_worst_group, ranked_worst_group

SITES = [f"site{k}" for k in range(8)]


def right_with(rate: float, labels: np.ndarray, seeds: int, rng: np.random.Generator) -> np.ndarray:
    return np.where(rng.random((seeds, len(labels))) < rate, labels, 1 - labels)


def test_naming_it_on_the_test_images_flatters_both_where_nothing_differs_and_naming_it_beforehand_does_not() -> None:
    """In truth no group is served worse, and both serves all as real does: any mean gain is the naming's."""
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"site": np.repeat(SITES, 100)})
    labels = np.arange(800) % 2
    gains: dict[str, list[float]] = {"test": [], "validation": []}
    for _ in range(150):
        validation, real, both = (right_with(0.6, labels, 1, rng) for _ in range(3))
        for where, predictions in (("test", real), ("validation", validation)):
            named = ranked_worst_group(Ranking(labels, predictions, table), table, ["site"], 100, 20)
            rows = group_rows(table, named)
            assert rows is not None
            gains[where].append(float((mean_recall(labels, both, rows) - mean_recall(labels, real, rows)).mean()))
    means = {where: np.mean(values) for where, values in gains.items()}
    errors = {where: np.std(values) / np.sqrt(150) for where, values in gains.items()}
    assert means["test"] > 10 * errors["test"], "regression to the mean looks like a gain"
    assert means["test"] == pytest.approx(1.42 * np.sqrt(0.24 / 100), rel=0.15), "the expected minimum of 8 normals"
    assert abs(means["validation"]) < 2 * errors["validation"]


def test_the_lowest_recall_among_the_groups_that_are_large_enough_is_named() -> None:
    groups = np.repeat(["bad", "good", "few test", "few seen", "unknown"], [40, 40, 40, 5, 40])
    table = pd.DataFrame({"site": groups, "sex": None})
    labels = np.arange(165) % 2
    predictions = np.tile(labels, (2, 1))
    predictions[0, :20] = 1 - predictions[0, :20]  # bad: one of two seeds errs in half of the images
    predictions[:, 80:] = 1 - predictions[:, 80:]  # all others are worse, and too small or nobody
    test = pd.DataFrame(
        {"site": np.repeat(["bad", "good", "few test", "few seen", "unknown"], [100, 120, 99, 100, 300])}
    )
    found = ranked_worst_group(Ranking(labels, predictions, table), test, ["sex", "site", "device"], 100, 20)
    assert (found.column, found.group, found.named_by) == ("site", "bad", "validation")
    assert (found.n_test, found.n_validation, found.ranked) == (100, 40, 2)
    assert found.validation_recall == pytest.approx(0.75)
    assert "among 2 groups with at least 100 test and 20 validation images" in found.explanation


def test_without_a_group_that_is_large_enough_none_is_claimed() -> None:
    table = pd.DataFrame({"sex": ["female", "male"] * 50})
    ranking = Ranking(np.arange(100) % 2, np.zeros((1, 100), np.int64), table)
    none = ranked_worst_group(ranking, table, ["sex"], 51, 20)
    assert none.explanation == "No worst group is claimed: no group of patients has 51 test images (min_worst_group)."
    unseen = ranked_worst_group(ranking, table, ["sex"], 50, 51)
    assert "no group of patients with 50 test images has 51 validation images (min_group)" in unseen.explanation
    small = named_worst_group("sex=female", table, 51)
    assert small.explanation == (
        "No worst group is claimed: sex = female, which the configuration names, has 50 test images; 51 are needed "
        "(min_worst_group)."
    )
    assert [group_rows(table, each) for each in (none, unseen, small)] == [None] * 3


def test_the_configuration_names_a_group_as_a_user_calls_it() -> None:
    tones = ["fitzpatrick 3", "fitzpatrick 5", None] * 30
    table = pd.DataFrame({"skin_tone": tones})
    found = named_worst_group("skin_tone=V", table, 30)
    assert (found.column, found.group, found.named_by, found.n_test) == (
        "skin_tone",
        "fitzpatrick 5",
        "configuration",
        30,
    )
    rows = group_rows(table, found)
    assert rows is not None
    assert rows.sum() == 30


def test_types_of_two_scales_are_two_groups() -> None:
    """A 3 on Monk's scale is another skin than Fitzpatrick's III."""
    table = pd.DataFrame({"skin_tone": ["fitzpatrick 3"] * 60 + ["monk 3"] * 60})
    labels = np.arange(120) % 2
    predictions = np.where(np.arange(120) < 60, labels, 1 - labels)[None]
    found = ranked_worst_group(Ranking(labels, predictions, table), table, ["skin_tone"], 60, 20)
    assert (found.group, found.n_test, found.validation_recall) == ("monk 3", 60, 0.0)


def test_the_worst_group_is_compared_on_its_own_lesions_and_enters_the_family() -> None:
    rng = np.random.default_rng(1)
    labels = np.arange(400) % 2
    labels[0] = 2  # a diagnosis with one image enters no recall of a group
    rows = np.arange(400) < 150
    real = right_with(0.5, labels % 2, 3, rng)
    predictions = {"real": real, "both": np.where(rows & (rng.random((3, 400)) < 0.6), labels, real)}
    resamples = Resamples(np.arange(400) // 2, 300, 0.95, 0)
    options = {"permutations": 2000, "significance_level": 0.05, "seed": 0}
    family = ("both vs real", "both vs real, worst group", "synthetic vs real")
    whole, group, missing = compare_conditions(labels, predictions, 3, resamples, family=family, worst=rows, **options)
    expected = mean_recall(labels, predictions["both"], rows) - mean_recall(labels, real, rows)
    assert group.per_seed == pytest.approx(expected)
    assert group.difference == pytest.approx(expected.mean())
    assert group.low < group.difference < group.high
    assert (group.metric, group.n, group.lesions, group.family) == ("recall", 150, 75, 2)
    assert group.significant
    assert (whole.p_holm, group.p_holm) == pytest.approx(tuple(holm([whole.p_value, group.p_value])))
    assert (missing.difference, missing.not_computed) == (None, "The condition synthetic was not evaluated.")
    unclaimed = compare_conditions(labels, predictions, 3, resamples, family=family[1:2], worst=None, **options)[0]
    assert (unclaimed.p_value, unclaimed.family, unclaimed.not_computed) == (None, 0, "No worst group is claimed.")


def test_the_paired_test_of_a_group_is_scipys() -> None:
    from scipy.stats import permutation_test

    rng = np.random.default_rng(2)
    labels = np.arange(240) % 2
    rows = np.arange(240) < 120
    predictions = {"real": right_with(0.5, labels, 2, rng), "both": right_with(0.62, labels, 2, rng)}
    found = compare_conditions(
        labels, predictions, 2, Resamples(np.arange(240) // 2, 100, 0.95, 0),
        family=("both vs real, worst group",), worst=rows, permutations=20_000, significance_level=0.05, seed=0,
    )[0]  # fmt: skip
    right = {
        name: (each == labels).mean(axis=0)[rows].reshape(60, 2).mean(axis=1) for name, each in predictions.items()
    }
    expected = permutation_test(
        (right["both"], right["real"]), lambda one, other, axis: np.mean(one - other, axis=axis),
        permutation_type="samples", n_resamples=20_000, vectorized=True, rng=np.random.default_rng(0),
    )  # fmt: skip
    assert found.difference == pytest.approx(expected.statistic)
    assert found.p_value == pytest.approx(expected.pvalue, abs=0.012)
