import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from lesiongen.cli.evaluate import evaluate_command
from lesiongen.dataset import Dataset, Sample
from lesiongen.errors import DataError, UsageError
from lesiongen.evaluation import EvaluateConfig, EvaluationResult, evaluate, load_classifier

Publish = Callable[[list[Sample]], str]


@pytest.fixture(scope="module")
def finished(
    real: str, synthetic: str, small_config: EvaluateConfig, tmp_path_factory: pytest.TempPathFactory
) -> EvaluationResult:
    return evaluate(small_config, real, synthetic, str(tmp_path_factory.mktemp("evaluation")))


def test_every_condition_is_scored_on_the_real_test_split(finished: EvaluationResult) -> None:
    found = json.loads((Path(finished.reference.uri) / "evaluation.json").read_text())
    assert found == finished.evaluation
    assert found["schema_version"] == 1
    assert list(found["utility"]) == ["real", "synthetic", "both"]
    for scores in found["utility"].values():
        assert len(scores["balanced_accuracy"]["per_seed"]) == 2
        assert scores["balanced_accuracy"]["low"] <= scores["balanced_accuracy"]["mean"]
        assert scores["balanced_accuracy"]["mean"] > 0.6
        assert {name: entry["n"] for name, entry in scores["per_class"].items()} == {"bcc": 20, "mel": 20, "nv": 20}
    assert found["counts"]["test"]["n"] == 60
    assert found["counts"]["test_lesions"] == 30
    assert [entry["name"] for entry in found["comparisons"]] == ["both vs real", "synthetic vs real"]
    assert found["memorisation"]["n_synthetic"] == 60
    assert found["class_agreement"]["agreement"] > 0.6
    columns = {entry["group"]: entry for entry in found["utility"]["both"]["subgroups"]}
    assert columns["tan"]["too_small"]
    assert not columns["male"]["too_small"]
    assert found["notes"] == ["Subgroups by site, skin_tone are not known: the test images hold no value."]


def test_the_files_are_those_that_the_result_names(finished: EvaluationResult) -> None:
    folder = Path(finished.reference.uri)
    written = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert written == {*finished.evaluation["files"], "evaluation.json"}
    for name, digest in finished.evaluation["files"].items():
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest
    result = (folder / "evaluation.json").read_bytes()
    assert hashlib.sha256(result).hexdigest() == finished.reference.version
    assert load_classifier(folder / "classifier").classes == ("bcc", "mel", "nv")
    assert finished.reference.metrics["balanced_accuracy_both"] > 0.6
    assert not list(folder.rglob("*.pkl"))


def test_the_page_tells_the_numbers_and_loads_nothing(finished: EvaluationResult) -> None:
    page = Path(finished.report).read_text()
    both = finished.evaluation["utility"]["both"]["balanced_accuracy"]["mean"]
    assert f"a balanced accuracy of {both:.3f}" in page
    assert "By group of patients" in page
    assert page.count("data:image/") >= 6
    assert 'src="http' not in page


def test_drift_is_measured_on_what_both_sides_have(finished: EvaluationResult) -> None:
    drift = {entry["column"]: entry for entry in finished.evaluation["drift"]["columns"]}
    assert {"diagnosis", "measured_tone", "brightness", "sharpness"} <= set(drift)
    assert not drift["diagnosis"]["drifted"]
    assert drift["measured_tone"]["distance"] > drift["diagnosis"]["distance"]
    assert "classifier_confidence" in (Path(finished.reference.uri) / "drift.html").read_text()


def test_the_command_repeats_the_numbers_without_real_images(
    finished: EvaluationResult, real: str, synthetic: str, small_config: EvaluateConfig, tmp_path: Path
) -> None:
    app = typer.Typer()
    app.command()(evaluate_command)
    arguments = [
        "--real",
        real,
        "--synthetic",
        synthetic,
        "--output",
        str(tmp_path / "out"),
        "--no-real-images",
        "--json",
    ]
    changed = {name: value for name, value in small_config if name in small_config.model_fields_set}
    for name, value in changed.items():
        arguments += ["--set", f"{name}={value}"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    printed = json.loads(result.stdout[result.stdout.index("{") :])
    assert printed["metrics"] == finished.reference.metrics
    assert printed["report"] == str(tmp_path / "out" / "report.html")
    page = Path(printed["report"]).read_text()
    assert "real images are left out" in page
    assert "nearest real" not in page


def test_an_output_is_never_written_twice(finished: EvaluationResult, real: str, synthetic: str) -> None:
    with pytest.raises(UsageError, match="already holds an evaluation"):
        evaluate(EvaluateConfig(), real, synthetic, finished.reference.uri)


def changed(uri: str, change: Callable[[Sample], Sample | None]) -> list[Sample]:
    return [sample for each in Dataset.open(uri).samples() if (sample := change(each)) is not None]


def test_a_lesion_in_two_splits_is_refused(
    real: str, synthetic: str, small_config: EvaluateConfig, publish: Publish, tmp_path: Path
) -> None:
    leaky = changed(real, lambda s: replace(s, lesion_id="test3") if s.image_id == "real0" else s)
    with pytest.raises(DataError, match="1 values of lesion_id are in both the test and the train split: test3"):
        evaluate(small_config, publish(leaky), synthetic, str(tmp_path / "out"))


def test_test_images_that_training_has_seen_are_left_out(
    real: str, synthetic: str, small_config: EvaluateConfig, publish: Publish
) -> None:
    from lesiongen.evaluation.material import load_material

    test = [sample for sample in Dataset.open(real).samples("test")]
    copies = [replace(sample, image_id=f"copy{k}", split="train") for k, sample in enumerate(test[:5])]
    stolen = publish([*Dataset.open(synthetic).samples(), *copies])
    material = load_material(small_config, Dataset.open(real), Dataset.open(stolen))
    assert material.counts["test_excluded"] == 5
    assert len(material.test) == 55
    assert any("5 test images were left out" in note for note in material.notes)


def test_missing_splits_and_too_few_test_images_are_refused(
    real: str, synthetic: str, small_config: EvaluateConfig, publish: Publish, tmp_path: Path
) -> None:
    unvalidated = publish(changed(real, lambda s: s if s.split != "validation" else None))
    with pytest.raises(DataError, match="has no validation images"):
        evaluate(small_config, unvalidated, synthetic, str(tmp_path / "out"))
    few = publish(changed(real, lambda s: s if s.split != "test" or int(s.image_id[4:]) > 167 else None))
    with pytest.raises(DataError, match="the test split has 6 images, fewer than the 20"):
        evaluate(small_config, few, synthetic, str(tmp_path / "out"))


def test_absent_classes_are_said_and_scored(
    real: str, synthetic: str, small_config: EvaluateConfig, publish: Publish, tmp_path: Path
) -> None:
    part = publish(changed(real, lambda s: s if (s.split, s.diagnosis) != ("test", "bcc") else None))
    made = publish(changed(synthetic, lambda s: s if s.diagnosis != "nv" else None))
    config = small_config.model_copy(update={"seeds": 1, "steps": 4, "subgroups": ()})
    found = evaluate(config, part, made, str(tmp_path / "out")).evaluation
    assert found["utility"]["real"]["per_class"]["bcc"] == {"recall": None, "n": 0, "low": None, "high": None}
    assert found["utility"]["synthetic"]["per_class"]["nv"]["recall"] is not None
    assert found["utility"]["both"]["worst_group"] is None
    assert [note.split(":")[0] for note in found["notes"]] == [
        "No image of bcc is in the test split",
        "No image of nv is in the synthetic images",
    ]
