"""Several classifiers: the first is the one that the verdict rests on, the others are reported beside it."""

import json
import math
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import (
    AutoModelForImageClassification,
    ResNetConfig,
    ResNetForImageClassification,
    ViTConfig,
    ViTForImageClassification,
)

from lesiongen.dataset import Dataset
from lesiongen.errors import DataError, UsageError
from lesiongen.evaluation import EvaluateConfig, LesionClassifier, evaluate, stage
from lesiongen.evaluation.classifier.conditions import train_conditions
from lesiongen.evaluation.classifier.kinds import pretrained
from lesiongen.evaluation.classifier.kinds.kind import RealImages
from lesiongen.evaluation.classifier.kinds.registry import check_classifier, opened_kind
from lesiongen.evaluation.classifier.kinds.small import SmallKind
from lesiongen.evaluation.classifier.mixtures import Mixture, balanced_draw
from lesiongen.evaluation.classifier.training import augment
from lesiongen.evaluation.images import LabelledImages, load_images
from lesiongen.evaluation.material import at_size, load_material
from lesiongen.evaluation.measures.classifiers import FurtherClassifiers
from lesiongen.records.evaluation import EvaluationRecord
from lesiongen.records.scores import ClassifierScores, ClassifierSource, Comparison
from lesiongen.seeds import derive_seed

CLASSES = ("bcc", "mel", "nv")
SIDE = 48
PROCESSOR = {
    "image_processor_type": "ConvNextImageProcessor",
    "size": {"shortest_edge": SIDE},
    "image_mean": [0.4, 0.5, 0.6],
    "image_std": [0.2, 0.25, 0.3],
}


def save_resnet(folder: Path, labels: int = 5) -> Path:
    """A ResNet of a few thousand weights, as transformers saves it, with a head for other labels."""
    torch.manual_seed(0)
    sizes = {"embedding_size": 8, "hidden_sizes": [8, 16], "depths": [1, 1]}
    config = ResNetConfig(layer_type="basic", num_labels=labels, **sizes)
    ResNetForImageClassification(config).save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps(PROCESSOR))
    (folder / "README.md").write_text("---\nlicense: mit\n---\nMade by a test.\n")
    return folder


@pytest.fixture(scope="session")
def resnet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_resnet(tmp_path_factory.mktemp("resnet"))


def real_images(real: str, size: int) -> RealImages:
    dataset = Dataset.open(real)
    return RealImages(*(load_images(dataset, split, CLASSES, size) for split in ("train", "validation")), CLASSES)


def test_the_default_classifier_is_trained_as_it_always_was(real: str, small_config: EvaluateConfig) -> None:
    """The recipe of release 0.1.0, spelled out; the weights are equal to the last bit."""
    images, config = real_images(real, small_config.image_size), small_config
    assert EvaluateConfig().classifiers == ("small",)
    with opened_kind("small", config) as kind:
        trainer = kind.trainer(images)
        trained = trainer.train(Mixture(images.train), 3, lambda done: None)
    torch.manual_seed(derive_seed(3, "weights"))
    model = LesionClassifier(CLASSES, 32).to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, total_steps=config.steps, pct_start=0.1)
    states = {}
    for step in range(1, config.steps + 1):
        rng = np.random.default_rng([derive_seed(3, "batches"), step])
        pixels, labels = balanced_draw(images.train, config.batch_size, rng)
        logits = model.train()(augment(pixels, rng))
        optimizer.zero_grad()
        nn.functional.cross_entropy(logits, torch.from_numpy(labels), label_smoothing=0.05).backward()
        optimizer.step()
        schedule.step()
        states[step] = {name: value.clone() for name, value in model.state_dict().items()}
    found = trained.model.state_dict()
    assert trained.step in (12, 24)
    assert all(torch.equal(value, found[name]) for name, value in states[trained.step].items())
    assert trainer.source.hyperparameters["learning_rate"] == 3e-3


@pytest.mark.slow
def test_a_second_classifier_is_reported_and_decides_nothing(
    real: str, synthetic: str, resnet: Path, small_config: EvaluateConfig, tmp_path: Path
) -> None:
    config = small_config.changed(steps=6, classifiers=("small", str(resnet)))
    result = evaluate(config, real, synthetic, str(tmp_path / "out"))
    found, further = result.evaluation, result.evaluation.further_classifiers[str(resnet)]
    alone = train_conditions(
        config, load_material(config, Dataset.open(real), Dataset.open(synthetic)), SmallKind(config), "small"
    )
    assert found.classifier == alone.source
    for condition, outcome in alone.outcomes.items():
        scores = found.utility[condition]
        assert scores.validation_balanced_accuracy == tuple(outcome.validation)
        assert scores.accuracy.mean == pytest.approx((outcome.predictions == _test_labels(real)).mean())
    assert {entry.family for entry in found.comparisons} == {len(config.family)}
    assert list(further.utility) == list(found.utility)
    assert further.classifier == ClassifierSource(
        kind="transformers",
        source=str(resnet),
        licence="mit",
        files=further.classifier.files,
        image_size=SIDE,
        hyperparameters=further.classifier.hyperparameters,
    )
    assert list(further.classifier.files) == ["model.safetensors"]
    settings = further.classifier.hyperparameters
    assert (settings["learning_rate"], settings["schedule"], settings["steps"]) == (1e-3, "constant", 6)
    for secondary in further.comparisons:
        assert 0 < (secondary.p_value or 0) <= 1
        assert (secondary.p_holm, secondary.family, secondary.significant) == (None, None, False)
    page = Path(result.report).read_text()
    score = further.utility["both"].balanced_accuracy
    assert f"{score.mean:.3f} ({score.low:.3f}–{score.high:.3f})" in page
    assert "their p-values are not corrected" in page
    assert [name for name in result.reference.metrics if name.startswith("balanced_accuracy_both_")]


def _test_labels(real: str) -> np.ndarray:
    return np.array([CLASSES.index(each.diagnosis) for each in Dataset.open(real).samples("test")])


def test_the_page_of_secondary_comparisons_calls_nothing_significant() -> None:
    other = ClassifierScores(comparisons=(Comparison(name="both vs real", difference=0.1, p_value=0.001),))
    record = EvaluationRecord(classifier=ClassifierSource(kind="small"), further_classifiers={"<lite0>": other})
    (section,) = FurtherClassifiers().sections(record, {})
    text = str(section)
    assert "0.001" in text
    assert "significant" not in text
    assert FurtherClassifiers().sections(EvaluationRecord(classifier=ClassifierSource()), {}) == []


@pytest.mark.slow
def test_the_model_gets_a_new_head_its_own_normalisation_and_a_folder(
    real: str, resnet: Path, small_config: EvaluateConfig, tmp_path: Path
) -> None:
    config = small_config.changed(steps=2, checks=1, batch_size=4)
    with opened_kind(str(resnet), config) as kind:
        assert kind.image_size == SIDE
        images = real_images(real, SIDE)
        trainer = kind.trainer(images)
        first, again, other = (
            trainer.train(Mixture(images.train), seed, lambda done: None).model for seed in (0, 0, 1)
        )
    shown = images.validation.images
    assert np.array_equal(first.probabilities(shown), again.probabilities(shown))
    assert not np.allclose(first.probabilities(shown), other.probabilities(shown))
    assert first.embed(shown).shape == (len(shown), 16)
    first.save(tmp_path, {"trained_on": "real"})
    assert not [path for path in tmp_path.iterdir() if path.suffix not in {".json", ".safetensors"}]
    stored = json.loads((tmp_path / "config.json").read_text())
    assert stored["lesiongen"]["trained_on"] == "real"
    assert stored["id2label"] == {"0": "bcc", "1": "mel", "2": "nv"}
    values = torch.from_numpy(shown).permute(0, 3, 1, 2) / 255
    mean, deviation = (torch.tensor(PROCESSOR[name]).reshape(3, 1, 1) for name in ("image_mean", "image_std"))
    with torch.no_grad():
        loaded = AutoModelForImageClassification.from_pretrained(tmp_path).eval()
        expected = loaded((values - mean) / deviation).logits.softmax(dim=1).numpy()
    assert first.probabilities(shown) == pytest.approx(expected, abs=1e-5)


def test_a_head_for_as_many_labels_is_replaced_too(real: str, small_config: EvaluateConfig, tmp_path: Path) -> None:
    folder = save_resnet(tmp_path, labels=3)
    stored = load_file(folder / "model.safetensors")
    with opened_kind(str(folder), small_config.changed(steps=1, checks=1, batch_size=4)) as kind:
        images = real_images(real, SIDE)
        model = kind.trainer(images).train(Mixture(images.train), 0, lambda done: None).model
    moved = model.head.weight.detach() - stored["classifier.1.weight"]
    assert moved.abs().max() > 0.02, "one step of Adam at 0.001 moves no weight that far"


def test_a_network_without_batch_normalisation_cannot_keep_statistics_apart(
    resnet: Path, small_config: EvaluateConfig, tmp_path: Path
) -> None:
    sizes = {"image_size": SIDE, "patch_size": 16, "hidden_size": 8, "intermediate_size": 8}
    config = ViTConfig(num_hidden_layers=1, num_attention_heads=1, **sizes)
    ViTForImageClassification(config).save_pretrained(tmp_path)
    shutil.copy(resnet / "preprocessor_config.json", tmp_path)
    apart = small_config.changed(protocol="separate-norm")
    with pytest.raises(UsageError, match="the protocol separate-norm has no effect on it: it has no batch normali"):
        opened_kind(str(tmp_path), apart).__enter__()
    with opened_kind(str(tmp_path), small_config), opened_kind(str(resnet), apart), opened_kind("small", apart):
        pass


def test_resnet18_is_the_one_of_the_reference_method(
    real: str, resnet: Path, small_config: EvaluateConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, str | None]] = []
    snapshot = resnet.parent / ("a" * 40)
    snapshot.symlink_to(resnet)

    def hub_snapshot(name: str, revision: str | None, wanted: list[str]) -> Path:
        asked.append((name, revision))
        return snapshot

    monkeypatch.setattr(pretrained, "hub_snapshot", hub_snapshot)
    with opened_kind("resnet18", small_config) as kind:
        assert kind.image_size == 224
        source = kind.trainer(real_images(real, 32)).source
    assert asked == [("microsoft/resnet-18", None)]
    assert (source.source, source.revision, source.licence) == ("microsoft/resnet-18", "a" * 40, "Apache-2.0")
    settings = source.hyperparameters
    assert (settings["optimizer"], settings["image_mean"], settings["image_std"]) == ("Adam", [0.5] * 3, [0.5] * 3)
    with opened_kind("hub:someone/else@main", small_config) as kind:
        assert kind.image_size == SIDE
    assert asked[1] == ("someone/else", "main")


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("models/resnet", "is neither one of small, resnet18, lite0 nor a folder"),
        ("lite1", "Did you mean lite0"),
        ("hub:one/two/three", "write hub:OWNER/NAME"),
    ],
)
def test_a_mistyped_name_is_never_looked_up(
    name: str, problem: str, real: str, synthetic: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pretrained, "hub_snapshot", lambda *_: pytest.fail("looked up"))
    with pytest.raises(UsageError, match=problem):
        check_classifier(name)
    with pytest.raises(UsageError, match=problem):
        evaluate(EvaluateConfig(classifiers=("small", name)), real, synthetic, str(tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_a_classifier_is_named_once() -> None:
    with pytest.raises(UsageError, match="the classifier 'small' is named twice"):
        EvaluateConfig().changed(classifiers=("small", "lite0", "small"))
    with pytest.raises(UsageError, match="classifiers"):
        EvaluateConfig().changed(classifiers=())


def test_a_further_classifier_that_is_damaged_is_found_before_any_training(
    real: str, synthetic: str, small_config: EvaluateConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = save_resnet(tmp_path / "resnet")
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-4])
    monkeypatch.setattr(stage, "train_conditions", lambda *_: pytest.fail("trained"))
    config = small_config.changed(classifiers=("small", str(folder)))
    with pytest.raises(DataError, match=re.escape(str(folder))):
        evaluate(config, real, synthetic, str(tmp_path / "out"))


def test_damaged_and_foreign_folders_are_refused(small_config: EvaluateConfig, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with (
        pytest.raises(UsageError, match="its image processor cannot be loaded"),
        opened_kind(str(tmp_path / "empty"), small_config),
    ):
        pass
    folder = save_resnet(tmp_path / "part")
    weights = load_file(folder / "model.safetensors")
    lost = next(name for name in weights if "encoder" in name and name.endswith("weight"))
    del weights[lost]
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(DataError, match="asks for 1 tensors"), opened_kind(str(folder), small_config):
        pass
    (folder / "model.safetensors").unlink()
    torch.save(weights, folder / "pytorch_model.bin")
    with pytest.raises(UsageError, match="cannot be loaded"), opened_kind(str(folder), small_config):
        pass


def test_the_images_of_another_size_are_the_same_images(
    real: str, synthetic: str, small_config: EvaluateConfig, tmp_path: Path
) -> None:
    datasets = Dataset.open(real), Dataset.open(synthetic)
    material = load_material(small_config, *datasets)
    rows = np.arange(len(material.test)) % 7 > 0
    material = replace(material, test=material.test.take(rows))
    sized = at_size(material, *datasets, 40, tmp_path)
    for part in ("train", "validation", "test", "synthetic"):
        small, large = getattr(material, part), getattr(sized, part)
        assert isinstance(large, LabelledImages)
        assert large.images.shape == (len(small), 40, 40, 3)
        assert isinstance(large.images, np.memmap), "not copied into memory"
        assert {len(key) for key in large.keys} == {16}
        assert len(set(large.keys)) == len(large)
        assert large.table["image_id"].tolist() == small.table["image_id"].tolist()
        assert np.array_equal(large.labels, small.labels)
        assert math.isclose(large.images.mean(), small.images.mean(), rel_tol=0.02)
    assert at_size(material, *datasets, 32, tmp_path) is material
