from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from lesiongen.errors import DataError
from lesiongen.evaluation import LesionClassifier, load_classifier
from lesiongen.evaluation.classifier import mixtures
from lesiongen.evaluation.classifier.mixtures import Mixture, balanced_draw
from lesiongen.evaluation.classifier.small import save_classifier
from lesiongen.evaluation.classifier.training import Budget, TrainedClassifier, train_classifier
from lesiongen.evaluation.images import LabelledImages

BUDGET = Budget(steps=48, batch_size=16, learning_rate=3e-3, weight_decay=0.05, checks=3)
SIZE = 32


def coloured(counts: tuple[int, ...], level: int, seed: int = 0) -> LabelledImages:
    """Noise whose class is the channel that stands out."""
    labels = np.repeat(np.arange(len(counts)), counts)
    images = np.random.default_rng(seed).integers(0, 40, (len(labels), SIZE, SIZE, 3), dtype=np.uint8)
    images[np.arange(len(labels)), :, :, labels] += np.uint8(level)
    return LabelledImages(images, labels, pd.DataFrame({"lesion_id": [None] * len(labels)}))


@pytest.fixture(scope="module")
def trained() -> Callable[[int], TrainedClassifier]:
    real, validation = coloured((60, 20, 8), 60), coloured((5, 5, 5), 60, seed=1)
    return lambda seed: train_classifier(Mixture(real), validation, ("bcc", "mel", "nv"), BUDGET, seed)


def test_the_same_seed_gives_the_same_weights_and_another_seed_does_not(
    trained: Callable[[int], TrainedClassifier],
) -> None:
    torch.manual_seed(1)
    first = trained(0).model.state_dict()
    torch.manual_seed(2)
    again, other = trained(0).model.state_dict(), trained(1).model.state_dict()
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["head.weight"], other["head.weight"])


@pytest.mark.parametrize("steps", [1, 2, 9, 10, 11])
def test_few_steps_train_too(steps: int) -> None:
    """The learning rate rises in a tenth of the steps: of ten that is the first step alone."""
    images = coloured((6, 6, 6), 60)
    budget = Budget(steps=steps, batch_size=6, learning_rate=3e-3, weight_decay=0.05, checks=1)
    assert train_classifier(Mixture(images), images, ("bcc", "mel", "nv"), budget, seed=0).step == steps


def test_it_learns_unbalanced_classes_and_keeps_the_best_checked_step(
    trained: Callable[[int], TrainedClassifier],
) -> None:
    result = trained(0)
    unseen = coloured((20, 20, 20), 60, seed=2)
    assert result.validation_balanced_accuracy > 0.9
    assert result.step in (16, 32, 48)
    assert (result.model.probabilities(unseen.images).argmax(axis=1) == unseen.labels).mean() > 0.9


def test_synthetic_images_fill_their_share_until_they_end(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[tuple[int, int]] = []

    def spy(pool: LabelledImages, count: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        drawn.append((len(pool), count))
        return balanced_draw(pool, count, rng)

    monkeypatch.setattr(mixtures, "balanced_draw", spy)
    mixture = Mixture(coloured((10, 10), 60), coloured((3, 4), 90), share=0.25, until=0.5)
    train_classifier(mixture, coloured((3, 3), 60, 1), ("bcc", "mel"), BUDGET, 0)
    assert drawn[:48] == [(20, 12), (7, 4)] * 24
    assert drawn[48:] == [(20, 16)] * 24


def test_draws_are_even_over_the_classes_that_are_there() -> None:
    pool = coloured((90, 0, 10), 60)
    _, labels = balanced_draw(pool, 4000, np.random.default_rng(0))
    assert np.bincount(labels, minlength=3) / 4000 == pytest.approx([0.5, 0, 0.5], abs=0.03)


def test_a_saved_classifier_predicts_as_before(tmp_path: Path) -> None:
    model = LesionClassifier(("bcc", "mel"), SIZE).eval()
    save_classifier(model, tmp_path, {"trained_on": "real"})
    images = coloured((2, 2), 60).images
    assert np.array_equal(load_classifier(tmp_path).probabilities(images), model.probabilities(images))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config.json", "model.safetensors"]
    assert sum(weight.numel() for weight in model.parameters()) < 300_000


def test_what_is_no_classifier_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="contains no lesion classifier"):
        load_classifier(tmp_path)
    model = LesionClassifier(("bcc", "mel"), SIZE)
    save_classifier(model, tmp_path, {})
    (tmp_path / "model.safetensors").write_bytes(b"\x80\x04pickle")
    with pytest.raises(DataError, match="contains no lesion classifier"):
        load_classifier(tmp_path)
