import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import typer
from PIL import ImageOps
from typer.testing import CliRunner

from lesiongen.cli.evaluate import evaluate_command
from lesiongen.dataset import Dataset, Sample
from lesiongen.errors import DataError, UsageError
from lesiongen.evaluation import EvaluateConfig, evaluate
from lesiongen.evaluation.classifier.conditions import Predictions, best_condition, train_conditions
from lesiongen.evaluation.classifier.kinds.small import SmallKind
from lesiongen.evaluation.evidence import Results
from lesiongen.evaluation.images import LabelledImages
from lesiongen.evaluation.material import Material, at_size, load_material
from lesiongen.evaluation.measures.test_sets import secondary_comparisons, shift
from lesiongen.evaluation.measures.utility import compared
from lesiongen.evaluation.predictions import PREDICTIONS
from lesiongen.evaluation.test_sets import OutsideSet, check_test_sets
from lesiongen.imaging import decode, encode_png
from lesiongen.records.evaluation import read_evaluation
from lesiongen.records.provenance import ReconstructedProvenance
from lesiongen.records.scores import WorstGroup
from tests.evaluation.conftest import COLOURS, sample

Publish = Callable[[list[Sample]], str]
NOBODY = WorstGroup(explanation="No worst group is claimed.")


def fresh(count: int, **columns: object) -> list[Sample]:
    """Images of lesions that no other dataset has, in all three splits."""
    return [
        sample(
            list(COLOURS)[k % 3],
            5000 + k,
            ("train", "validation", "test")[k % 3],
            f"out{k}",
            lesion_id=f"o{k}",
            **columns,
        )
        for k in range(count)
    ]


def test_each_kind_of_overlap_is_left_out_counted_and_named(
    real: str, synthetic: str, small_config: EvaluateConfig, publish: Publish
) -> None:
    ids = {"real95": {"patient_id": "P1"}, "real96": {"case_id": "C1"}}
    learnt = {each.image_id: replace(each, **ids.get(each.image_id, {})) for each in Dataset.open(real).samples()}
    drawn = next(iter(Dataset.open(synthetic).samples()))
    mirrored = encode_png(ImageOps.mirror(decode(learnt["real3"].image)))
    outside = [
        *fresh(24, licence="CC0"),
        sample("nv", 6000, "test", "real5"),
        sample("nv", 6001, "test", "l1", lesion_id=learnt["real100"].lesion_id),
        sample("nv", 6002, "test", "l2", lesion_id="train0"),
        replace(sample("nv", 6003, "train", "copy"), image=drawn.image, patient_id="P7"),
        replace(sample("nv", 6004, "test", "mirrored"), image=mirrored),
        sample("nv", 6005, "test", "same patient", patient_id="P7"),
        replace(sample("nv", 6006, "test", "other"), diagnosis="scc"),
        sample("nv", 6008, "test", "p1", patient_id="P1"),
        sample("nv", 6009, "test", "c1", case_id="C1"),
        # Of the run's own test split: no leak, but said.
        sample("nv", 6007, "test", "tested", lesion_id="test0"),
    ]
    found = load_material(
        small_config,
        Dataset.open(publish([*learnt.values()])),
        Dataset.open(synthetic),
        test_sets={"pad": Dataset.open(publish(outside))},
    )
    pad = found.elsewhere["pad"]
    assert {reason: each.examples for reason, each in pad.left_out.items()} == {
        "image_id": ("real5",),
        "lesion_id": ("l1", "l2"),
        "patient_id": ("p1",),
        "case_id": ("c1",),
        "picture": ("copy", "mirrored"),
        "related": ("same patient",),
        "diagnosis": ("other",),
    }
    assert {name: each.examples for name, each in pad.also_in.items()} == {"test": ("tested",)}
    assert len(pad.images) == 25
    assert pad.licences == ("CC0", "not stated")
    assert found.classes == ("bcc", "mel", "nv")
    assert [note for note in found.notes if "related" in note or "lesion of an image" in note] == [
        "Test set pad: 2 of 34 images were left out: they have the lesion of an image that is learnt from (l1, l2)."
    ]


def test_images_that_two_sets_share_are_said_and_both_are_tested_on(
    real: str, synthetic: str, small_config: EvaluateConfig, publish: Publish, tmp_path: Path
) -> None:
    first, second = fresh(21), [*fresh(1), *(replace(each, image_id=f"b{k}") for k, each in enumerate(apart(20)))]
    sets = {"a": Dataset.open(publish(first)), "b": Dataset.open(publish(second))}
    opened = Dataset.open(real), Dataset.open(synthetic)
    material = load_material(small_config, *opened, test_sets=sets, folder=tmp_path)
    assert [(len(each.images), each.also_in) for each in material.elsewhere.values()] == [
        (21, {"b": material.elsewhere["a"].also_in["b"]}),
        (21, {"a": material.elsewhere["a"].also_in["b"]}),
    ]
    assert material.elsewhere["a"].also_in["b"].examples == ("out0",)
    assert isinstance(material.elsewhere["a"].images.images, np.memmap)
    (tmp_path / "larger").mkdir()
    larger = at_size(material, *opened, 48, tmp_path / "larger").elsewhere["b"].images
    assert larger.images.shape == (21, 48, 48, 3)
    assert larger.table["image_id"].tolist() == material.elsewhere["b"].images.table["image_id"].tolist()


def apart(count: int) -> list[Sample]:
    return [sample("mel", 7000 + k, "test", f"apart{k}", lesion_id=f"apart{k}") for k in range(count)]


def test_generated_images_and_too_few_images_are_refused_before_anything_is_trained(
    real: str, synthetic: str, small_config: EvaluateConfig, publish: Publish, tmp_path: Path
) -> None:
    made = ReconstructedProvenance(model="m", model_version="1" * 64, image_size=32).text()
    generated = publish([*fresh(30), replace(apart(1)[0], provenance=made)])
    with pytest.raises(DataError, match=r"test set pad .*: 1 images are synthetic or reconstructions.*: apart0"):
        evaluate(small_config, real, synthetic, str(tmp_path / "out"), test_sets={"pad": generated})
    copies = [replace(each, split="test") for each in Dataset.open(real).samples("train")]
    with pytest.raises(DataError, match="has 19 usable images, fewer than the 20") as refused:
        evaluate(
            small_config, real, synthetic, str(tmp_path / "out"), test_sets={"pad": publish([*copies, *fresh(19)])}
        )
    assert "90 images: they have the id of an image that is learnt from (real0, real1," in str(refused.value.hint)


@pytest.mark.parametrize("name", ["", "a b", "test", "small", "../x"])
def test_names_that_would_be_mistaken_are_refused(name: str) -> None:
    with pytest.raises(UsageError, match="the name must begin with a letter or digit"):
        check_test_sets(EvaluateConfig(), {name: "somewhere"})


def test_a_family_names_only_test_sets_that_are_given() -> None:
    config = EvaluateConfig(family=("both vs real", "both vs real, worst group on pad"))
    check_test_sets(config, {"pad": "somewhere"})
    with pytest.raises(UsageError, match="'both vs real, worst group on pad' is on the test set 'pad', which is not"):
        check_test_sets(config, {"isic": "somewhere"})


def images_of(labels: list[int]) -> LabelledImages:
    table = pd.DataFrame({"image_id": [f"i{k}" for k in range(len(labels))], "lesion_id": None})
    return LabelledImages(np.empty((len(labels), 0, 0, 3), np.uint8), np.array(labels, dtype=np.int64), table)


def results(config: EvaluateConfig, real: str, own: Mapping[str, list[int]], there: Mapping[str, list[int]]) -> Results:
    """Two classes and a third that only the own test split holds; one classifier a condition, sure of its answers."""
    sets = {"pad": OutsideSet(Dataset.open(real), images_of(there["labels"]), (), {}, {})}
    none = images_of([])
    material = Material(("bcc", "mel", "nv"), none, none, images_of(own["labels"]), none, {}, elsewhere=sets)

    def said(answers: list[int]) -> np.ndarray:
        return np.eye(3, dtype=np.float32)[answers][None]

    outcomes = {
        name: Predictions(said(own[name]), said([]), [1.0], [1], elsewhere={"pad": said(there[name])})
        for name in ("real", "both")
    }
    return Results(config, material, outcomes)


OWN = {"labels": [0, 0, 1, 1, 2, 2], "real": [0, 0, 1, 0, 0, 0], "both": [0, 0, 1, 0, 0, 0]}
THERE = {"labels": [0] * 12 + [1] * 12, "real": [2] * 24, "both": [0] * 12 + [1] * 6 + [2] * 6}


def test_shift_is_over_the_diagnoses_that_both_hold(real: str) -> None:
    found = results(EvaluateConfig(), real, OWN, THERE)
    changed = shift(found, found.on("pad"), "both")
    # Own: (1 + 1/2) / 2 over bcc and mel; nv, always missed there, is not in the set. There: (1 + 1/2) / 2.
    assert changed.classes == ("bcc", "mel")
    assert (changed.own, changed.there, changed.difference.value) == (0.75, 0.75, 0.0)
    assert shift(found, found.on("pad"), "real").difference.value == -0.75
    # Resampled apart: two own mel images alone move it by a half.
    assert changed.difference.low is not None
    assert changed.difference.low < -0.3 < 0.3 < changed.difference.high


def test_a_comparison_is_significant_only_where_the_family_declares_it(real: str) -> None:
    # On the set "both" is right in 18 images of 24 that "real" misses: p is about 2 ** -17.
    undeclared = results(EvaluateConfig(family=("both vs real",)), real, OWN, THERE)
    [own] = compared(undeclared, undeclared.outcomes, NOBODY)
    assert (own.difference, own.p_holm, own.family) == (0.0, 1.0, 1)
    [secondary] = secondary_comparisons(undeclared.on("pad"), NOBODY)
    assert (secondary.name, secondary.difference, secondary.n) == ("both vs real on pad", 0.75, 24)
    assert secondary.p_value == pytest.approx(1 / 10_001)
    assert (secondary.p_holm, secondary.family, secondary.significant) == (None, None, False)
    declared = results(EvaluateConfig(family=("both vs real", "both vs real on pad")), real, OWN, THERE)
    first, second = compared(declared, declared.outcomes, NOBODY)
    assert first.p_value == own.p_value
    assert (second.name, second.difference, second.family, second.significant) == ("both vs real on pad", 0.75, 2, True)
    assert second.p_holm == pytest.approx(2 * second.p_value)
    assert secondary_comparisons(declared.on("pad"), NOBODY) == ()


def test_the_worst_group_is_compared_where_a_set_has_enough_images_of_it(real: str) -> None:
    config = EvaluateConfig(family=("both vs real, worst group on pad",), min_worst_group=12)
    found = results(config, real, OWN, THERE)
    table = found.material.elsewhere["pad"].images.table
    worst = WorstGroup(column="sex", group="female")
    found.material.test.table["sex"] = "female"
    table["sex"] = ["female"] * 12 + ["male"] * 12
    [enough] = compared(found, found.outcomes, worst)
    assert (enough.metric, enough.difference, enough.n) == ("recall", 1.0, 12)
    table["sex"] = ["female"] * 11 + ["male"] * 13
    [few] = compared(found, found.outcomes, worst)
    assert few.not_computed == "The worst group has 11 images in the test set pad; 12 are needed (min_worst_group)."
    assert few.family == 0


@pytest.mark.slow
def test_sets_are_reported_apart(
    real: str, synthetic: str, small_config: EvaluateConfig, publish: Publish, tmp_path: Path
) -> None:
    pad = publish([each for each in fresh(36, skin_tone="3", skin_tone_scale="fitzpatrick") if each.diagnosis != "bcc"])
    config = small_config.changed(n_seeds=1, steps=6, family=("both vs real", "synthetic vs real on pad"))
    app = typer.Typer()
    app.command()(evaluate_command)
    arguments = ["--real", real, "--synthetic", synthetic, "--output", str(tmp_path / "out"), "--test", f"pad={pad}"]
    for name, value in {name: value for name, value in config if name in config.model_fields_set}.items():
        arguments += ["--set", f"{name}={json.dumps(value)}"]
    done = CliRunner().invoke(app, [*arguments, "--json"])
    assert done.exit_code == 0, done.output
    metrics = json.loads(done.stdout[done.stdout.index("{") :])["metrics"]
    found = read_evaluation((tmp_path / "out" / "evaluation.json").read_bytes(), "evaluation.json")
    there = found.test_sets["pad"]
    assert (there.uri, there.n, there.lesions) == (pad, 24, 24)
    assert there.per_class == {"bcc": 0, "mel": 12, "nv": 12}
    assert there.utility["both"].per_class["bcc"].recall is None
    assert metrics["balanced_accuracy_both_pad"] == there.utility["both"].balanced_accuracy.mean
    assert [entry.name for entry in found.comparisons] == ["both vs real", "synthetic vs real on pad"]
    assert [entry.name for entry in there.comparisons] == ["both vs real on pad"]
    assert [entry.group for entry in there.utility["real"].subgroups] == ["fitzpatrick 3"]
    page = (tmp_path / "out" / "report.html").read_text()
    for title in ("Outside test sets", "Test set pad", "Secondary comparisons", "On the test set pad, trained on"):
        assert title in page
    rows = pq.read_table(tmp_path / "out" / PREDICTIONS).to_pandas()
    own = rows[rows["split"] == "outside:pad"]
    assert len(own) == 3 * 24
    assert not set(own["image_id"]) & set(rows[rows["split"] == "test"]["image_id"])

    with pytest.raises(UsageError, match="already holds an evaluation"):
        evaluate(config, real, synthetic, str(tmp_path / "out"), test_sets={"pad": real})


def test_no_classifier_depends_on_a_test_set(real: str, synthetic: str, small_config: EvaluateConfig) -> None:
    config = small_config.changed(n_seeds=1, steps=2)
    material = load_material(config, Dataset.open(real), Dataset.open(synthetic))
    given = OutsideSet(Dataset.open(real), material.train, (), {}, {})
    with_set = replace(material, elsewhere={"pad": given})
    kind = SmallKind(config)
    plain, beside = (train_conditions(config, each, kind, "small").outcomes for each in (material, with_set))
    for condition, outcome in plain.items():
        assert (outcome.probabilities == beside[condition].probabilities).all()
        assert outcome.validation == beside[condition].validation
        assert beside[condition].elsewhere["pad"].shape == (1, 90, 3)
    assert best_condition(plain) == best_condition(beside)
