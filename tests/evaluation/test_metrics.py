import numpy as np
import pytest
from sklearn.metrics import accuracy_score, balanced_accuracy_score, f1_score, recall_score

from lesiongen.evaluation.measures.metrics import Resamples, balanced_accuracy, calibration, condition_scores
from lesiongen.records.scores import ClassRecall

CLASSES = ("bcc", "mel", "nv")


@pytest.fixture
def predictions() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 200)
    noisy = np.where(rng.random((4, 200)) < 0.6, labels, rng.integers(0, 3, (4, 200)))
    return labels, noisy


def test_scores_are_scikit_learns_averaged_over_the_seeds(predictions: tuple[np.ndarray, np.ndarray]) -> None:
    labels, seeds = predictions
    scores = condition_scores(labels, seeds, CLASSES, Resamples(np.arange(200), 100, 0.95, 0))
    assert scores.accuracy.per_seed == pytest.approx([accuracy_score(labels, row) for row in seeds])
    expected = [balanced_accuracy_score(labels, row) for row in seeds]
    assert scores.balanced_accuracy.per_seed == pytest.approx(expected)
    assert scores.balanced_accuracy.spread == pytest.approx(np.std(expected, ddof=1))
    assert scores.macro_f1.mean == pytest.approx(np.mean([f1_score(labels, s, average="macro") for s in seeds]))
    melanoma = np.mean([recall_score(labels, s, labels=[1], average="macro") for s in seeds])
    assert scores.per_class["mel"].recall == pytest.approx(melanoma)
    assert np.sum(scores.confusion) == pytest.approx(200)
    assert balanced_accuracy(labels, seeds[0], 3) == pytest.approx(expected[0])


def test_a_class_without_test_images_has_no_recall_and_leaves_the_mean_alone() -> None:
    labels, row = np.array([0, 0, 2, 2]), np.array([0, 2, 2, 2])
    scores = condition_scores(labels, row[None], CLASSES, Resamples(np.arange(4), 100, 0.95, 0))
    assert scores.per_class["mel"] == ClassRecall(n=0)
    assert scores.balanced_accuracy.mean == pytest.approx(0.75)


def test_intervals_cover_the_truth_about_as_often_as_they_say() -> None:
    covered = 0
    for seed in range(60):
        right = np.random.default_rng(seed).random(150) < 0.7
        labels = np.zeros(150, dtype=np.int64)
        scores = condition_scores(
            labels, np.where(right, 0, 1)[None], CLASSES, Resamples(np.arange(150), 300, 0.9, seed)
        )
        covered += scores.accuracy.low <= 0.7 <= scores.accuracy.high
    assert 46 <= covered <= 60


def test_photographs_of_one_lesion_count_as_one_draw() -> None:
    right = np.random.default_rng(1).random(50) < 0.6
    labels, row = np.zeros(200, dtype=np.int64), np.where(np.repeat(right, 4), 0, 1)[None]
    widths = {}
    for name, lesions in (("images", np.arange(200)), ("lesions", np.repeat(np.arange(50), 4))):
        scores = condition_scores(labels, row, CLASSES, Resamples(lesions, 1000, 0.95, 0)).accuracy
        widths[name] = scores.high - scores.low
    assert widths["lesions"] == pytest.approx(2 * widths["images"], rel=0.2)


def test_calibration_of_a_sure_and_right_and_of_a_sure_and_wrong_classifier() -> None:
    labels = np.array([0, 1, 2, 0])
    right = np.eye(3, dtype=np.float32)[labels]
    assert calibration(labels, right[None]).model_dump() == pytest.approx({"brier": 0, "ece": 0}, abs=1e-6)
    assert calibration(labels, np.roll(right, 1, axis=1)[None]).model_dump() == pytest.approx(
        {"brier": 2, "ece": 1}, abs=1e-6
    )
