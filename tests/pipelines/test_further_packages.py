"""The pipelines drift, evaluate, synthesise and crossfit: what they compile to, and what a run is asked for with."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from lesiongen.config import parse_config
from lesiongen.dataset import DatasetWriter, Sample
from lesiongen.errors import UsageError
from pipelines.checks import check_arguments
from pipelines.compiling import compile_pipeline
from pipelines.definition import find_pipeline
from pipelines.kubeflow.package import Package, check_parameters
from pipelines.settings import CompileSettings

CONFIGURED = {
    "drift": {"ingest_config", "validate_config", "drift_config"},
    "evaluate": {"evaluate_config"},
    "synthesise": {"sample_config"},
    "crossfit": {
        "crossfit",
        "caption_config",
        "finetune_config",
        "sample_config",
        "reconstruct_config",
        "evaluate_config",
    },
}
INPUTS = {
    "drift": {"source", "format", "source_revision", "reference"},
    "evaluate": {"real", "synthetic"},
    "synthesise": {"model", "dataset"},
    "crossfit": {"dataset", "folds"},
}


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Gives a function that compiles a pipeline, once, and reads it."""
    folder, known = tmp_path_factory.mktemp("packages"), {}

    def compiled(name: str, **settings: Any) -> Package:
        key = (name, *sorted(settings.items()))
        if key not in known:
            path = folder / f"{name}-{len(known)}.yaml"
            known[key] = Package.read(compile_pipeline(name, CompileSettings(**settings), path))
        return known[key]

    return compiled


def tasks_of(package: Package) -> dict[str, Any]:
    found: dict[str, Any] = package.spec["components"]["comp-exit-handler-1"]["dag"]["tasks"]
    return found


@pytest.mark.parametrize("name", INPUTS)
def test_a_package_takes_the_addresses_of_what_exists_and_the_configurations(package: Any, name: str) -> None:
    common = {"name", "root", "seed", "services", "storage_secret"}
    assert set(package(name).inputs) == INPUTS[name] | CONFIGURED[name] | common


def test_drift_is_judged_after_validation_and_never_cached(package: Any) -> None:
    tasks = tasks_of(package("drift"))
    assert "require-passed" in tasks["drift"]["dependentTasks"]
    assert tasks["require-passed-2"]["dependentTasks"] == ["drift"]
    assert {name: bool(task["cachingOptions"]) for name, task in tasks.items()} == {
        "open-dataset": True,
        "ingest": False,
        "validate": True,
        "require-passed": False,
        "drift": False,
        "require-passed-2": False,
    }


@pytest.mark.parametrize(
    ("name", "last"),
    [("drift", "require-passed"), ("evaluate", "complete"), ("synthesise", "complete"), ("crossfit", "complete")],
)
def test_the_step_by_which_the_end_is_told_is_the_last_and_never_cached(package: Any, name: str, last: str) -> None:
    tasks = tasks_of(package(name))
    finish = package(name).spec["root"]["dag"]["tasks"]["finish"]["inputs"]["parameters"]
    assert finish["last"] == {"runtimeValue": {"constant": last}}
    waited_for = {each for task in tasks.values() for each in task.get("dependentTasks", ())}
    [end] = set(tasks) - waited_for
    assert tasks[end]["componentRef"]["name"].startswith(f"comp-{last}")
    assert not tasks[end]["cachingOptions"]


def test_parts_are_drawn_side_by_side(package: Any) -> None:
    tasks = tasks_of(package("synthesise", sample_parts=3))
    [loop] = [name for name in tasks if name.startswith("for-loop")]
    assert set(tasks) == {"open-model", "open-dataset", loop, "join-samples", "complete"}
    assert tasks[loop]["parameterIterator"]["items"] == {"raw": '["1/3", "2/3", "3/3"]'}
    assert tasks["complete"]["dependentTasks"] == ["join-samples"]


def test_folds_run_side_by_side_and_are_pooled(package: Any) -> None:
    tasks = tasks_of(package("crossfit"))
    [loop] = [name for name in tasks if name.startswith("for-loop")]
    assert set(tasks) == {"open-dataset", loop, "pool-folds", "complete"}
    inner = package("crossfit").spec["components"][tasks[loop]["componentRef"]["name"]]["dag"]["tasks"]
    assert set(inner) == {"take-fold", "caption", "finetune", "sample", "reconstruct", "evaluate"}
    assert package("crossfit").spec["root"]["inputDefinitions"]["parameters"]["folds"]["defaultValue"] == [
        1,
        2,
        3,
        4,
        5,
    ]
    assert tasks["pool-folds"]["inputs"]["artifacts"]["evaluations"]["taskOutputArtifact"]["producerTask"] == loop


def test_the_stages_of_a_fold_are_not_shared_out(package: Any) -> None:
    with pytest.raises(UsageError, match="The pipeline crossfit does not share out its stage sample"):
        package("crossfit", sample_parts=2)


def test_an_accelerator_is_for_drawing_alone(package: Any) -> None:
    executors = package("synthesise", accelerator="nvidia.com/gpu").spec["deploymentSpec"]["executors"]
    asking = {name for name, each in executors.items() if "accelerator" in each["container"].get("resources", {})}
    assert asking == {"exec-sample"}
    for name in ("drift", "evaluate"):
        with pytest.raises(UsageError, match=f"No step of the pipeline {name} uses an accelerator"):
            package(name, accelerator="nvidia.com/gpu")


@pytest.fixture
def asked(tmp_path: Path) -> dict[str, dict[str, Any]]:
    """What a run of each is asked for with, from folders of this machine."""
    (tmp_path / "images").mkdir()
    with DatasetWriter(str(tmp_path / "data"), name="data") as writer:
        writer.add(Sample(image=b"x", image_id="1", diagnosis="nv", split="train"))
    data = str(tmp_path / "data")
    common = {"preset": "miniature", "root": str(tmp_path / "root")}
    return {
        "drift": {**common, "source": str(tmp_path / "images"), "format": "image_folder", "reference": data},
        "evaluate": {**common, "real": data, "synthetic": data},
        "synthesise": {**common, "model": "s3://bucket/model", "dataset": data, "sample_parts": 2},
        "crossfit": {**common, "dataset": data, "config": {"crossfit": {"folds": 3}}},
    }


@pytest.mark.parametrize("name", INPUTS)
def test_a_run_has_the_addresses_and_the_presets_configurations(
    asked: dict[str, dict[str, Any]], package: Any, name: str
) -> None:
    request = parse_config(find_pipeline(name).request, asked[name])
    arguments = request.arguments()
    check_arguments(arguments)
    assert set(arguments) == set(package(name).inputs) - {"services", "storage_secret"}
    assert {arguments[field] for field in INPUTS[name] - {"folds"}} >= set(request.existing())


@pytest.mark.parametrize(
    ("name", "changes", "words"),
    [
        ("drift", {"reference": "/nowhere/data"}, "/nowhere/data does not exist"),
        ("drift", {"source": "/nowhere/images"}, "/nowhere/images does not exist"),
        ("drift", {"config": {"drift": {"max_drifted_share": 2}}}, "DriftConfig: max_drifted_share = 2"),
        ("drift", {"config": {"sample": {}}}, "drift has no stage sample"),
        ("evaluate", {"synthetic": "/nowhere/drawn"}, "/nowhere/drawn does not exist"),
        ("evaluate", {"real": "gs://bucket/real"}, "gs://bucket/real"),
        ("synthesise", {"model": "/nowhere/model"}, "/nowhere/model contains no _model.json"),
        ("synthesise", {"dataset": "s3:///x"}, "names no bucket"),
        ("synthesise", {"config": {"sample": {"per_class": 0}}}, "SampleConfig: per_class = 0"),
        ("crossfit", {"dataset": "/nowhere/data"}, "/nowhere/data does not exist"),
        ("crossfit", {"config": {"crossfit": {"folds": 1}}}, "CrossfitConfig: folds = 1"),
    ],
)
def test_what_cannot_be_run_is_refused_before_a_step_starts(
    asked: dict[str, dict[str, Any]], name: str, changes: dict[str, Any], words: str
) -> None:
    with pytest.raises(UsageError, match=words):
        check_arguments(parse_config(find_pipeline(name).request, asked[name] | changes).arguments())


@pytest.mark.parametrize("name", INPUTS)
def test_a_folder_of_this_machine_is_refused_before_anything_is_sent(package: Any, name: str) -> None:
    given = {field: "s3://bucket/data" for field in INPUTS[name] - {"format", "folds"}}
    given |= {"format": "isic"} if name == "drift" else {}
    check_parameters(package(name), given)
    wrong = {"drift": "reference", "evaluate": "synthetic", "synthesise": "model", "crossfit": "dataset"}[name]
    with pytest.raises(UsageError, match="/data/own is on this machine, and the cluster cannot read it"):
        check_parameters(package(name), given | {wrong: "/data/own"})


def test_the_stored_packages_name_their_pipelines() -> None:
    for name in INPUTS:
        spec = next(yaml.safe_load_all(Path(__file__).with_name(f"{name}.yaml").read_text()))
        assert spec["pipelineInfo"]["name"] == f"lesiongen-{name}"
