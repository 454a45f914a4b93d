"""The reconstruction ceiling: which part of the generator loses what, measured on the same test images."""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import typer
from PIL import Image, ImageFilter
from scipy.ndimage import convolve
from skimage.metrics import mean_squared_error
from sklearn.metrics import balanced_accuracy_score
from typer.testing import CliRunner

from lesiongen.cli.evaluate import evaluate_command
from lesiongen.dataset import Dataset, DatasetWriter, Sample
from lesiongen.errors import DataError
from lesiongen.evaluation import EvaluateConfig, evaluate
from lesiongen.evaluation.classifier.conditions import Outcome, best_condition, train_conditions
from lesiongen.evaluation.classifier.kinds.small import SmallKind
from lesiongen.evaluation.evidence import Evidence
from lesiongen.evaluation.material import Material, at_size, load_material
from lesiongen.evaluation.measures.reconstruction import (
    ReconstructionCeiling,
    laplacian_variance_ratio,
    peak_signal_to_noise,
)
from lesiongen.evaluation.report.verdict import verdict
from lesiongen.imaging import decode, encode_png, square
from lesiongen.records.evaluation import EvaluationRecord, read_evaluation
from lesiongen.records.image_measures import Bounded, Reconstruction
from lesiongen.records.origin import ReconstructOrigin, SampleOrigin
from lesiongen.records.provenance import ReconstructedProvenance
from lesiongen.records.scores import ClassRecall, ConditionScores, Score

PROVENANCE = ReconstructedProvenance(model="m", model_version="1" * 64, image_size=32).text()
ORIGIN = ReconstructOrigin(stage="reconstruct", model="m", model_version="1" * 64)


@dataclass(frozen=True)
class Finished:
    """An evaluation with reconstructions."""

    folder: Path
    evaluation: EvaluationRecord
    metrics: dict[str, float]


def blurred(sample: Sample) -> Sample:
    """Blurs an image, as an autoencoder does."""
    image = decode(sample.image).filter(ImageFilter.GaussianBlur(2))
    return replace(sample, image=encode_png(image), provenance=PROVENANCE)


def published(folder: Path, samples: list[Sample], origin: ReconstructOrigin | SampleOrigin | None = ORIGIN) -> str:
    with DatasetWriter(str(folder), name="discs-reconstructed", origin=origin) as writer:
        for sample in samples:
            writer.add(sample)
    return str(folder)


@pytest.fixture(scope="module")
def train(real: str) -> list[Sample]:
    return [blurred(sample) for sample in Dataset.open(real).samples("train")]


@pytest.fixture(scope="module")
def reconstructed(train: list[Sample], tmp_path_factory: pytest.TempPathFactory) -> str:
    # In another order than the training images: they are told by their ids.
    return published(tmp_path_factory.mktemp("reconstructed") / "set", train[::-1])


@pytest.fixture(scope="module")
def quick(small_config: EvaluateConfig) -> EvaluateConfig:
    return small_config.changed(steps=12, checks=1)


@pytest.fixture(scope="module")
def finished(
    real: str, synthetic: str, reconstructed: str, quick: EvaluateConfig, tmp_path_factory: pytest.TempPathFactory
) -> Finished:
    """By the command, as its JSON and its evaluation.json."""
    app = typer.Typer()
    app.command()(evaluate_command)
    output = tmp_path_factory.mktemp("evaluation")
    places = {"real": real, "synthetic": synthetic, "reconstructed": reconstructed, "output": str(output)}
    arguments = [part for name, place in places.items() for part in (f"--{name}", place)]
    for name, value in quick.model_dump(mode="json", exclude_none=True).items():
        arguments += ["--set", f"{name}={json.dumps(value)}"]
    result = CliRunner().invoke(app, [*arguments, "--json"], catch_exceptions=False)
    printed = json.loads(result.stdout[result.stdout.index("{") :])
    found = read_evaluation((output / "evaluation.json").read_bytes(), "evaluation.json")
    return Finished(output, found, printed["metrics"])


@pytest.mark.slow
def test_the_condition_is_scored_like_the_others_and_stays_out_of_tests_and_choice(
    finished: Finished, quick: EvaluateConfig
) -> None:
    found = finished.evaluation
    assert list(found.utility) == ["real", "synthetic", "both", "reconstruction"]
    assert len(found.scores("reconstruction").balanced_accuracy.per_seed) == 2
    assert found.scores("reconstruction").picked_steps == (12, 12)
    computed = {entry.name: entry.family for entry in found.comparisons if not entry.not_computed}
    assert computed == dict.fromkeys(quick.family, 3)
    assert found.best_condition != "reconstruction"
    assert found.sources["reconstructed"].version == Dataset.open(found.sources["reconstructed"].uri).manifest.version
    stored = json.loads((finished.folder / "evaluation.json").read_text())
    assert stored["reconstruction"]["n"] == 90
    assert "no test" in stored["protocol"]["reconstruction"]


@pytest.mark.slow
def test_both_parts_add_up_to_the_change_from_real_to_synthetic(finished: Finished) -> None:
    found, parts = finished.evaluation, finished.evaluation.reconstruction
    means = {name: scores.balanced_accuracy.mean for name, scores in found.utility.items()}
    assert parts.autoencoder.value + parts.denoiser.value == pytest.approx(means["synthetic"] - means["real"])
    assert parts.ceiling.value == pytest.approx(means["reconstruction"] / means["real"])
    for part in (parts.ceiling, parts.autoencoder, parts.denoiser):
        assert part.low <= part.value <= part.high
    metrics = finished.metrics
    assert metrics["reconstruction_ceiling"] == parts.ceiling.value
    assert metrics["balanced_accuracy_reconstruction"] == means["reconstruction"]
    assert 0 < metrics["reconstruction_laplacian_variance_ratio"] < 0.2
    assert 15 < metrics["reconstruction_peak_signal_to_noise_db"] < 40


@pytest.mark.slow
def test_the_page_says_which_part_loses_what(finished: Finished) -> None:
    page = (finished.folder / "report.html").read_text()
    parts = finished.evaluation.reconstruction
    assert f"{parts.ceiling.value:.2f} of that from real images (the ceiling)" in page
    assert f"{parts.autoencoder.value:+.3f} (" in page
    assert "What the parts of the generator lose" in page
    assert "recall, reconstruction" in page
    assert "Training images, each before its reconstruction" in page


@pytest.mark.parametrize(("low", "kind"), [(0.4, "warning"), (0.6, "info")])
def test_a_ceiling_over_chance_alone_means_nothing(low: float, kind: str) -> None:
    real = ConditionScores(balanced_accuracy=Score(mean=0.7, low=low), per_class=dict.fromkeys("ab", ClassRecall(n=9)))
    found = EvaluationRecord(utility={"real": real}, reconstruction=Reconstruction(ceiling=Bounded(value=0.9)))
    [said] = [finding for finding in verdict(found) if "(the ceiling)" in finding.text]
    assert (said.kind, "the ceiling means nothing" in said.text) == (kind, kind == "warning")


def test_a_page_without_it_names_the_command() -> None:
    [said] = [finding.text for finding in verdict(EvaluationRecord()) if "autoencoder" in finding.text]
    assert "was not measured: lesiongen reconstruct makes" in said
    assert ReconstructionCeiling().headline(EvaluationRecord()) == {}


@pytest.mark.parametrize("allowed", [True, False])
def test_parts_and_pairs_are_those_of_the_predictions(
    material: Material, quick: EvaluateConfig, tmp_path: Path, allowed: bool
) -> None:
    config = quick.changed(n_seeds=1, steps=2, allow_real_images=allowed)
    trained = {"small": train_conditions(config, material, SmallKind(config), "small")}
    evidence = Evidence.of(config, material, trained, tmp_path)
    found = ReconstructionCeiling().measure(evidence)["reconstruction"]
    labels = material.test.labels
    score = {
        name: balanced_accuracy_score(labels, outcome.predictions[0]) for name, outcome in evidence.outcomes.items()
    }
    assert found.autoencoder.value == pytest.approx(score["reconstruction"] - score["real"])
    assert found.denoiser.value == pytest.approx(score["synthetic"] - score["reconstruction"])
    # Both show patients.
    assert bool(ReconstructionCeiling().figures(evidence, EvaluationRecord())) is allowed


@pytest.fixture(scope="module")
def material(real: str, synthetic: str, reconstructed: str, quick: EvaluateConfig) -> Material:
    return load_material(quick, *(Dataset.open(uri) for uri in (real, synthetic, reconstructed)))


def test_each_reconstruction_is_beside_its_original(material: Material, train: list[Sample]) -> None:
    assert list(material.reconstructed.table["image_id"]) == list(material.train.table["image_id"])
    expected = np.stack([np.asarray(decode(sample.image)) for sample in train])
    assert np.array_equal(material.reconstructed.images, expected)


def test_at_another_size_each_reconstruction_is_beside_its_original_too(
    material: Material, train: list[Sample], real: str, synthetic: str, reconstructed: str, tmp_path: Path
) -> None:
    datasets = [Dataset.open(uri) for uri in (real, synthetic)]
    sized = at_size(material, *datasets, 40, tmp_path, reconstructed=Dataset.open(reconstructed))
    expected = np.stack([np.asarray(square(decode(sample.image), 40)) for sample in train])
    assert np.array_equal(sized.reconstructed.images, expected)
    assert list(sized.reconstructed.table["image_id"]) == list(sized.train.table["image_id"])
    assert isinstance(sized.reconstructed.images, np.memmap), "not copied into memory"


def test_reconstructions_are_never_the_best_condition(material: Material, quick: EvaluateConfig) -> None:
    config = quick.changed(n_seeds=1, steps=2)
    plain = train_conditions(config, material, SmallKind(config), "small").outcomes
    outcomes = {name: replace_validation(outcome, 0.4) for name, outcome in plain.items()}
    outcomes |= {"both": replace_validation(plain["both"], 0.5)}
    outcomes |= {"reconstruction": replace_validation(plain["reconstruction"], 0.9)}
    assert best_condition(outcomes) == "both"


def replace_validation(outcome: Outcome, score: float) -> Outcome:
    return replace(outcome, validation=[score])


def test_the_numbers_of_images_are_those_of_their_definitions() -> None:
    rng = np.random.default_rng(0)
    originals = rng.integers(0, 256, (4, 24, 20, 3), dtype=np.uint8)
    blur = np.stack([np.asarray(Image.fromarray(one).filter(ImageFilter.BoxBlur(1))) for one in originals])
    decibels = [10 * np.log10(255**2 / mean_squared_error(*pair)) for pair in zip(originals, blur, strict=True)]
    assert peak_signal_to_noise(originals, blur) == pytest.approx(np.mean(decibels))
    kernel = np.array([[0, 1, 0], [1, -4, 1], [0, 1, 0]])
    variances = [
        np.mean([convolve(image @ (0.2125, 0.7154, 0.0721) / 255, kernel, mode="reflect").var() for image in images])
        for images in (blur, originals)
    ]
    assert laplacian_variance_ratio(originals, blur) == pytest.approx(variances[0] / variances[1])
    assert laplacian_variance_ratio(originals, originals) == 1.0


def test_images_that_say_nothing_give_no_number() -> None:
    flat = np.full((2, 8, 8, 3), 90, dtype=np.uint8)
    other = np.arange(2 * 8 * 8 * 3, dtype=np.uint8).reshape(2, 8, 8, 3)
    assert peak_signal_to_noise(other, other) is None
    one_differs = np.concatenate([flat[:1], other[:1]])
    assert peak_signal_to_noise(flat, one_differs) == peak_signal_to_noise(flat[1:], other[:1])
    assert laplacian_variance_ratio(flat, other) is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda samples: samples[3:], "lacks 3 of the 90 training images of .*: real0, real1, real2"),
        (lambda samples: [*samples, replace(samples[0], image_id="x")], "1 images are not in the train split of .*: x"),
        (
            lambda samples: [replace(samples[0], diagnosis="mel"), *samples[1:]],
            "1 images have another diagnosis than in .*: real0",
        ),
    ],
)
def test_other_reconstructions_than_those_of_the_training_images_are_refused(
    change: Callable[[list[Sample]], list[Sample]], message: str, train: list[Sample], real: str, synthetic: str,
    quick: EvaluateConfig, tmp_path: Path,
) -> None:  # fmt: skip
    other = published(tmp_path / "set", change(train))
    with pytest.raises(DataError, match=message) as error:
        evaluate(quick, real, synthetic, str(tmp_path / "out"), other)
    assert "lesiongen reconstruct MODEL" in str(error.value.hint)


def test_each_kind_of_images_has_its_place(
    real: str, synthetic: str, reconstructed: str, quick: EvaluateConfig, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match="holds no reconstructions"):
        evaluate(quick, real, synthetic, str(tmp_path / "out"), synthetic)
    with pytest.raises(DataError, match="90 images are reconstructions of real ones, not synthetic: "):
        evaluate(quick, real, reconstructed, str(tmp_path / "out"))


@pytest.mark.parametrize("provenance", [PROVENANCE, '{"image_manipulation": "synthetic"}'])
def test_images_that_a_model_made_are_neither_tested_nor_chosen_on(
    provenance: str, real: str, synthetic: str, quick: EvaluateConfig, tmp_path: Path
) -> None:
    def with_one_in(split: str) -> tuple[str, str]:
        samples = list(Dataset.open(real).samples())
        place = next(number for number, sample in enumerate(samples) if sample.split == split)
        samples[place] = replace(samples[place], provenance=provenance)
        return published(tmp_path / split, samples, None), samples[place].image_id

    for split in ("validation", "test"):
        mixed, image_id = with_one_in(split)
        message = f"1 {split} images are synthetic or reconstructions, not real: {image_id}"
        with pytest.raises(DataError, match=message):
            load_material(quick, Dataset.open(mixed), Dataset.open(synthetic))
    mixed, _ = with_one_in("train")
    [note] = load_material(quick, Dataset.open(mixed), Dataset.open(synthetic)).notes
    assert note.startswith("1 of the 90 training images are synthetic or reconstructions: the condition real is not")


def test_a_note_tells_that_the_classifier_sees_more_pixels_than_the_autoencoder(
    real: str, synthetic: str, reconstructed: str, quick: EvaluateConfig, tmp_path: Path
) -> None:
    datasets = [Dataset.open(uri) for uri in (real, synthetic, reconstructed)]
    [note] = load_material(quick, *datasets, size=48).notes
    assert note.startswith("The reconstructions have 32 pixels a side, the classifier is shown 48: the ceiling")
    for size in (24, 32):
        assert load_material(quick, *datasets, size=size).notes == []


def test_a_note_tells_that_another_model_drew_the_synthetic_images(
    real: str, synthetic: str, reconstructed: str, quick: EvaluateConfig, tmp_path: Path
) -> None:
    samples = list(Dataset.open(synthetic).samples())
    for version, notes in (("2" * 64, 1), ("1" * 64, 0)):
        drawn = published(tmp_path / version[0], samples, SampleOrigin(stage="sample", model_version=version))
        opened = load_material(quick, *(Dataset.open(uri) for uri in (real, drawn, reconstructed)))
        assert len([note for note in opened.notes if "have the same autoencoder" in note]) == notes
