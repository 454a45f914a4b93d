"""Areas under the ROC curve are scikit-learn's, and their intervals treat a lesion as one draw."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import recall_score, roc_auc_score

from lesiongen.evaluation.measures.discrimination import binary_auroc, macro_auroc, weighted_auroc
from lesiongen.evaluation.measures.malignancy import JudgedImages, malignancy
from lesiongen.evaluation.measures.metrics import Resamples

CLASSES = ("bcc", "mel", "nv", "other")


@pytest.fixture
def tested() -> tuple[np.ndarray, np.ndarray]:
    """Labels [180] and probabilities [3, 180, 4], rounded so that many are tied."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 4, 180)
    logits = rng.normal(size=(3, 180, 4)) + 1.2 * np.eye(4)[labels]
    chances = np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)
    rounded = chances.round(1)
    return labels, rounded / rounded.sum(axis=-1, keepdims=True)


def test_the_areas_are_scikit_learns(tested: tuple[np.ndarray, np.ndarray]) -> None:
    labels, chances = tested
    resamples = Resamples(np.arange(180) // 2, 200, 0.95, 0)
    found = macro_auroc(labels, chances, resamples)
    expected = [roc_auc_score(labels, seed, multi_class="ovr", average="macro") for seed in chances]
    assert found.per_seed == pytest.approx(expected)
    assert found.mean == pytest.approx(np.mean(expected))
    assert found.spread == pytest.approx(np.std(expected, ddof=1))
    assert found.low < found.mean < found.high
    rows = labels != 3
    one = binary_auroc(labels == 1, chances[..., 1], rows, resamples)
    assert one.per_seed == pytest.approx([roc_auc_score(labels[rows] == 1, seed[rows, 1]) for seed in chances])


def test_a_resample_is_scikit_learns_area_with_weights(tested: tuple[np.ndarray, np.ndarray]) -> None:
    labels, chances = tested
    weights = Resamples(np.arange(180) // 2, 150, 0.95, 0).weights[:, np.arange(180) // 2]
    found = weighted_auroc(labels == 1, chances[0][:, 1], weights)
    expected = [roc_auc_score(labels == 1, chances[0][:, 1], sample_weight=each) for each in weights]
    assert found == pytest.approx(np.array(expected))
    assert np.isnan(weighted_auroc(np.ones(3, bool), np.arange(3.0), np.ones((1, 3)))).all()


def test_a_class_without_images_is_left_out_of_the_mean(tested: tuple[np.ndarray, np.ndarray]) -> None:
    labels, chances = tested
    kept = labels != 2
    found = macro_auroc(labels[kept], chances[:1, kept], Resamples(np.arange(kept.sum()), 100, 0.95, 0))
    areas = [roc_auc_score(labels[kept] == k, chances[0, kept, k]) for k in (0, 1, 3)]
    assert found.mean == pytest.approx(np.mean(areas))


def test_malignant_diagnoses_by_group_and_undecided_ones_are_left_out(tested: tuple[np.ndarray, np.ndarray]) -> None:
    labels, chances = tested
    sex = np.array(["female", "male", None], dtype=object)[np.arange(180) // 2 % 3]
    images = JudgedImages(
        labels, pd.DataFrame({"sex": sex, "site": None}), Resamples(np.arange(180) // 2, 200, 0.95, 0)
    )
    found = malignancy(images, {"real": chances}, CLASSES, ["sex", "site"], 30)
    assert (found.malignant, found.benign, found.undecided) == (("bcc", "mel"), ("nv",), ("other",))
    judged, truth = labels != 3, labels < 2
    assert found.n_left_out == (~judged).sum()
    scores = found.conditions["real"]
    area = [roc_auc_score(truth[judged], seed[judged][:, :2].sum(axis=1)) for seed in chances]
    assert scores.auroc.per_seed == pytest.approx(area)
    called = chances.argmax(axis=-1) < 2
    women = judged & (sex == "female")
    for rows, each in ((judged, scores), (women, scores.groups[0])):
        for malignant, share in ((True, each.sensitivity), (False, each.specificity)):
            recalls = [recall_score(truth[rows] == malignant, seed[rows] == malignant) for seed in called]
            assert share.share == pytest.approx(np.mean(recalls))
            assert share.n == (truth[rows] == malignant).sum()
            assert share.low < share.share < share.high
            assert share.too_small == (share.n < 30)
    assert [(each.column, each.group) for each in scores.groups] == [
        ("sex", "female"), ("sex", "male"), ("sex", "not stated"),
    ]  # fmt: skip


def test_photographs_of_one_lesion_count_as_one_draw() -> None:
    rng = np.random.default_rng(3)
    labels, scores = np.repeat(np.arange(60) % 2, 4), np.repeat(rng.random(60) + np.arange(60) % 2 * 0.4, 4)
    rows, widths = np.ones(240, bool), {}
    for name, lesions in (("images", np.arange(240)), ("lesions", np.repeat(np.arange(60), 4))):
        found = binary_auroc(labels == 1, scores[None], rows, Resamples(lesions, 1000, 0.95, 0))
        widths[name] = found.high - found.low
    assert widths["lesions"] == pytest.approx(2 * widths["images"], rel=0.2)


def test_without_a_benign_or_a_malignant_image_nothing_is_said() -> None:
    images = JudgedImages(np.zeros(10, np.int64), pd.DataFrame(index=range(10)), Resamples(np.arange(10), 100, 0.9, 0))
    assert malignancy(images, {"real": np.full((1, 10, 4), 0.25)}, CLASSES, [], 5).conditions == {}
