"""The whole path on generated lesions: stopped half-way, gone on with, and all that it leaves behind."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lesiongen.dataset import Dataset
from lesiongen.mlflow_server import mlflow_client
from lesiongen.stack import Stack, running_stack
from lesiongen.storage import open_storage

pytestmark = pytest.mark.e2e
STAGES = {"ingest", "validate", "caption", "finetune", "sample", "reconstruct", "evaluate", "register", "promote"}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("release") / "mein Zuhause ö"


@pytest.fixture(scope="module")
def results() -> dict[str, Any]:
    """Filled by the first test; the others look at what it left."""
    return {}


@pytest.fixture
def stack_again(home: Path, results: dict[str, Any]) -> Iterator[Stack]:
    if not results:
        pytest.skip("the run did not end")
    with running_stack(home) as stack:
        yield stack


def test_a_run_is_stopped_by_a_signal_and_goes_on(
    run_command: Any, finished: Any, phantoms: Path, home: Path, results: dict[str, Any]
) -> None:
    place = ("--home", str(home))
    first = run_command(
        *place, "--source", str(phantoms), "--format", "image_folder", "--preset", "miniature", "--name", "ph",
        "--caption-parts", "2", "--sample-parts", "2",
    )  # fmt: skip
    first.wait_for("^finetune ")
    first.terminate()
    code, _, errors = first.finish()
    assert code == 75, errors
    assert "The pipeline was stopped" in errors
    assert "Traceback" not in errors.partition("Error:")[2]
    assert not Stack(home).status().pids, "the servers that the run started are still there"

    second = run_command(*place, "--resume", "latest")
    results.update(finished(second))
    shown = (home / "runs" / results["run"] / "pipeline.log").read_text()
    assert shown.count("Executing task 'ingest'") == 1, "a finished step ran again"
    assert [folder.name for folder in (home / "runs").iterdir()] == [results["run"]]


def test_what_the_run_left_behind(stack_again: Stack, results: dict[str, Any], home: Path) -> None:
    """One test, so that the servers start once."""
    # SeaweedFS gives its notes on volumes (.vif) rights of its own; they hold no data, and the home is closed.
    kept = [path for path in home.rglob("*") if path.suffix != ".vif" and not path.is_symlink()]
    assert [str(path) for path in kept if path.lstat().st_mode & 0o077] == []
    _check_datasets(results)
    _check_model_and_evaluation(results)
    _check_registry(results)
    _check_tracking(results)


def test_more_images_are_drawn_with_the_model_by_steps_side_by_side(
    run_command: Any, finished: Any, stack_again: Stack, home: Path, results: dict[str, Any]
) -> None:
    del stack_again  # the servers hold the model and the captions
    more = finished(
        run_command(
            "synthesise", "--home", str(home), "--model", results["model_uri"], "--dataset", results["dataset_uri"],
            "--sample-parts", "2", "--preset", "miniature", "--name", "more", "--seed", "1",
        )
    )  # fmt: skip
    drawn, first = Dataset.open(more["synthetic_uri"]), Dataset.open(results["synthetic_uri"])
    assert (len(drawn), drawn.manifest.name) == (len(first), "more-synthetic")
    assert Path(more["contact_sheet"]).is_file()


def _check_datasets(results: dict[str, Any]) -> None:
    real, synthetic = Dataset.open(results["dataset_uri"]), Dataset.open(results["synthetic_uri"])
    assert len(real) == 140
    assert set(real.manifest.splits) == {"train", "validation", "test"}
    assert all(sample.caption and sample.concepts for sample in real.samples())
    assert set(synthetic.metadata(["split"])["split"]) == {"train"}
    assert len(synthetic) == 2 * len(real.manifest.classes)


def _check_model_and_evaluation(results: dict[str, Any]) -> None:
    model = open_storage(results["model_uri"])
    assert model.read_json("_model.json")["family"]
    assert not [stored.key for stored in model.list() if stored.key.endswith((".bin", ".pt", ".pkl"))]
    evaluation = open_storage(results["report_uri"].removesuffix("/report.html")).read_json("evaluation.json")
    assert set(evaluation["utility"]) == {"real", "synthetic", "both", "reconstruction"}
    page = Path(results["report"]).read_text()
    assert page.count("data:image/") >= 3
    assert "http://" not in page.replace("http://www.w3.org/", "")


def _check_registry(results: dict[str, Any]) -> None:
    assert results["outcome"] in {"PROMOTE", "HOLD", "REJECT"}
    assert len(results["reasons"]) >= 4
    client = mlflow_client()
    challenger = client.get_model_version_by_alias("ph", "challenger")
    assert challenger.version == results["version"] == "1"
    assert challenger.tags["lesiongen.decision"] == results["outcome"]
    assert client.get_registered_model("ph-classifier").name == "ph-classifier"


def _check_tracking(results: dict[str, Any]) -> None:
    client = mlflow_client()
    experiment = client.get_experiment_by_name("lesiongen").experiment_id
    runs = client.search_runs([experiment])
    parents = [run for run in runs if "mlflow.parentRunId" not in run.data.tags]
    assert [run.data.tags["lesiongen.pipeline_run"] for run in parents] == [results["run"]]
    assert parents[0].info.status == "FINISHED"
    ended = {run.info.run_name for run in runs if run.info.status == "FINISHED" and run not in parents}
    assert ended == STAGES
    evaluated = next(run for run in runs if run.info.run_name == "evaluate")
    assert client.list_artifacts(evaluated.info.run_id)
