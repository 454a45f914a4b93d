"""What each protocol draws, exactly; the expected numbers are worked out by hand."""

from collections import Counter

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from lesiongen.errors import DataError, UsageError
from lesiongen.evaluation import EvaluateConfig, LesionClassifier
from lesiongen.evaluation.classifier.kinds.small import SmallKind
from lesiongen.evaluation.classifier.mixtures import TrainingImages, mixture_at, protocol_mixture
from lesiongen.evaluation.classifier.separate_norms import SeparateNorms, has_batch_norms
from lesiongen.evaluation.classifier.training import Budget, train_classifier
from lesiongen.evaluation.images import LabelledImages
from lesiongen.evaluation.report.mixing import describe_mixing

STEPS, BATCH = 8, 16
REAL, ADDED = 0, 200
"""Pixels by which an image is recognised as real or as added."""


def plain(counts: tuple[int, ...], value: int) -> LabelledImages:
    labels = np.repeat(np.arange(len(counts)), counts)
    images = np.full((len(labels), 4, 4, 3), value, dtype=np.uint8)
    return LabelledImages(images, labels, pd.DataFrame({"lesion_id": [None] * len(labels)}))


def protocol(name: str, real: tuple[int, ...], added: tuple[int, ...], **settings: float) -> TrainingImages:
    config = EvaluateConfig(protocol=name, **settings)
    return protocol_mixture(config, plain(real, REAL), plain(added, ADDED), len(real))


def drawn_at(mixture: TrainingImages, step: int, count: int = BATCH) -> tuple[Counter[int], Counter[int]]:
    """Labels of the real and of the added images of a step; the added ones have to come last."""
    drawn = mixture.draw(step, STEPS, count, np.random.default_rng(step))
    is_added = drawn.images[:, 0, 0, 0] == ADDED
    assert is_added.tolist() == [False] * (count - drawn.n_added) + [True] * drawn.n_added
    return Counter(drawn.labels[~is_added].tolist()), Counter(drawn.labels[is_added].tolist())


def added_per_step(mixture: TrainingImages) -> list[int]:
    return [drawn_at(mixture, step)[1].total() for step in range(1, STEPS + 1)]


@pytest.mark.parametrize(
    ("name", "settings", "expected"),
    [
        ("curriculum", {}, [8, 8, 8, 8, 0, 0, 0, 0]),
        ("curriculum", {"synthetic_fraction": 0.25, "synthetic_until": 0.75}, [4, 4, 4, 4, 4, 4, 0, 0]),
        ("separate-norm", {}, [8, 8, 8, 8, 0, 0, 0, 0]),
        ("pretrain", {}, [16, 16, 16, 16, 0, 0, 0, 0]),
        ("pretrain", {"synthetic_until": 0.25}, [16, 16, 0, 0, 0, 0, 0, 0]),
    ],
)
def test_the_added_images_of_each_step(name: str, settings: dict[str, float], expected: list[int]) -> None:
    mixture = protocol(name, (10, 30), (4, 5), **settings)
    assert added_per_step(mixture) == expected
    assert mixture.separate_norm == (name == "separate-norm")


def test_in_a_pool_diagnoses_are_even_and_an_added_image_counts_so_many_times_a_real_one() -> None:
    """Of the first diagnosis 10 real and 5 added, weight 2: half; second 30 and 0: none; third 0 and 4: all."""
    mixture = protocol("concat", (10, 30, 0), (5, 0, 4), synthetic_weight=2.0)
    assert mixture.class_totals(60.0, 3)[0].tolist() == [10.0, 20.0, 0.0]
    assert mixture.class_totals(60.0, 3)[1].tolist() == [10.0, 0.0, 20.0]
    for step in (1, STEPS):
        real, added = drawn_at(mixture, step, 12_000)
        assert real[0] == pytest.approx(2000, abs=150)
        assert added[0] == pytest.approx(2000, abs=150)
        assert (real[1], added[2]) == (pytest.approx(4000, abs=200), pytest.approx(4000, abs=200))
        assert (added[1], real[2]) == (0, 0)


def test_only_diagnoses_below_the_median_of_real_images_get_added_ones() -> None:
    """The median of 5, 10, 30 and 40 is 20; the fifth diagnosis has no real image, and the second no added one."""
    mixture = protocol("minority", (5, 10, 30, 40, 0), (9, 0, 9, 9, 9), synthetic_fraction=0.25, synthetic_until=0.5)
    real, added = mixture.class_totals(100.0, 5)
    assert real.tolist() == [15.0, 20.0, 20.0, 20.0, 0.0]
    assert added.tolist() == [5.0, 0.0, 0.0, 0.0, 20.0]
    of_real, of_added = drawn_at(mixture, 4, 10_000)
    assert set(of_added) == {0, 4}
    assert of_added[0] == pytest.approx(500, abs=80)
    assert of_added[0] + of_real[0] == pytest.approx(2000, abs=150)
    assert added_per_step(mixture)[4:] == [0, 0, 0, 0]
    assert drawn_at(mixture, 5, 1000)[0][4] == 0


@pytest.mark.parametrize(("real", "added"), [((10, 10), (5, 5)), ((5, 20), (0, 5))])
def test_no_minority_is_refused(real: tuple[int, ...], added: tuple[int, ...]) -> None:
    with pytest.raises(DataError, match="minority: no image can be mixed in"):
        protocol("minority", real, added)


@pytest.mark.parametrize("name", ["curriculum", "concat", "separate-norm", "minority"])
def test_a_share_of_the_mixing_curve_is_that_of_the_weight(name: str) -> None:
    """The diagnoses have different counts; of the minority alone the first is one."""
    config, real, added = EvaluateConfig(protocol=name), plain((3, 60, 7), REAL), plain((40, 5, 0), ADDED)
    totals = mixture_at(config, real, added, 3, 0.3).class_totals(3.0, 3)[1]
    assert totals.sum() / {"concat": 2.0, "minority": 1.0}.get(name, 3.0) == pytest.approx(0.3)


def test_a_share_of_pretraining_is_of_the_steps() -> None:
    mixture = mixture_at(EvaluateConfig(protocol="pretrain"), plain((9, 9), REAL), plain((9, 9), ADDED), 2, 0.75)
    assert added_per_step(mixture) == [16] * 6 + [0] * 2


def test_a_pool_of_different_diagnoses_has_no_share() -> None:
    with pytest.raises(DataError, match="no diagnosis is among the real training images and among"):
        mixture_at(EvaluateConfig(protocol="concat"), plain((9, 0), REAL), plain((0, 9), ADDED), 2, 0.5)


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"synthetic_weight": 0.5}, "synthetic_weight has no effect with the protocol curriculum"),
        (
            {"protocol": "concat", "synthetic_fraction": 0.25},
            "synthetic_fraction has no effect with the protocol concat",
        ),
        ({"protocol": "concat", "synthetic_until": 1}, "synthetic_until has no effect with the protocol concat"),
        ({"protocol": "pretrain", "synthetic_until": 1}, "synthetic_until must be less than 1"),
        ({"longer_factor": 3}, "longer_factor has no effect without the control longer; leave it at its default"),
        ({"protocol": "mixup"}, "protocol"),
    ],
)
def test_a_number_that_the_protocol_does_not_read_is_refused(settings: dict[str, object], problem: str) -> None:
    with pytest.raises(UsageError, match=problem):
        EvaluateConfig().changed(**settings)


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"synthetic_fraction": 0.007}, "synthetic_fraction = 0.007 of a batch of 64 images rounds to no image"),
        ({"synthetic_fraction": 0.008}, ""),  # 0.512 of an image
        ({"protocol": "separate-norm", "synthetic_fraction": 0.1, "batch_size": 4}, "synthetic_fraction = 0.1 of a"),
        ({"mixing_curve": (0, 0.001, 1)}, "mixing_curve = 0.001 of a batch of 64 images rounds to no image"),
        ({"protocol": "minority", "synthetic_fraction": 0.001}, ""),  # each image is drawn by chance
        ({"protocol": "pretrain", "mixing_curve": (0.001,)}, ""),  # a share of the steps
    ],
)
def test_a_share_that_rounds_to_no_image_of_a_batch_is_refused(settings: dict[str, object], problem: str) -> None:
    config = EvaluateConfig().changed(**settings)
    assert SmallKind(config).obstacle(config).startswith(problem)
    assert bool(SmallKind(config).obstacle(config)) == bool(problem)


class _OneNorm(nn.Module):
    """Batch normalisation alone."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(1)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.norm(images).mean(dim=(2, 3))


def test_each_domain_is_normalised_by_its_own_statistics_and_predictions_by_the_real_ones() -> None:
    """Real pixels 1 and 3 have mean 2, variance 1; added ones 10 and 20 have mean 15 and deviation 5."""
    model = _OneNorm().train()
    images = torch.tensor([1.0, 3.0, 10.0, 20.0]).reshape(4, 1, 1, 1)
    separate = SeparateNorms(model)
    assert separate.logits(images, 2).flatten().tolist() == pytest.approx([-1, 1, -1, 1], abs=1e-4)
    # By torch's momentum of 0.1, with the unbiased variance: 2 of the real, 50 of the added images.
    assert model.norm.running_mean.item() == pytest.approx(0.1 * 2)
    assert model.norm.running_var.item() == pytest.approx(0.9 + 0.1 * 2)
    assert separate.statistics["norm.running_mean"].item() == pytest.approx(0.1 * 15)
    assert separate.statistics["norm.running_var"].item() == pytest.approx(0.9 + 0.1 * 50)
    assert model.eval()(images[:1]).item() == pytest.approx((1 - 0.2) / np.sqrt(1.1 + 1e-5), abs=1e-5)
    assert model(images).flatten().tolist() != pytest.approx([-1, 1, -1, 1], abs=0.1), "together they differ"


def test_a_training_with_separate_statistics_keeps_those_of_real_images() -> None:
    """Added images are far brighter: their statistics would move the first layer's."""

    def first_mean(name: str, added: LabelledImages | None) -> torch.Tensor:
        real = LabelledImages(noise.copy(), labels, table)
        budget = Budget(steps=3, batch_size=8, learning_rate=1e-9, weight_decay=0.0, checks=1)
        config = EvaluateConfig(protocol=name, synthetic_until=0.99)
        mixture = protocol_mixture(config, real, real if added is None else added, 2)
        return train_classifier(mixture, real, ("mel", "nv"), budget, 0).model.features[0][1].running_mean

    noise = np.random.default_rng(0).integers(0, 40, (8, 32, 32, 3), dtype=np.uint8)
    labels, table = np.repeat([0, 1], 4), pd.DataFrame({"lesion_id": [None] * 8})
    bright = LabelledImages(noise + np.uint8(200), labels, table)
    apart = [first_mean("separate-norm", added) for added in (None, bright)]
    assert apart[0] == pytest.approx(apart[1], abs=1e-5)
    assert first_mean("curriculum", bright) != pytest.approx(apart[0], abs=1e-2)


def test_what_has_no_batch_normalisation_is_told() -> None:
    assert has_batch_norms(LesionClassifier(("mel", "nv"), 32))
    assert not has_batch_norms(nn.Sequential(nn.Linear(2, 2), nn.LayerNorm(2)))


def test_the_protocol_is_told_with_its_numbers() -> None:
    config = EvaluateConfig(protocol="concat", synthetic_weight=0.25)
    told = describe_mixing(config)
    assert (told.name, told.synthetic_share, told.until, told.synthetic_weight) == ("concat", None, None, 0.25)
    assert "0.25 times as often" in told.meaning
    assert "0.25 times the weight" in describe_mixing(config, "lite0").meaning
