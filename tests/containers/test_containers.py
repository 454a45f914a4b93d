"""The compiled release pipeline in containers of the image, against real S3 and MLflow servers."""

import io
from pathlib import Path
from typing import Any

import pytest

from lesiongen.dataset import Dataset
from lesiongen.mlflow_server import mlflow_client
from lesiongen.phantoms import PhantomConfig, write_phantoms
from lesiongen.stack import Stack
from lesiongen.storage import open_storage
from pipelines.local import run_pipeline
from pipelines.release import ReleaseRequest
from pipelines.runs import RunFolder
from pipelines.summary import RunSummary

pytestmark = pytest.mark.containers


def _run(engine: Any, image: str, *command: str) -> str:
    return engine.docker("run", "--rm", "--network=none", image, *command)


def test_the_image_runs_as_a_user_without_rights(engine: Any, image: str) -> None:
    assert _run(engine, image, "id", "-u").strip() == "1000"
    _run(engine, image, "sh", "-c", "! touch /opt/lesiongen/x 2> /dev/null && touch $HOME/x")


def test_the_image_holds_the_locked_versions_and_no_tools_of_development(engine: Any, image: str) -> None:
    listed = dict(line.split("==", 1) for line in _run(engine, image, "pip", "freeze").splitlines() if "==" in line)
    locked = (Path(__file__).parents[2] / "constraints.txt").read_text().splitlines()
    wanted = dict(line.split("==", 1) for line in locked)
    assert {name: version.split("+")[0] for name, version in listed.items() if name in wanted} == {
        name: wanted[name] for name in listed if name in wanted
    }
    assert "pytest" not in listed
    assert "kfp" in listed


def test_the_command_line_works_without_a_network(engine: Any, image: str) -> None:
    assert "ingest" in _run(engine, image, "lesiongen", "--help")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def environment(engine: Any, stack: Stack) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {**stack.environment(), "DOCKER_HOST": engine.host}.items():
            patch.setenv(name, value)
        yield


@pytest.fixture(scope="module")
def summary(environment: None, image: str, home: Path, tmp_path_factory: pytest.TempPathFactory) -> RunSummary:
    source = tmp_path_factory.mktemp("source") / "phantoms"
    write_phantoms(PhantomConfig(n=120, size=64, seed=0), source)
    request = ReleaseRequest(
        source=str(source), format="image_folder", preset="miniature", runner="docker", image=image,
        name="contained", root="s3://lesiongen/containers",
    )  # fmt: skip
    screen = io.StringIO()
    try:
        return run_pipeline(request, home=home, screen=screen)
    except Exception:
        pytest.fail(f"the pipeline failed in containers:\n{screen.getvalue()[-8000:]}")


@pytest.fixture
def results(summary: RunSummary, stack_environment: dict[str, str]) -> RunSummary:
    return summary


def test_the_datasets_are_in_s3(results: RunSummary) -> None:
    real, synthetic = Dataset.open(results.dataset_uri), Dataset.open(results.synthetic_uri)
    assert len(real) > 100
    assert all(sample.caption for sample in real.samples("test"))
    assert {sample.source for sample in synthetic.samples()} == {"lesiongen"}


def test_the_generator_is_in_s3(results: RunSummary) -> None:
    keys = {stored.key for stored in open_storage(results.model_uri).list()}
    assert {"_model.json", "model_index.json"} <= keys


def test_the_evaluation_is_in_s3_and_its_report_on_this_machine(results: RunSummary) -> None:
    evaluation = open_storage(results.report_uri.removesuffix("/report.html")).read_json("evaluation.json")
    assert 0 <= evaluation["utility"]["both"]["balanced_accuracy"]["mean"] <= 1
    assert "data:image/" in Path(results.report).read_text()


def test_the_version_and_its_decision_are_in_mlflow(results: RunSummary) -> None:
    version = mlflow_client().get_model_version_by_alias("contained", "challenger")
    assert version.version == results.version
    assert version.tags["lesiongen.decision"] == results.outcome


def test_every_step_ran_as_the_user_of_the_image(results: RunSummary, home: Path) -> None:
    written = [path for path in RunFolder.find(home, results.run).artifacts.rglob("*") if path.is_file()]
    assert len(written) >= 8
    assert {path.stat().st_uid for path in written} == {1000}


def test_the_steps_are_runs_nested_in_one(results: RunSummary) -> None:
    client = mlflow_client()
    experiment = client.get_experiment_by_name("lesiongen")
    parents = client.search_runs([experiment.experiment_id], f"tags.`lesiongen.pipeline_run` = '{results.run}'")
    parents = [run for run in parents if "mlflow.parentRunId" not in run.data.tags]
    assert len(parents) == 1
    nested = client.search_runs([experiment.experiment_id], f"tags.`mlflow.parentRunId` = '{parents[0].info.run_id}'")
    names = {run.info.run_name for run in nested}
    assert names == {"ingest", "validate", "caption", "finetune", "sample", "evaluate", "register", "promote"}
    assert {run.info.status for run in nested} == {"FINISHED"}
