"""Controls that synthetic images must beat, and the mixing curve."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from lesiongen.cli.evaluate import evaluate_command
from lesiongen.dataset import Dataset, Sample
from lesiongen.errors import DataError, UsageError
from lesiongen.evaluation import EvaluateConfig, control_images, evaluate, stage
from lesiongen.evaluation.classifier.conditions import train_conditions
from lesiongen.evaluation.classifier.controls import (
    PreparedControl,
    permuted_labels,
    prepared_controls,
    train_controls,
)
from lesiongen.evaluation.classifier.kinds.small import SmallKind
from lesiongen.evaluation.classifier.mixing_curve import curve_mixtures
from lesiongen.evaluation.classifier.mixtures import Mixture
from lesiongen.evaluation.control_images import load_control_images
from lesiongen.evaluation.material import Material, load_material
from lesiongen.evaluation.measures.comparisons import paired_difference
from lesiongen.evaluation.measures.metrics import Resamples
from lesiongen.evaluation.seen import SeenByBase
from lesiongen.records.evaluation import EvaluationRecord, read_evaluation
from tests.evaluation.conftest import COLOURS, sample

Publish = Callable[[list[Sample]], str]


@pytest.fixture(scope="module")
def material(real: str, synthetic: str, small_config: EvaluateConfig) -> Material:
    return load_material(small_config, Dataset.open(real), Dataset.open(synthetic))


def further_samples(count: int = 12, start: int = 5000, **columns: object) -> list[Sample]:
    return [sample(list(COLOURS)[k % 3], start + k, "train", f"further{start + k}", **columns) for k in range(count)]


def label_only_samples(caption: Callable[[str, int], str | None]) -> list[Sample]:
    return [
        replace(each, caption=caption(each.diagnosis, k), source="lesiongen")
        for k, each in enumerate(further_samples(9, 7000))
    ]


def test_permuted_labels_are_the_same_labels_of_the_same_images(material: Material) -> None:
    permuted = permuted_labels(material.synthetic, 1)
    assert permuted.images is material.synthetic.images
    assert np.array_equal(np.bincount(permuted.labels), np.bincount(material.synthetic.labels))
    kept = (permuted.labels == material.synthetic.labels).mean()
    assert kept == pytest.approx(1 / 3, abs=0.2), "of three classes of 20 a third keeps its label by chance"
    assert np.array_equal(permuted.labels, permuted_labels(material.synthetic, 1).labels)
    assert not np.array_equal(permuted.labels, permuted_labels(material.synthetic, 2).labels)


def test_every_control_is_mixed_by_the_protocol_but_longer(material: Material, small_config: EvaluateConfig) -> None:
    config = small_config.changed(controls=("longer", "permuted-labels"), protocol="pretrain", synthetic_until=0.25)
    prepared = prepared_controls(config, material, {})
    longer, permuted = (prepared[name].mixture for name in ("longer", "permuted-labels"))
    assert (longer.main, longer.added) == (material.train, None)
    assert (permuted.main, permuted.share, permuted.until) == (material.train, 1.0, 0.25)
    assert [each.n_images for each in prepared.values()] == [0, 60]


def test_further_images_are_no_held_out_or_training_images(material: Material, real: str, publish: Publish) -> None:
    split = {name: list(Dataset.open(real).samples(name)) for name in ("train", "validation", "test")}
    copies = [replace(split[name][0], image_id=f"copy{name}", split="train", lesion_id=None) for name in split]
    same_lesions = further_samples(2, 6000, lesion_id="test3") + further_samples(2, 6100, lesion_id="validation1")
    same_id = [replace(further_samples(1, 6200)[0], image_id=split["test"][5].image_id)]
    same_training_lesion = further_samples(1, 6300, lesion_id="train2")
    other = [replace(each, diagnosis="df") for each in further_samples(3, 6400)]
    held_out_there = [replace(each, split="test") for each in further_samples(2, 6500)]
    uri = publish(
        [*further_samples(), *copies, *same_lesions, *same_id, *same_training_lesion, *other, *held_out_there]
    )
    found = load_control_images(material, Dataset.open(real), {"further-images": Dataset.open(uri)})["further-images"]
    ids = set(found.images.table["image_id"])
    assert ids == {each.image_id for each in (*further_samples(), *same_training_lesion)}
    assert found.n_left_out == len([*copies, *same_lesions, *same_id, *other])


def test_further_images_that_cannot_be_used_are_refused(material: Material, real: str, publish: Publish) -> None:
    training = [replace(each, image_id=f"again{each.image_id}") for each in Dataset.open(real).samples("train")]
    with pytest.raises(DataError, match="none of the 90 images can be used by the control further-images"):
        load_control_images(material, Dataset.open(real), {"further-images": Dataset.open(publish(training))})
    drawn = [replace(each, provenance=json.dumps({"image_manipulation": "synthetic"})) for each in further_samples(3)]
    with pytest.raises(DataError, match="3 train images are synthetic or reconstructions, not real"):
        load_control_images(material, Dataset.open(real), {"further-images": Dataset.open(publish(drawn))})


def test_images_of_label_only_captions_have_one_caption_for_each_diagnosis(
    material: Material, real: str, publish: Publish
) -> None:
    one = Dataset.open(publish(label_only_samples(lambda diagnosis, k: f"a high quality image of {diagnosis}")))
    assert len(load_control_images(material, Dataset.open(real), {"label-only": one})["label-only"].images) == 9
    several = Dataset.open(publish(label_only_samples(lambda diagnosis, k: f"{diagnosis} {k if k % 3 else ''}")))
    with pytest.raises(DataError, match="the images of mel, nv do not have one caption"):
        load_control_images(material, Dataset.open(real), {"label-only": several})
    none = Dataset.open(publish(label_only_samples(lambda diagnosis, k: None)))
    with pytest.raises(DataError, match="the images of bcc, mel, nv do not have one caption"):
        load_control_images(material, Dataset.open(real), {"label-only": none})


def test_a_base_that_has_seen_a_test_image_is_refused(
    material: Material, real: str, publish: Publish, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = Dataset.open(publish(label_only_samples(lambda diagnosis, k: diagnosis)))
    seen = SeenByBase(validation=("left out",), test=(material.test.table["image_id"][0],))
    monkeypatch.setattr(
        control_images, "seen_by_base", lambda real, of: seen if of is dataset else pytest.fail("other")
    )
    with pytest.raises(DataError, match="its generator was trained on 1 validation or test images"):
        load_control_images(material, Dataset.open(real), {"label-only": dataset})


def test_a_base_that_is_not_known_is_said(
    material: Material, real: str, publish: Publish, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = Dataset.open(publish(label_only_samples(lambda diagnosis, k: diagnosis)))
    unknown = SeenByBase(unknown="the generator is gone")
    monkeypatch.setattr(control_images, "seen_by_base", lambda real, of: unknown)
    found = load_control_images(material, Dataset.open(real), {"label-only": dataset})["label-only"]
    assert found.notes == (
        "Control label-only: whether the base model of its generator has seen validation or test images is not known: "
        "the generator is gone.",
    )


def test_further_images_need_a_train_split(material: Material, real: str, publish: Publish) -> None:
    uri = publish([replace(each, split="test") for each in further_samples(3)])
    with pytest.raises(DataError, match="has no train images; the control further-images takes no others"):
        load_control_images(material, Dataset.open(real), {"further-images": Dataset.open(uri)})


def test_the_pixels_of_a_control_are_kept_in_a_file(
    material: Material, real: str, publish: Publish, tmp_path: Path
) -> None:
    further = {
        "further-images": Dataset.open(publish([*further_samples(), *further_samples(1, 6400, lesion_id="test3")]))
    }
    (folder := tmp_path / "pixels").mkdir()
    found = load_control_images(material, Dataset.open(real), further, folder)["further-images"].images
    assert (type(found.images), len(found)) == (np.memmap, 12)
    in_memory = load_control_images(material, Dataset.open(real), further)["further-images"].images
    assert np.array_equal(found.images, in_memory.images)


def test_controls_predict_no_test_set_from_elsewhere(material: Material, small_config: EvaluateConfig) -> None:
    config = small_config.changed(n_seeds=1, steps=2, checks=1)
    unread = replace(material, elsewhere={"pad": object()})
    prepared = {"longer": PreparedControl(Mixture(material.train))}
    found = train_controls(config, unread, prepared, SmallKind(config), None)["longer"].predictions
    assert found.elsewhere == {}
    assert found.probabilities.shape == (1, 60, 3)


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"controls": ("further-images",)}, "the control further-images and the dataset control_images must be given"),
        ({"controls": ("label-only",)}, "the control label-only and the dataset label_only_images must be given"),
        ({"control_images": "real"}, "the control further-images and the dataset control_images must be given"),
        ({"controls": ("longer",), "label_only_images": "real"}, "label_only_images must be given together"),
    ],
)
def test_a_control_and_its_dataset_go_together(settings: dict[str, object], problem: str) -> None:
    with pytest.raises(UsageError, match=problem):
        EvaluateConfig().changed(**settings)


def test_more_steps_are_refused_where_they_have_no_effect(real: str, synthetic: str, tmp_path: Path) -> None:
    pytest.importorskip("efficientnet_lite_pytorch")
    config = EvaluateConfig(classifiers=("lite0", "small"), controls=("longer",))
    with pytest.raises(UsageError, match="'lite0': the control longer has no effect on it"):
        evaluate(config, real, synthetic, str(tmp_path / "out"))


def test_the_mixing_curve_takes_from_the_conditions_what_they_have(
    material: Material, small_config: EvaluateConfig
) -> None:
    config = small_config.changed(mixing_curve=(1, 0.5, 0.25, 0))
    assert {share: mixture.share for share, mixture in curve_mixtures(config, material).items()} == {0.25: 0.25}
    assert list(curve_mixtures(config.changed(protocol="concat"), material)) == [0.25, 0.5]
    pretrained = config.changed(protocol="pretrain", synthetic_until=0.25)
    assert {share: mixture.until for share, mixture in curve_mixtures(pretrained, material).items()} == {0.5: 0.5}
    with pytest.raises(UsageError, match=r"0\.5 is named twice"):
        config.changed(mixing_curve=(0.5, 0.5))
    with pytest.raises(UsageError, match="longer is named twice"):
        config.changed(controls=("longer", "longer"))


def test_a_paired_difference_is_that_of_the_balanced_accuracies() -> None:
    """Recalls of the first: 1 and 1/2; of the second: 1/2 and 1/2."""
    labels = np.array([0, 0, 1, 1])
    pair = np.array([[0, 0, 1, 0]]), np.array([[0, 1, 1, 0]])
    resamples = Resamples(np.arange(4), 200, 0.95, 0)
    found = paired_difference(labels, pair, 2, resamples, permutations=99, seed=0)
    assert (found.difference, found.per_seed, found.n, found.lesions) == (0.25, (0.25,), 4, 4)
    assert found.p_value == 1.0, "one image that differs: every sign is as extreme"
    assert (found.p_holm, found.family, found.significant) == (None, None, False)


@pytest.mark.slow
def test_controls_and_the_curve_are_reported_and_change_nothing_else(
    material: Material,
    real: str,
    synthetic: str,
    publish: Publish,
    small_config: EvaluateConfig,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    further = publish([*further_samples(), replace(further_samples(1, 5900)[0], lesion_id="test0")])
    label_only = publish(label_only_samples(lambda diagnosis, k: diagnosis))
    config = small_config.changed(
        steps=12,
        checks=1,
        subgroups=(),
        intersections=(),
        controls=("permuted-labels", "longer", "further-images", "label-only"),
        control_images=further,
        label_only_images=label_only,
        longer_factor=1.5,
        mixing_curve=(0, 0.25, 0.5, 1),
    )
    unknown = SeenByBase(unknown="the generator is gone")
    monkeypatch.setattr(control_images, "seen_by_base", lambda real, of: unknown)
    alone = train_conditions(config, material, SmallKind(config), "small").outcomes
    result = evaluate(config, real, synthetic, str(tmp_path / "out"))
    found = result.evaluation
    assert read_evaluation(Path(tmp_path, "out", "evaluation.json").read_bytes(), "evaluation.json") == found
    assert [entry.family for entry in found.comparisons] == [2, 2, 2]
    for name, outcome in alone.items():
        assert found.utility[name].validation_balanced_accuracy == tuple(outcome.validation)
        assert found.utility[name].accuracy.mean == (outcome.predictions == material.test.labels).mean()
    assert list(found.controls) == list(config.controls)
    assert [each.n_images for each in found.controls.values()] == [60, 0, 12, 9]
    assert [each.n_left_out for each in found.controls.values()] == [0, 0, 1, 0]
    assert (found.sources["further_images"].uri, found.sources["label_only"].uri) == (further, label_only)
    means = {name: scores.balanced_accuracy.mean for name, scores in found.utility.items()}
    for name, control in found.controls.items():
        mean = control.scores.balanced_accuracy.mean
        assert control.both_vs_control.name == f"both vs {name}"
        assert control.both_vs_control.difference == pytest.approx(means["both"] - mean)
        assert control.control_vs_real.name == f"{name} vs real"
        assert control.control_vs_real.difference == pytest.approx(mean - means["real"])
        for compared in (control.both_vs_control, control.control_vs_real):
            assert 0 < compared.p_value <= 1
            assert (compared.significant, compared.p_holm, compared.family) == (False, None, None)
    assert found.controls["longer"].scores.picked_steps == (18, 18)
    curve = found.mixing_curve
    assert (curve.n, curve.lesions, [point.share for point in curve.points]) == (24, 12, [0, 0.25, 0.5, 1])
    for point, name in zip(curve.points, ("real", None, "both", "synthetic"), strict=True):
        if name:
            assert point.balanced_accuracy.per_seed == found.utility[name].validation_balanced_accuracy
    page = Path(result.report).read_text()
    unknown_base = "whether the base model of its generator has seen validation or test images is not known"
    assert any(unknown_base in note for note in found.notes)
    for title in (unknown_base, "Controls", "Mixing curve", "both vs permuted-labels", "1.5 times the steps"):
        assert title in page
    assert (tmp_path / "out" / "pictures" / "mixing_curve.png").is_file()
    assert result.reference.metrics["difference_both_vs_control_permuted_labels"] == pytest.approx(
        found.controls["permuted-labels"].both_vs_control.difference
    )


def test_the_options_name_protocol_controls_and_datasets(
    real: str, synthetic: str, publish: Publish, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[object, ...]] = []

    def spy(config: EvaluateConfig, *addresses: str | None) -> object:
        asked.append((config.protocol, config.controls, config.mixing_curve, config.control_images))
        return stage.EvaluationResult(None, "report.html", EvaluationRecord())

    monkeypatch.setattr("lesiongen.evaluation.evaluate", spy, raising=False)
    app = typer.Typer()
    app.command()(evaluate_command)
    further = publish(further_samples())
    words = ["--real", real, "--synthetic", synthetic, "--output", str(tmp_path / "out"), "--protocol", "concat"]
    words += ["--control", "longer", "--control", "further-images", "--control-images", further]
    result = CliRunner().invoke(app, [*words, "--set", "mixing_curve=[0, 0.5]"])
    assert result.exit_code == 0, result.output
    assert asked == [("concat", ("longer", "further-images"), (0, 0.5), further)]
