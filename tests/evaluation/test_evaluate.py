import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import typer
from typer.testing import CliRunner

from lesiongen.cli.evaluate import evaluate_command
from lesiongen.dataset import Dataset, Sample
from lesiongen.errors import DataError, UsageError
from lesiongen.evaluation import EvaluateConfig, EvaluationResult, evaluate, load_classifier, stage
from lesiongen.records.evaluation import read_evaluation
from lesiongen.records.scores import ClassRecall
from tests.records.completeness import absent

Publish = Callable[[list[Sample]], str]


@pytest.fixture(scope="module")
def finished(
    real: str, synthetic: str, small_config: EvaluateConfig, tmp_path_factory: pytest.TempPathFactory
) -> EvaluationResult:
    return evaluate(small_config, real, synthetic, str(tmp_path_factory.mktemp("evaluation")))


@pytest.mark.slow
def test_every_condition_is_scored_on_the_real_test_split(finished: EvaluationResult) -> None:
    found = finished.evaluation
    assert read_evaluation((Path(finished.reference.uri) / "evaluation.json").read_bytes(), "evaluation.json") == found
    assert found.schema_version == 1
    stored = json.loads((Path(finished.reference.uri) / "evaluation.json").read_text())
    assert stored["utility"]["both"]["balanced_accuracy"]["mean"] == found.scores("both").balanced_accuracy.mean
    # No measure of this project has an entry of its own; neither reconstructions nor anything further was asked for.
    assert set(absent(found)) == {
        ".further",
        ".further_classifiers",
        ".comparisons.not_computed",
        ".reconstruction",
        ".protocol.reconstruction",
        ".protocol.both.synthetic_weight",
        ".controls",
        ".mixing_curve",
        ".test_sets",
        ".chosen_by",
        ".counts.test_seen",
        ".counts.validation_seen",
        ".fidelity.source",
        ".concept_fidelity.scorer_source",
    }, "a writer left a field out"
    assert list(found.utility) == ["real", "synthetic", "both"]
    for scores in found.utility.values():
        assert len(scores.balanced_accuracy.per_seed) == 2
        assert scores.balanced_accuracy.low <= scores.balanced_accuracy.mean
        assert scores.balanced_accuracy.mean > 0.6
        assert {name: entry.n for name, entry in scores.per_class.items()} == {"bcc": 20, "mel": 20, "nv": 20}
    assert found.counts.test.n == 60
    assert found.counts.test_lesions == 30
    assert [entry.name for entry in found.comparisons] == found.config["family"]
    assert [entry.family for entry in found.comparisons] == [3, 3, 3]
    worst = found.worst_group
    assert worst.named_by == "validation"
    assert worst.n_validation >= 10
    groups = {name: scores.worst_group for name, scores in found.utility.items()}
    assert {(each.column, each.group, each.n) for each in groups.values()} == {
        (worst.column, worst.group, worst.n_test)
    }
    difference = groups["both"].recall - groups["real"].recall
    assert found.comparisons[2].difference == pytest.approx(difference)
    assert finished.reference.metrics["difference_both_vs_real_worst_group"] == found.comparisons[2].difference
    assert {entry.column for entry in found.scores("real").intersections} == {"sex, age_band"}
    assert found.scores("real").auroc.mean > 0.6
    assert (found.malignancy.malignant, found.malignancy.benign) == (("bcc", "mel"), ("nv",))
    assert finished.reference.metrics["auroc_malignant_real"] > 0.6
    assert found.memorisation.n_synthetic == 60
    assert found.class_agreement.agreement > 0.6
    columns = {entry.group: entry for entry in found.utility["both"].subgroups}
    assert columns["tan"].too_small
    assert not columns["male"].too_small
    assert found.notes == ("Subgroups by site, skin_tone are not known: the test images hold no value.",)


@pytest.mark.slow
def test_the_files_are_those_that_the_result_names(finished: EvaluationResult) -> None:
    folder = Path(finished.reference.uri)
    written = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert written == {*finished.evaluation.files, "evaluation.json"}
    for name, digest in finished.evaluation.files.items():
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest
    result = (folder / "evaluation.json").read_bytes()
    assert hashlib.sha256(result).hexdigest() == finished.reference.version
    assert load_classifier(folder / "classifier").classes == ("bcc", "mel", "nv")
    assert finished.reference.metrics["balanced_accuracy_both"] > 0.6
    assert not list(folder.rglob("*.pkl"))


@pytest.mark.slow
def test_the_page_tells_the_numbers_and_loads_nothing(finished: EvaluationResult) -> None:
    page = Path(finished.report).read_text()
    both = finished.evaluation.utility["both"].balanced_accuracy.mean
    assert f"a balanced accuracy of {both:.3f}" in page
    for title in ("By group of patients", "Groups by two columns", "Malignant diagnoses", "In the worst group ("):
        assert title in page
    assert page.count("data:image/") >= 6
    assert 'src="http' not in page


@pytest.mark.slow
def test_drift_is_measured_on_what_both_sides_have(finished: EvaluationResult) -> None:
    drift = {entry.column: entry for entry in finished.evaluation.drift.columns}
    assert {"diagnosis", "measured_tone", "brightness", "sharpness"} <= set(drift)
    assert not drift["diagnosis"].drifted
    assert drift["measured_tone"].distance > drift["diagnosis"].distance
    assert "classifier_confidence" in (Path(finished.reference.uri) / "drift.html").read_text()


@pytest.mark.slow
def test_every_synthetic_image_is_listed_with_its_nearest_training_image(
    finished: EvaluationResult, real: str, synthetic: str
) -> None:
    listed = json.loads((Path(finished.reference.uri) / "nearest.json").read_text())
    assert [pair["synthetic"] for pair in listed] == [each.image_id for each in Dataset.open(synthetic).samples()]
    assert {pair["train"] for pair in listed} <= {each.image_id for each in Dataset.open(real).samples("train")}
    found = finished.evaluation.memorisation
    assert sum(pair["above"] for pair in listed) == found.n_above
    assert sorted(listed, key=lambda pair: -pair["similarity"])[:12] == [
        pair.model_dump() for pair in found.nearest_pairs
    ]


def test_a_label_cannot_end_the_script_of_the_drift_page(tmp_path: Path) -> None:
    from lesiongen.evaluation.measures.drift import measure_drift

    label = "</script><script>alert(1)</script>"
    table = pd.DataFrame(
        {"diagnosis": ["nv", label] * 20, "measured_tone": [label, None] * 20, "brightness": range(40)}
    )
    drift = measure_drift(table, table, tmp_path / "drift.html")
    page = (tmp_path / "drift.html").read_text()
    assert "script>alert(1)" in page
    assert "<script>alert(1)" not in page
    assert {entry.distance for entry in drift.columns} == {0.0}
    assert table["diagnosis"][1] == label


@pytest.mark.slow
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


@pytest.mark.slow
def test_an_output_is_never_written_twice(finished: EvaluationResult, real: str, synthetic: str) -> None:
    with pytest.raises(UsageError, match="already holds an evaluation"):
        evaluate(EvaluateConfig(), real, synthetic, finished.reference.uri)


def test_a_file_of_something_else_in_its_place_is_left_alone(real: str, synthetic: str, tmp_path: Path) -> None:
    (tmp_path / "evaluation.json").write_text("[]")
    with pytest.raises(UsageError, match="already holds an evaluation"):
        evaluate(EvaluateConfig(), real, synthetic, str(tmp_path))
    assert (tmp_path / "evaluation.json").read_text() == "[]"


def test_classifiers_train_on_the_cores_of_a_container(
    real: str, synthetic: str, small_config: EvaluateConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    used: list[str] = []

    def load_material(*_: object, **__: object) -> None:
        raise DataError(f"loaded after {used}")

    monkeypatch.setattr(stage, "use_own_cores", lambda: used.append("own cores"))
    monkeypatch.setattr(stage, "load_material", load_material)
    with pytest.raises(DataError, match="loaded after .'own cores'"):
        evaluate(small_config, real, synthetic, str(tmp_path / "out"))


def changed(uri: str, change: Callable[[Sample], Sample | None]) -> list[Sample]:
    return [sample for each in Dataset.open(uri).samples() if (sample := change(each)) is not None]


def test_a_lesion_in_two_splits_is_refused(
    real: str, synthetic: str, small_config: EvaluateConfig, publish: Publish, tmp_path: Path
) -> None:
    leaky = changed(real, lambda s: replace(s, lesion_id="test3") if s.image_id == "real0" else s)
    with pytest.raises(DataError, match="1 values of lesion_id are in both the test and the train split: test3"):
        evaluate(small_config, publish(leaky), synthetic, str(tmp_path / "out"))


@pytest.mark.parametrize("column", ["lesion_id", "patient_id", "case_id"])
@pytest.mark.parametrize(("first", "other"), [("test", "train"), ("test", "validation"), ("validation", "train")])
def test_no_two_splits_share_a_lesion_patient_or_case(
    column: str, first: str, other: str, real: str, synthetic: str, small_config: EvaluateConfig, publish: Publish
) -> None:
    from lesiongen.evaluation.material import load_material

    one_each = {"train": "real0", "validation": "real90", "test": "real114"}
    shared = {one_each[first], one_each[other]}
    leaky = publish(changed(real, lambda s: replace(s, **{column: "both"}) if s.image_id in shared else s))
    with pytest.raises(DataError, match=f"values of {column} are in both the {first} and the {other} split: both"):
        load_material(small_config, Dataset.open(leaky), Dataset.open(synthetic))


def test_validation_images_that_training_has_seen_are_left_out(
    real: str, synthetic: str, small_config: EvaluateConfig, publish: Publish
) -> None:
    from lesiongen.evaluation.material import load_material

    train = {sample.image_id: sample.image for sample in Dataset.open(real).samples("train")}
    copies = {f"real{90 + k}": train[f"real{k}"] for k in range(3)}
    leaky = publish(changed(real, lambda s: replace(s, image=copies.get(s.image_id, s.image))))
    material = load_material(small_config, Dataset.open(leaky), Dataset.open(synthetic))
    assert (material.counts.validation_excluded, len(material.validation)) == (3, 21)
    assert not copies.keys() & set(material.validation.table["image_id"])
    assert material.notes == ["3 validation images were left out: their pixels are also those of a training image."]
    every = publish(changed(real, lambda s: replace(s, image=train["real0"]) if s.split == "validation" else s))
    with pytest.raises(DataError, match="every validation image is also a training image"):
        load_material(small_config, Dataset.open(every), Dataset.open(synthetic))


def test_test_images_that_training_has_seen_are_left_out(
    real: str, synthetic: str, small_config: EvaluateConfig, publish: Publish
) -> None:
    from lesiongen.evaluation.material import load_material

    test = [sample for sample in Dataset.open(real).samples("test")]
    copies = [replace(sample, image_id=f"copy{k}", split="train") for k, sample in enumerate(test[:5])]
    stolen = publish([*Dataset.open(synthetic).samples(), *copies])
    material = load_material(small_config, Dataset.open(real), Dataset.open(stolen))
    assert material.counts.test_excluded == 5
    assert len(material.test) == 55
    assert any("5 test images were left out" in note for note in material.notes)


def test_a_worst_group_that_nobody_is_of_is_refused_before_anything_is_trained(
    real: str, synthetic: str, small_config: EvaluateConfig, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match="worst_group = 'sex=femal': this group has no test images") as refused:
        evaluate(small_config.changed(worst_group="sex=femal"), real, synthetic, str(tmp_path / "out"))
    assert refused.value.hint == "Groups by sex: female, male."


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
    config = small_config.changed(n_seeds=1, steps=4, subgroups=())
    result = evaluate(config, part, made, str(tmp_path / "out"))
    found, page = result.evaluation, Path(result.report).read_text()
    assert "Not computed: both vs real, worst group. No worst group is claimed." in page
    assert found.utility["real"].per_class["bcc"] == ClassRecall(n=0)
    assert found.utility["synthetic"].per_class["nv"].recall is not None
    assert found.utility["both"].worst_group is None
    assert found.worst_group.explanation.startswith("No worst group is claimed: no group of patients has")
    assert found.comparisons[2].not_computed == "No worst group is claimed."
    assert [entry.family for entry in found.comparisons] == [2, 2, 2]
    assert [note.split(":")[0] for note in found.notes] == [
        "No image of bcc is in the test split",
        "No image of nv is in the synthetic images",
    ]
