"""The drift of a dataset: its distances, what chance makes of them, the limits, and the command."""

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from components.drift.component import drift as drift_step
from components.require_passed.component import require_passed as require_passed_step
from lesiongen.cli.app import app
from lesiongen.dataset import Dataset, Sample
from lesiongen.errors import DataError, UsageError
from lesiongen.evaluation import DriftConfig, drift
from lesiongen.evaluation.chance import chance_distances, distances
from lesiongen.evaluation.measures.drift import measure_drift
from lesiongen.records.drift import DriftReport
from lesiongen.records.verdict import require_passed
from lesiongen.references import write_reference
from tests.evaluation.conftest import COLOURS, sample, write

SYNTHETIC = json.dumps({"image_manipulation": "synthetic"})


def images(count: int, first: int, **columns: object) -> list[Sample]:
    known = {"image_type": "dermoscopic", **columns}
    return [
        sample(list(COLOURS)[seed % 3], seed, "train", f"image{seed}", lesion_id=f"lesion{seed // 2}", **known)
        for seed in range(first, first + count)
    ]


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write(tmp_path_factory.mktemp("drift") / "reference", images(120, 0, sex="female"))


@pytest.fixture
def config() -> DriftConfig:
    return DriftConfig(image_size=32, n_permutations=100)


def test_images_of_the_same_kind_pass(reference: str, config: DriftConfig, tmp_path: Path) -> None:
    result = drift(config, reference, write(tmp_path / "more", images(60, 200)), str(tmp_path / "out"))
    found = result.drift
    assert result.passed
    assert found.reasons == ()
    assert found.images == {"reference": 120, "dataset": 60}
    assert found.absent["sex"] == f"not recorded in {found.sources['dataset'].uri}"
    assert found.absent["device"] == f"not recorded in {reference} and {found.sources['dataset'].uri}"
    assert {"diagnosis", "image_type", "brightness", "sharpness"} == {one.name for one in found.properties} - {
        "contrast",
        "redness",
    }
    # Of 60 images chance alone makes a larger distance than evidently's threshold.
    assert next(one.limit for one in found.properties if one.name == "brightness") > config.threshold
    assert {tuple(one.known.values()) for one in found.properties} == {(120, 60)}
    require_passed(result.verdict)


def test_a_property_that_few_images_record_is_not_compared_and_its_limit_fails(
    reference: str, config: DriftConfig, tmp_path: Path
) -> None:
    few = write(tmp_path / "few", [*images(10, 200, sex="female"), *images(50, 300)])
    result = drift(config.changed(max_distances={"sex": 0.5, "skin_tone": 0.5}), reference, few, str(tmp_path / "out"))
    sex = f"known of 10 images of {few}, fewer than min_images (50)"
    assert result.drift.absent["sex"] == sex
    assert result.drift.reasons == (
        f"sex has a limit and is {sex}",
        f"skin_tone has a limit and is not recorded in {reference} and {few}",
    )
    assert not result.passed


def test_the_steps_of_the_pipeline_let_pass_what_is_within_the_limits(
    reference: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old, new, metrics, report, verdict = (
        SimpleNamespace(path=str(tmp_path / name), metadata={})
        for name in ("old", "new", "metrics", "report", "verdict")
    )
    for artifact, uri in ((old, reference), (new, write(tmp_path / "more", images(60, 200)))):
        write_reference(Dataset.open(uri).reference(), artifact.path)
    fields = {"image_size": 32, "n_permutations": 100, "properties": ["diagnosis", "brightness"]}
    drift_step.python_func(
        root=str(tmp_path / "root"), name="new", seed=0, config=fields,
        reference=old, dataset=new, metrics=metrics, report=report, verdict=verdict,
    )  # fmt: skip
    require_passed_step.python_func(final=True, verdict=verdict)
    assert metrics.metadata["passed"] == report.metadata["passed"] == verdict.metadata["passed"] == 1
    assert "Passed: the dataset is within the limits." in Path(report.path).read_text()
    assert "ERROR" not in capsys.readouterr().out


def test_images_of_another_kind_fail_and_the_page_says_which_limit(
    reference: str, config: DriftConfig, tmp_path: Path
) -> None:
    others = [replace(one, diagnosis="nv", image_type="clinical") for one in images(60, 1)]
    result = drift(config, reference, write(tmp_path / "others", others), str(tmp_path / "out"))
    assert not result.passed
    assert {one.name for one in result.drift.properties if one.drifted} == {"diagnosis", "image_type"}
    with pytest.raises(DataError, match=r"(?s)others has drifted from .*reference\n  \d of \d properties have drifted"):
        require_passed(result.verdict)
    assert "max_drifted_share allows 25%" in Path(result.report).read_text()
    stored = json.loads((tmp_path / "out" / "drift.json").read_text())
    assert DriftReport.model_validate(stored) == result.drift
    assert "image_type" in (tmp_path / "out" / "drift.html").read_text()
    assert result.metrics["drift_share"] == result.drift.share_drifted


def test_a_property_has_a_limit_of_its_own(reference: str, config: DriftConfig, tmp_path: Path) -> None:
    dataset = write(tmp_path / "more", [replace(one, diagnosis="nv") for one in images(60, 200)])
    lenient = config.changed(properties=("diagnosis",), max_drifted_share=0.99, threshold=9)
    assert drift(lenient, reference, dataset, str(tmp_path / "lenient")).passed
    strict = lenient.changed(max_distances={"diagnosis": 0.2})
    [reason] = drift(strict, reference, dataset, str(tmp_path / "strict")).drift.reasons
    assert reason.startswith("diagnosis is at a distance of 0.56")


def test_synthetic_images_are_left_out_and_too_few_real_ones_are_refused(
    reference: str, config: DriftConfig, tmp_path: Path
) -> None:
    mixed = write(tmp_path / "mixed", [*images(20, 200), *images(40, 300, provenance=SYNTHETIC)])
    with pytest.raises(DataError, match="has 20 real images, fewer than the 50"):
        drift(config, reference, mixed, str(tmp_path / "out"))
    result = drift(config.changed(min_images=20), reference, mixed, str(tmp_path / "out"))
    assert result.drift.images["dataset"] == 20
    assert result.drift.synthetic == {"reference": 0, "dataset": 40}


def test_two_datasets_without_a_common_property_are_refused(
    reference: str, config: DriftConfig, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match="have no property in common.*\n.*device is not recorded"):
        drift(config.changed(properties=("device",)), reference, reference, str(tmp_path / "out"))


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"properties": ["colour"]}, r"DriftConfig: properties\.0 = 'colour'"),
        ({"max_distances": {"sex": 0}}, "the distance of sex must be greater than 0"),
        (
            {"properties": ["sex"], "max_distances": {"skin_tone": 0.5}},
            "skin_tone has a limit and is missing in properties",
        ),
        ({"max_drifted_share": 1}, "DriftConfig: max_drifted_share = 1"),
    ],
)
def test_a_wrong_limit_is_refused(fields: dict[str, object], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        DriftConfig().changed(**fields)


def test_distances_are_those_of_evidently(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    labels = [["bcc", "mel", "nv", None][k] for k in rng.integers(0, 4, 90)]
    reference = pd.DataFrame({"diagnosis": labels, "contrast": rng.normal(size=90)})
    current = pd.DataFrame({"diagnosis": labels[:40], "contrast": rng.normal(0.3, size=40)})
    ours = distances((reference, current), ("diagnosis",))
    theirs = measure_drift(reference, current, tmp_path / "drift.html").columns
    assert {one.column: pytest.approx(one.distance, abs=1e-9) for one in theirs} == ours


def test_many_images_of_one_lesion_count_as_one_when_chance_is_judged() -> None:
    """200 images of ten lesions are hardly more than ten images."""
    rng = np.random.default_rng(0)
    alone = pd.DataFrame({"brightness": rng.normal(size=200)})
    alike = pd.DataFrame({"brightness": np.repeat(rng.normal(size=10), 20)})
    numbers = np.arange(200, dtype=np.int32)
    settings = {"percentile": 99, "n_permutations": 100, "seed": 0}
    as_lesions = chance_distances((alone, alike), (numbers, np.repeat(numbers[:10], 20)), (), **settings)
    as_images = chance_distances((alone, alike), (numbers, numbers), (), **settings)
    assert as_lesions["brightness"] > 2 * as_images["brightness"]


def test_values_that_few_images_record_drift_as_seldom_as_the_percentile_says() -> None:
    """Of 200 new images ten have values, drawn as those of 500 others: about 4 of 40 are above the 90th percentile."""
    drifted = {"sex": 0, "brightness": 0}
    for seed in range(40):
        rng = np.random.default_rng(seed)
        old, new = (
            pd.DataFrame({"sex": rng.choice(["female", "male"], count), "brightness": rng.normal(size=count)})
            for count in (500, 200)
        )
        new = new[:10].reindex(new.index)
        groups = np.arange(500, dtype=np.int32), np.arange(200, dtype=np.int32)
        chance = chance_distances((old, new), groups, ("sex",), percentile=90, n_permutations=100, seed=seed)
        for name, found in distances((old, new), ("sex",)).items():
            drifted[name] += found > chance[name]
    assert 1 <= drifted["brightness"] <= 8
    # Ten values of two categories make few distances, of which none may be above the percentile.
    assert drifted["sex"] <= 8


def test_the_command_ends_with_1_over_a_limit(reference: str, tmp_path: Path) -> None:
    dataset = write(tmp_path / "others", [replace(one, diagnosis="nv") for one in images(60, 200)])
    fixed = [
        "drift",
        dataset,
        "--reference",
        reference,
        "--set",
        "properties=[diagnosis]",
        "--set",
        "n_permutations=100",
    ]
    failed = CliRunner().invoke(app, [*fixed, "--output", str(tmp_path / "out")])
    assert failed.exit_code == 1, failed.output
    assert "1 of 1 properties have drifted (diagnosis)" in failed.stdout
    passed = CliRunner().invoke(app, [*fixed, "--output", str(tmp_path / "out"), "--threshold", "1", "--json"])
    assert passed.exit_code == 0, passed.output
    assert json.loads(passed.stdout)["passed"] is True
