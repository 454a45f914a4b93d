"""The command ``crossfit``: fold by fold, in parts, and resumed."""

import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from lesiongen.cli.app import app
from lesiongen.crossfit import run
from lesiongen.errors import UsageError
from lesiongen.ingestion import IngestConfig, ingest
from lesiongen.phantoms import PhantomConfig, write_phantoms

pytestmark = pytest.mark.slow
SMALL = ("--preset", "miniature", "--folds", "2", "--set", "evaluate.min_test=2", "--set", "evaluate.image_size=32")


def test_folds_are_evaluated_one_by_one_and_found_again(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_phantoms(PhantomConfig(n=50, size=32, seed=0), Path("images"))
    ingest(IngestConfig(format="image_folder"), "images", "data")
    call = ("crossfit", "data", "--output", "out", *SMALL, "--set", "sample.per_class=1")

    first = CliRunner().invoke(app, [*call, "--fold", "2"])
    assert first.exit_code == 0, first.output
    assert "Not evaluated yet: fold 1." in first.output
    assert {path.name for path in Path("out").iterdir()} == {"settings.json", "fold2"}
    evaluated = Path("out/fold2/evaluation/evaluation.json").read_bytes()

    whole = CliRunner().invoke(app, [*call])
    assert whole.exit_code == 0, whole.output
    assert "both vs real: difference" in whole.output
    assert Path("out/fold2/evaluation/evaluation.json").read_bytes() == evaluated
    page = Path("out/pooled/report.html").read_text()
    assert "tested on 50 real images" in page
    assert "What the parts of the generator lose" in page

    shutil.rmtree("out/fold1/model-checkpoints")  # of a fold that is finished nothing is needed but its evaluation
    for stage in ("take_fold", "caption", "finetune", "sample", "reconstruct", "evaluate"):
        monkeypatch.setattr(run, stage, pytest.fail)
    again = CliRunner().invoke(app, [*call, "--json"])
    assert again.exit_code == 0, again.output
    assert '"balanced_accuracy_both"' in again.output

    other = CliRunner().invoke(app, [*call, "--seed", "1"])
    assert isinstance(other.exception, UsageError)
    assert "has a cross-fitted evaluation with other settings (crossfit, caption" in str(other.exception)


def test_a_stage_that_is_not_configured_and_a_fold_that_there_is_not_are_refused(tmp_path) -> None:
    write_phantoms(PhantomConfig(n=10, size=32, seed=0), tmp_path / "images")
    data = ingest(IngestConfig(format="image_folder"), str(tmp_path / "images"), str(tmp_path / "data")).dataset.uri
    for options, words in (
        (("--set", "gates.min_seeds=3"), "The pipeline crossfit has no stage gates"),
        (("--fold", "3", "--folds", "2"), "fold = 3: must be from 1 to 2"),
        (("--folds", "2", "--set", "crossfit.folds=3"), "crossfit.folds is given twice"),
        (("--set", "evaluate.worst_group=sex=female"), "evaluate.worst_group is for one test split"),
        (("--set", "evaluate.classifiers=[smal]"), "smal"),
        (("--set", "evaluate.family=[both vs real on pad]"), "is on the test set 'pad', which is not given"),
        (
            ("--set", "evaluate.controls=[label-only]", "--set", "evaluate.label_only_images=drawn"),
            "evaluate.label_only_images is for one test split",
        ),
    ):
        refused = CliRunner().invoke(app, ["crossfit", data, "--output", str(tmp_path / "out"), *options])
        assert isinstance(refused.exception, UsageError)
        assert words in str(refused.exception)
    assert not (tmp_path / "out/settings.json").exists(), "a refused call leaves nothing that the next one differs from"
