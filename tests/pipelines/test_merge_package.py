"""The merge pipeline: what it compiles to, and what a run of it is asked for with."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from google.protobuf import json_format
from kfp.pipeline_spec import pipeline_spec_pb2

from lesiongen.config import parse_config
from lesiongen.errors import UsageError
from pipelines.checks import check_arguments
from pipelines.compiling import compile_pipeline
from pipelines.merge import MergeRequest
from pipelines.runs import RunFolder
from pipelines.settings import CompileSettings


@pytest.fixture(scope="module")
def spec(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    path = compile_pipeline("merge", CompileSettings(), tmp_path_factory.mktemp("package") / "merge.yaml")
    compiled: dict[str, Any] = next(yaml.safe_load_all(path.read_text()))
    return compiled


def test_the_package_is_a_pipeline_with_the_inputs_that_the_documentation_names(spec: dict[str, Any]) -> None:
    json_format.ParseDict(spec, pipeline_spec_pb2.PipelineSpec())
    inputs = spec["root"]["inputDefinitions"]["parameters"]
    assert {name: declared["parameterType"] for name, declared in inputs.items()} == {
        **dict.fromkeys(("name", "root", "services", "storage_secret"), "STRING"),
        **{f"{stage}_config": "STRUCT" for stage in ("ingest", "validate", "merge")},
        "collections": "LIST",
        "seed": "NUMBER_INTEGER",
    }


def test_nothing_is_merged_before_every_collection_has_passed_and_the_whole_is_checked(spec: dict[str, Any]) -> None:
    tasks = spec["components"]["comp-exit-handler-1"]["dag"]["tasks"]
    [loop] = [name for name in tasks if name.startswith("for-loop")]
    of_each = spec["components"][f"comp-{loop}"]["dag"]["tasks"]
    assert set(of_each) == {"ingest", "validate", "require-passed"}
    assert tasks[loop]["parameterIterator"]["items"] == {"inputParameter": "pipelinechannel--collections"}
    assert tasks["merge"]["dependentTasks"] == [loop]
    assert tasks["validate-2"]["dependentTasks"] == ["merge"]
    assert tasks["require-passed-2"]["dependentTasks"] == ["validate-2"]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"caption_parts": 2}, "pipeline merge has no stage caption"),
        ({"accelerator": "nvidia.com/gpu"}, "No step of the pipeline merge uses an accelerator"),
    ],
)
def test_settings_without_effect_are_refused(tmp_path: Path, settings: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        compile_pipeline("merge", CompileSettings(**settings), tmp_path / "merge.yaml")


@pytest.fixture
def asked(tmp_path: Path) -> dict[str, Any]:
    """What a run of two collections is asked for with."""
    collections = []
    for name in ("own", "other"):
        (tmp_path / name).mkdir()
        collections.append({"dataset": name, "format": "image_folder", "source": str(tmp_path / name)})
    return {"collections": collections, "preset": "miniature", "root": str(tmp_path / "root")}


def test_a_run_has_the_collections_with_their_revisions_and_the_configurations(asked: dict[str, Any]) -> None:
    request = parse_config(MergeRequest, {**asked, "config": {"merge": {"duplicates": "keep"}}})
    arguments = request.arguments()
    check_arguments(arguments)
    assert [one["dataset"] for one in arguments["collections"]] == ["own", "other"]
    assert all(len(one["source_revision"]) == 16 for one in arguments["collections"])
    assert arguments["merge_config"] == {"duplicates": "keep"}
    assert arguments["validate_config"] == {"min_test": 5}
    assert not {"source", "format", "finetune_config"} & set(arguments)


def test_a_run_is_found_again_as_one_of_its_pipeline(tmp_path: Path, asked: dict[str, Any]) -> None:
    request = parse_config(MergeRequest, asked)
    assert RunFolder.create(tmp_path / "home", request).request() == request


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"collections": []}, "MergeRequest: collections must hold at least two"),
        ({"config": {"ingest": {"name": "x"}}}, "ingest.name belongs to each collection"),
        ({"config": {"ingest": {"format": "isic"}}}, "ingest.format belongs to each collection"),
        ({"config": {"ingest": {"seed": 3}}}, "ingest.seed belongs to the whole run"),
        ({"config": {"finetune": {"steps": 3}}}, "merge has no stage finetune"),
        ({"config": {"merge": {"duplicate": "keep"}}}, "MergeConfig: unknown field duplicate"),
        ({"config": {"merge": {"name": "a b"}}}, "MergeConfig: name"),
    ],
)
def test_what_cannot_be_run_is_refused(asked: dict[str, Any], changes: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        check_arguments(parse_config(MergeRequest, {**asked, **changes}).arguments())


def test_a_collection_that_is_wrong_is_refused(asked: dict[str, Any]) -> None:
    own, other = asked["collections"]
    wrong = {"two collections have the name own": {"dataset": "own"}, "IngestConfig: format": {"format": "tiff"}}
    for words, change in wrong.items():
        with pytest.raises(UsageError, match=words):
            check_arguments(parse_config(MergeRequest, {**asked, "collections": [own, other | change]}).arguments())


def test_of_a_wrong_collection_nothing_else_is_said(asked: dict[str, Any]) -> None:
    own, other = asked["collections"]
    with pytest.raises(UsageError) as refused:
        parse_config(MergeRequest, {**asked, "collections": [own, other | {"licence": "CC0"}]})
    assert str(refused.value).splitlines()[0] == "MergeRequest: unknown field collections.1.licence"
