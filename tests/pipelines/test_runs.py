"""What was asked for, and the folder of a run."""

import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from lesiongen.captions import CaptionConfig
from lesiongen.config import parse_config
from lesiongen.diffusion import FinetuneConfig, SampleConfig
from lesiongen.diffusion import presets as diffusion_presets
from lesiongen.errors import StorageError, UsageError
from lesiongen.evaluation import EvaluateConfig
from lesiongen.ingestion import IngestConfig
from lesiongen.merging import MergeConfig
from lesiongen.references import DatasetReference, EvaluationReference, ModelReference, write_reference
from lesiongen.registry import check_name
from pipelines.checks import check_arguments
from pipelines.local import _check_servers, run_pipeline
from pipelines.presets import PRESETS, preset
from pipelines.release import ReleaseRequest
from pipelines.runs import RunFolder
from pipelines.source import source_revision
from pipelines.summary import summarise


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "images"
    folder.mkdir()
    (folder / "metadata.csv").write_text("file_name,dx\n")
    return folder


def test_the_preset_fills_what_was_not_changed(source: Path) -> None:
    changed = {"finetune": {"optimisation": {"max_train_steps": 7}}, "gates": {"min_seeds": 3}}
    request = ReleaseRequest(source=str(source), format="image_folder", preset="miniature", seed=5, config=changed)
    arguments = request.arguments()
    before = preset("miniature")["finetune"]
    optimisation = {**before["optimisation"], "max_train_steps": 7}
    assert arguments["finetune_config"] == {**before, "optimisation": optimisation}
    assert arguments["gates"]["min_seeds"] == 3
    assert arguments["sample_config"] == preset("miniature")["sample"]
    assert (arguments["source"], arguments["seed"]) == (str(source.resolve()), 5)


def test_a_plan_takes_the_place_of_the_presets_images_of_each_class(source: Path) -> None:
    changed = {"sample": {"plan": "balance", "batch_size": 4}}
    request = ReleaseRequest(source=str(source), format="image_folder", preset="demo", config=changed)
    assert request.arguments()["sample_config"] == {"plan": "balance", "batch_size": 4}


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_a_preset_survives_the_way_through_the_package(name: str) -> None:
    carried = parse_config(FinetuneConfig, preset(name)["finetune"])
    assert carried.preset == name
    assert carried.optimisation == diffusion_presets.preset(name).optimisation
    assert carried.model_dump(mode="json", exclude={"seed", "name"}, exclude_none=True) == preset(name)["finetune"]


def test_the_revision_of_a_folder_follows_its_files(source: Path) -> None:
    before = source_revision(source)
    assert before == source_revision(source)
    (source / "new.png").write_bytes(b"x")
    added = source_revision(source)
    os.utime(source / "new.png", ns=(1, 1))
    assert len({before, added, source_revision(source)}) == 3


def test_the_revision_of_an_archive_follows_the_file(tmp_path: Path) -> None:
    archive = tmp_path / "images.zip"
    archive.write_bytes(b"one")
    before = source_revision(archive)
    archive.write_bytes(b"three")
    assert before != source_revision(archive)


def test_a_remote_source_has_the_revision_that_it_is_given() -> None:
    assert ReleaseRequest(source="s3://b/x", format="isic", preset="miniature").arguments()["source_revision"] == ""
    named = ReleaseRequest(source="s3://b/x", format="isic", preset="miniature", source_revision="7")
    assert named.arguments()["source_revision"] == "7"


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"source": "nowhere"}, "nowhere does not exist"),
        ({"config": {"train": {}}}, "release has no stage train"),
        ({"config": {"gates": {"max_accuracy_drop": None}}}, "gates.max_accuracy_drop is null"),
        ({"config": {"finetune": {"optimisation": {"snr_gamma": None}}}}, "finetune.optimisation.snr_gamma is null"),
        ({"config": {"finetune": {"max_train_steps": 3}}}, "Write it within optimisation."),
        ({"config": {"ingest": {"limits": 3}}}, "IngestConfig: unknown field limits"),
        ({"config": {"sample": {"per_class": -1}}}, "SampleConfig: per_class"),
        ({"format": "tiff"}, "IngestConfig: format"),
        ({"preset": "huge"}, "unknown preset 'huge'"),
        ({"root": "gs://bucket/prefix"}, "gs://bucket/prefix"),
        ({"root": "s3:///prefix"}, "names no bucket"),
        ({"config": {"evaluate": {"name": "a b"}}}, "EvaluateConfig: name"),
        (
            {"config": {"finetune": {"base_model": {"base": "/nowhere/base"}}}},
            "caption.tokenizer: /nowhere/base is neither a folder",
        ),
        (
            {"config": {"finetune": {"base_model": {"base": "/nowhere/base"}}, "caption": {"tokenizer": "tiny"}}},
            "finetune.base: /nowhere/base is neither a folder",
        ),
        ({"config": {"sample": {"base": "/nowhere/base"}}}, "sample.base: /nowhere/base is neither a folder"),
        (
            {"config": {"caption": {"writers": ["vision-language"], "vision_language": {"model": "/nowhere/eye"}}}},
            "caption.vision_language.model: /nowhere/eye is neither a folder",
        ),
    ],
)
def test_what_cannot_be_run_is_refused(source: Path, values: dict[str, object], words: str) -> None:
    asked = {"source": str(source), "format": "isic", "preset": "miniature", **values}
    with pytest.raises(UsageError, match=words):
        check_arguments(parse_config(ReleaseRequest, asked).arguments())


@pytest.mark.parametrize("name", ["../x", "", "a b", "x/y", "é", "-a", "a" * 101, "x.promotion-lock"])
def test_a_name_that_register_would_refuse_is_refused_before_anything_starts(source: Path, name: str) -> None:
    """One rule for the run, the dataset, the generator and the registry."""
    asked = {"source": str(source), "format": "isic", "preset": "miniature", "name": name}
    with pytest.raises(UsageError, match="name"):
        check_arguments(parse_config(ReleaseRequest, asked).arguments())
    with pytest.raises(UsageError, match="name"):
        check_name(name)
    if "lock" not in name:
        for kind in (IngestConfig, FinetuneConfig, MergeConfig, EvaluateConfig):
            with pytest.raises(UsageError, match="name"):
                parse_config(kind, {"format": "isic", "name": name} if kind is IngestConfig else {"name": name})


def test_the_longest_name_is_taken_by_all_and_may_grow_by_what_a_stage_appends(source: Path) -> None:
    name = "a" * 100
    request = parse_config(
        ReleaseRequest, {"source": str(source), "format": "isic", "preset": "miniature", "name": name}
    )
    check_arguments(request.arguments())
    for kind in (CaptionConfig, SampleConfig):
        assert parse_config(kind, {"name": f"{name}-captioned"}).name == f"{name}-captioned"
        for refused in ("", "a b", "a/b", "a" * 121):
            with pytest.raises(UsageError, match="name"):
                parse_config(kind, {"name": refused})


def test_a_run_is_found_again_by_its_id_and_as_the_latest(tmp_path: Path, source: Path) -> None:
    request = ReleaseRequest(source=str(source), format="isic", config={"finetune": {"runtime": {"processes": 2}}})
    created = RunFolder.create(tmp_path, request)
    assert RunFolder.find(tmp_path, created.id) == RunFolder.find(tmp_path, "latest") == created
    assert created.request() == request
    with pytest.raises(UsageError, match="Unknown run 'other'"):
        RunFolder.find(tmp_path, "other")


def test_a_run_of_an_earlier_release_is_resumed_as_a_release(tmp_path: Path, source: Path) -> None:
    created = RunFolder.create(tmp_path, ReleaseRequest(source=str(source), format="isic", seed=3))
    path = created.path / "request.json"
    content = json.loads(path.read_text())
    del content["pipeline"]
    path.write_text(json.dumps(content))
    assert created.request() == ReleaseRequest(source=str(source), format="isic", seed=3)


def test_of_a_run_of_an_earlier_release_old_names_are_refused_with_the_new(tmp_path: Path, source: Path) -> None:
    created = RunFolder.create(tmp_path, ReleaseRequest(source=str(source), format="isic"))
    path = created.path / "request.json"
    content = json.loads(path.read_text())
    del content["pipeline"]
    path.write_text(json.dumps(content | {"config": {"policy": {"min_seeds": 3}}}))
    with pytest.raises(UsageError, match="has no stage policy; it is now called gates"):
        created.request().arguments()
    path.write_text(json.dumps(content | {"config": {"finetune": {"steps": 3}}}))
    with pytest.raises(UsageError, match="unknown field steps; it is now called max_train_steps"):
        check_arguments(created.request().arguments())


def test_the_newest_output_of_a_step_counts(tmp_path: Path, source: Path) -> None:
    folder = RunFolder.create(tmp_path, ReleaseRequest(source=str(source), format="isic"))
    assert folder.artifact("ingest", "dataset") is None
    for stamp in ("lesiongen-release-2026-01-01", "lesiongen-release-2026-01-02"):
        path = folder.artifacts / stamp / "ingest" / "dataset"
        path.parent.mkdir(parents=True)
        path.write_text(stamp)
    newest = folder.artifact("ingest", "dataset")
    assert newest is not None
    assert newest.read_text() == "lesiongen-release-2026-01-02"


def test_a_run_knows_its_source_and_root_from_any_working_directory(
    tmp_path: Path, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    created = RunFolder.create(
        tmp_path, ReleaseRequest(source="images", format="isic", preset="miniature", root="stored")
    )
    monkeypatch.chdir("/")
    arguments = created.request().arguments()
    assert (arguments["source"], arguments["root"]) == (str(source), str(tmp_path / "stored"))


def test_captions_are_measured_with_the_tokenizer_of_the_base(source: Path) -> None:
    def tokenizer(**config: dict[str, object]) -> str:
        request = ReleaseRequest(source=str(source), format="isic", preset="tiny", config=config)
        return str(request.arguments()["caption_config"]["tokenizer"])

    assert tokenizer() == "tiny"
    assert tokenizer(finetune={"base_model": {"base": "org/base"}}, caption={"seed": 1}) == "org/base"
    assert tokenizer(finetune={"base_model": {"base": "org/base"}}, caption={"tokenizer": "org/other"}) == "org/other"


def test_a_home_of_runs_is_for_its_owner(tmp_path: Path, source: Path) -> None:
    (tmp_path / "home").mkdir(mode=0o755)
    RunFolder.create(tmp_path / "home", ReleaseRequest(source=str(source), format="isic"))
    assert (tmp_path / "home").stat().st_mode & 0o077 == 0


def test_keys_without_an_mlflow_server_are_refused_before_anything_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "clinic")
    with pytest.raises(UsageError, match="AWS_PROFILE.* no MLflow server"):
        _check_servers("/data")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://mlflow.example")
    _check_servers("/data")
    with pytest.raises(StorageError, match="the S3 credentials cannot be used .*clinic"):
        _check_servers("s3://bucket/root")


def test_settings_that_are_refused_leave_no_folder(
    tmp_path: Path, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://mlflow.example")
    monkeypatch.setenv("AWS_REQUEST_CHECKSUM_CALCULATION", "bogus")
    request = ReleaseRequest(source=str(source), format="image_folder", preset="miniature")
    with pytest.raises(StorageError, match="the S3 settings cannot be used"):
        run_pipeline(request, home=tmp_path / "home")
    with pytest.raises(UsageError, match="not a path of this machine"):
        RunFolder.create("s3://bucket/home", request)
    assert not (tmp_path / "home").exists()


def test_folders_of_a_container_are_not_looked_for_on_this_machine(source: Path) -> None:
    config = {"finetune": {"base_model": {"base": "/models/base"}}, "sample": {"base": "/models/base"}}
    request = ReleaseRequest(source=str(source), format="isic", preset="miniature", config=config, runner="docker")
    check_arguments(request.arguments(), in_containers=True)
    with pytest.raises(UsageError, match="/models/base is neither a folder"):
        check_arguments(request.arguments())


@pytest.fixture
def finished(tmp_path: Path, source: Path) -> RunFolder:
    """The folder of a run whose steps left what a summary needs."""
    folder = RunFolder.create(tmp_path, ReleaseRequest(source=str(source), format="isic"))
    evaluation = tmp_path / "evaluations" / "x"
    (evaluation / "pictures").mkdir(parents=True)
    (evaluation / "report.html").write_text("<p>report</p>")
    (evaluation / "pictures" / "samples.png").write_bytes(b"picture")
    data = DatasetReference(kind="dataset", uri="s3://b/d", version="1", rows=1, splits={}, classes={})
    model = ModelReference(kind="model", uri="s3://b/m", version="1", family="f", method="full", base="tiny")
    scores = EvaluationReference(kind="evaluation", uri=str(evaluation), version="1", metrics={})
    outputs = {
        "caption/captioned": data,
        "finetune/model": model,
        "sample/synthetic": data,
        "evaluate/evaluation": scores,
    }
    for output, reference in outputs.items():
        path = folder.artifacts / "stamp" / output
        path.parent.mkdir(parents=True)
        write_reference(reference, path)
    decided = {"champion": "1", "decision": {"outcome": "PROMOTE", "reasons": []}}
    for output, content in {"register/registered": {"name": "x", "version": "1"}, "promote/decision": decided}.items():
        path = folder.artifacts / "stamp" / output
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps(content))
    return folder


def test_a_summary_shows_addresses_without_passwords(
    finished: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://me:secret@mlflow.example")
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "https://me:secret@s3.example")
    summary = summarise(finished, tmp_path)
    assert (summary.mlflow, summary.s3) == ("https://mlflow.example", "https://s3.example")
    assert "secret" not in summary.text()
    assert Path(summary.contact_sheet).read_bytes() == b"picture"


def test_a_contact_sheet_that_is_missing_is_no_silent_gap(finished: RunFolder, tmp_path: Path) -> None:
    (tmp_path / "evaluations" / "x" / "pictures" / "samples.png").unlink()
    with pytest.raises(StorageError, match="samples.png does not exist"):
        summarise(finished, tmp_path)


def test_two_processes_cannot_work_on_one_run(tmp_path: Path, source: Path) -> None:
    request = ReleaseRequest(source=str(source), format="isic")
    folder = RunFolder.create(tmp_path, request)
    with folder.claimed(), ThreadPoolExecutor(1) as pool:
        second = pool.submit(run_pipeline, request, home=tmp_path, resume=folder.id)
        with pytest.raises(UsageError, match=rf"{folder.id} is being written by another process \(host .+, pid"):
            second.result()
    assert not folder.package.exists()


def test_a_killed_runner_leaves_no_workspace_behind(tmp_path: Path, source: Path) -> None:
    folder = RunFolder.create(tmp_path, ReleaseRequest(source=str(source), format="isic"))
    folder.workspace().mkdir()
    folder.remove_workspaces()
    assert sorted(path.name for path in folder.path.iterdir()) == ["artifacts", "request.json"]
