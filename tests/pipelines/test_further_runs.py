"""The pipelines drift, evaluate and crossfit run on this machine, in folders, as their packages are."""

import io
import warnings
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from kfp import components, local

from lesiongen.captions import CaptionConfig, caption
from lesiongen.environment import variables_set
from lesiongen.ingestion import IngestConfig, ingest
from lesiongen.phantoms import PhantomConfig, write_phantoms
from pipelines.checks import check_arguments
from pipelines.compiling import compile_pipeline
from pipelines.crossfit import CrossfitRequest
from pipelines.definition import find_pipeline
from pipelines.drift import DriftRequest
from pipelines.evaluate import EvaluateRequest
from pipelines.runs import RunFolder, RunRequest
from pipelines.settings import CompileSettings
from pipelines.step_log import StepLog, runner_output

pytestmark = pytest.mark.slow


def run(request: RunRequest, home: Path) -> tuple[RunFolder, StepLog]:
    """Runs the compiled package of a request as `run_pipeline` does, without servers."""
    arguments = request.arguments()
    check_arguments(arguments)
    folder = RunFolder.create(home, request)
    asked = request.model_dump(include=set(CompileSettings.model_fields))
    compile_pipeline(request.pipeline, CompileSettings(**asked, retry=False), folder.package)
    local.init(
        local.SubprocessRunner(use_venv=False),
        pipeline_root=str(folder.artifacts),
        workspace_root=str(folder.workspace()),
    )
    log = StepLog(io.StringIO(), folder.log)
    with closing(log), runner_output(log), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of settings that have no effect here
        components.load_component_from_file(str(folder.package))(**arguments)
    return folder, log


def summary_of(request: RunRequest, home: Path) -> Any:
    folder, _ = run(request, home)
    return find_pipeline(request.pipeline).summarise(folder, home)


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    """Steps side by side would wait for one another's threads."""
    with variables_set({"OMP_NUM_THREADS": "1"}):
        yield


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("source") / "images"
    write_phantoms(PhantomConfig(n=40, size=32, seed=0), folder)
    return folder


@pytest.fixture(scope="module")
def captioned(images: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The images as a captioned dataset."""
    folder = tmp_path_factory.mktemp("data")
    dataset = ingest(IngestConfig(format="image_folder"), str(images), str(folder / "data")).dataset.uri
    config = CaptionConfig(writers=("metadata",), tokenizer="tiny")
    return caption(config, dataset, str(folder / "captioned")).dataset.uri


def test_two_datasets_that_exist_are_evaluated(captioned: str, tmp_path: Path) -> None:
    write_phantoms(PhantomConfig(n=10, size=32, seed=1), tmp_path / "others")
    table = tmp_path / "others" / "metadata.csv"
    pd.read_csv(table).assign(image_manipulation="synthetic").to_csv(table, index=False)
    config = IngestConfig(format="image_folder")
    others = ingest(config, str(tmp_path / "others"), str(tmp_path / "synthetic")).dataset.uri
    request = EvaluateRequest(
        real=captioned, synthetic=others, root=str(tmp_path / "root"),
        preset="miniature", config={"evaluate": {"image_size": 32}},
    )  # fmt: skip
    shown = summary_of(request, tmp_path)
    assert "balanced_accuracy_both" in shown.text()
    assert "Evaluation: evaluation" in Path(shown.report).read_text()
    assert Path(shown.contact_sheet).is_file()


def test_a_limit_that_is_exceeded_fails_the_run_and_leaves_the_report(
    images: Path, captioned: str, tmp_path: Path
) -> None:
    limit = {"properties": ["brightness"], "max_distances": {"brightness": 1e-9}, "image_size": 32}
    request = DriftRequest(
        source=str(images), format="image_folder", reference=captioned, root=str(tmp_path / "root"),
        preset="miniature", config={"drift": limit, "ingest": {"limit": 30}},
    )  # fmt: skip
    with pytest.raises(RuntimeError):
        run(request, tmp_path)
    folder = RunFolder.find(tmp_path, "latest")
    words = folder.log.read_text()
    assert "ERROR [require-passed]" in words
    assert "has drifted from" in words
    # Of a step that fails Kubeflow keeps no output: the report is one of the step before.
    shown = find_pipeline("drift").summarise(folder, tmp_path).as_dict()
    assert "Failed: brightness is at a distance of" in Path(shown["report"]).read_text()
    assert shown["reference_uri"] == captioned


def test_a_dataset_is_tested_on_fold_by_fold(captioned: str, tmp_path: Path) -> None:
    small = {"image_size": 32, "min_test": 2}
    request = CrossfitRequest(
        dataset=captioned, root=str(tmp_path / "root"), preset="miniature",
        config={"crossfit": {"folds": 2, "validation_share": 0.3}, "evaluate": small, "sample": {"per_class": 1}},
    )  # fmt: skip
    assert request.arguments()["folds"] == [1, 2]
    folder, _ = run(request, tmp_path)
    pipeline = find_pipeline("crossfit")
    for step in map(request.publisher, pipeline.stages):
        assert list(folder.artifacts.glob(f"**/{step}/*")), f"{step} is asked for what it leaves"
    shown = pipeline.summarise(folder, tmp_path)
    assert "balanced_accuracy_synthetic" in shown.text()
    page = Path(shown.report).read_text()
    assert "Cross-fitted evaluation: crossfit" in page
    assert "tested on 40 real images" in page
