"""``lesiongen pipeline run``: what the flags ask for."""

import re

import pytest
import yaml
from typer.testing import CliRunner

import pipelines.local
from lesiongen.cli.app import app
from lesiongen.errors import UsageError
from pipelines.checks import check_arguments
from tests.ingestion import miniatures


class Summary:
    """Stands for the summary of a run that did not take place."""

    @staticmethod
    def text():
        return "done"


@pytest.fixture
def ask(tmp_path, monkeypatch):
    """Gives a function that runs the command with --set and returns the request that the pipeline gets."""
    asked = []

    def record(request, **_):
        check_arguments(request.arguments())
        asked.append(request)
        return Summary()

    monkeypatch.setattr(pipelines.local, "run_pipeline", record)
    source = tmp_path / "source"
    source.mkdir()
    home = tmp_path / "home"

    def run(*changes):
        flags = [flag for change in changes for flag in ("--set", change)]
        start = ["pipeline", "run", "--source", str(source), "--format", "image_folder", "--home", str(home)]
        result = CliRunner().invoke(app, [*start, *flags])
        if result.exception:
            raise result.exception
        return asked[-1]

    return run


@pytest.mark.parametrize(
    ("changes", "config"),
    [
        (
            ["finetune.max_train_steps=3", "finetune.warmup_steps=1"],
            {"finetune": {"optimisation": {"max_train_steps": 3, "warmup_steps": 1}}},
        ),
        (["finetune.tiny_base.vae_steps=3"], {"finetune": {"base_model": {"tiny_base": {"vae_steps": 3}}}}),
        (["ingest.limit=30"], {"ingest": {"limit": 30}}),
        (["gates.min_seeds=3"], {"gates": {"min_seeds": 3}}),
        (["ingest.columns={diagnosis: label}"], {"ingest": {"columns": {"diagnosis": "label"}}}),
        (["evaluate.allow-real-images=false"], {"evaluate": {"allow_real_images": False}}),
        (
            ["sample.per_class=4", "sample.num_inference_steps=2"],
            {"sample": {"per_class": 4, "num_inference_steps": 2}},
        ),
        (
            ["finetune.base=models/base", "caption.tokenizer=tiny"],
            {"finetune": {"base_model": {"base": "models/base"}}, "caption": {"tokenizer": "tiny"}},
        ),
        (["ingest.columns.site=region"], {"ingest": {"columns": {"site": "region"}}}),
        ([], {}),
    ],
)
def test_set_changes_fields_of_stages(ask, changes, config):
    assert ask(*changes).config == config


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("steps=3", "--set steps: write stage.field=value"),
        ("finetune=3", "--set finetune: write stage.field=value"),
        ("train.steps=3", "The pipeline release has no stage train.\nIts stages: ingest, validate, caption"),
        ("ingest.limits=3", "IngestConfig: unknown field limits"),
        ("sample.per_class=-1", "SampleConfig: per_class = -1"),
        ("finetune.max_train_steps=many", "FinetuneConfig: optimisation.max_train_steps = 'many'"),
        ("finetune.steps=3", "FinetuneConfig: unknown field steps; it is now called max_train_steps"),
        ("gates.max_accuracy_drop=null", "gates.max_accuracy_drop is null"),
        ("policy.margin=0.1", "has no stage policy; it is now called gates"),
    ],
)
def test_a_wrong_change_is_refused_by_its_name(ask, change, message):
    with pytest.raises(UsageError) as error:
        ask(change)
    assert message in str(error.value)


def test_a_run_without_a_format_names_the_one_that_the_source_is_in(tmp_path):
    source = miniatures.milk10k(tmp_path / "in")
    with pytest.raises(UsageError, match="--format is missing") as caught:
        app(["pipeline", "run", "--source", str(source), "--home", str(tmp_path / "home")], standalone_mode=False)
    assert caught.value.hint == "It looks like milk10k: --format milk10k."
    with pytest.raises(UsageError, match="--source is missing"):
        app(["pipeline", "run", "--home", str(tmp_path / "home")], standalone_mode=False)
    assert not (tmp_path / "home").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["evaluate", "--real", "s3://b/real"], "--synthetic is missing"),
        (["synthesise", "--model", "s3://b/model"], "--dataset is missing"),
        (["drift", "--source", "s3://b/new", "--format", "isic"], "--reference is missing"),
        (["release", "--reference", "s3://b/x"], "--reference is not an option of the pipeline release"),
        (["evaluate", "--source", "s3://b/x"], "--source is not an option of the pipeline evaluate"),
        (["evaluate", "--sample-parts", "2"], "--sample-parts is not an option of the pipeline evaluate"),
    ],
)
def test_each_pipeline_has_options_of_its_own(tmp_path, words, message):
    with pytest.raises(UsageError, match=message):
        app(["pipeline", "run", *words, "--home", str(tmp_path / "home")], standalone_mode=False)


@pytest.fixture
def asked_to_merge(tmp_path, monkeypatch):
    """Gives a function that runs the command for several collections and returns the request that the pipeline gets."""
    asked = []

    def record(request, **_):
        asked.append(request)
        return Summary()

    monkeypatch.setattr(pipelines.local, "run_pipeline", record)

    def run(*collections):
        flags = [flag for each in collections for flag in ("--collection", each)]
        result = CliRunner().invoke(app, ["pipeline", "run", "merge", "--home", str(tmp_path), *flags])
        if result.exception:
            raise result.exception
        return asked[-1]

    return run


def test_collections_are_taken_apart_at_the_first_equals_sign_and_colon(asked_to_merge):
    request = asked_to_merge("own=image_folder:s3://bucket/a=b:c", "ham=ham10000:s3://bucket/ham")
    found = [(one.dataset, one.format, one.source, one.source_revision) for one in request.collections]
    assert found == [
        ("own", "image_folder", "s3://bucket/a=b:c", None),
        ("ham", "ham10000", "s3://bucket/ham", None),
    ]


@pytest.mark.parametrize(
    ("collections", "message"),
    [
        (["own"], "--collection own is not NAME=FORMAT:SOURCE."),
        (["own=images"], "--collection own=images is not NAME=FORMAT:SOURCE."),
        (["ham10000:images"], "--collection ham10000:images is not NAME=FORMAT:SOURCE."),
        ([], "--collection is missing."),
        (["own=image_folder:a"], "collections must hold at least two"),
        (["own=image_folder:a", "own=isic:b"], "two collections have the name own"),
        (["a b=image_folder:a", "own=isic:b"], "collections.0.dataset"),
    ],
)
def test_a_wrong_collection_is_refused(asked_to_merge, collections, message):
    with pytest.raises(UsageError, match=re.escape(message)):
        asked_to_merge(*collections)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("image: x\n", r"image has a flag\nUse --image"),
        ("allow_real_images: false\n", r"allow_real_images has a flag\nUse --no-real-images"),
        ("nodes: {}\n", "unknown field nodes"),
        (
            "resources: {evaluate: {x: 1}}\n",
            r"resources\.evaluate\.x\nKnown fields: accelerated, cpu_limit, cpu_request, ",
        ),
        ("resources: {drift: {retries: 1}}\n", "release has no step drift.\nIts steps: ingest, validate, "),
        ("parallelism: 0\n", "parallelism"),
        ("[1]\n", "contains no mapping"),
    ],
)
def test_a_wrong_settings_file_of_the_compile_is_refused(tmp_path, content, words):
    (tmp_path / "cluster.yaml").write_text(content)
    result = _compiled(tmp_path)
    assert isinstance(result.exception, UsageError)
    assert re.search(words, str(result.exception))
    assert not (tmp_path / "release.yaml").exists()


def test_the_compile_takes_what_has_no_flag_from_a_settings_file(tmp_path):
    (tmp_path / "cluster.yaml").write_text("retry: false\nplacement: {node_selector: {pool: science}}\n")
    result = _compiled(tmp_path)
    assert result.exit_code == 0, result.output
    spec, platforms = yaml.safe_load_all((tmp_path / "release.yaml").read_text())
    executors = platforms["platforms"]["kubernetes"]["deploymentSpec"]["executors"].values()
    assert {executor["nodeSelector"]["labels"]["pool"] for executor in executors} == {"science"}
    assert "retryPolicy" not in str(spec)


def _compiled(folder):
    output, settings = str(folder / "release.yaml"), str(folder / "cluster.yaml")
    return CliRunner().invoke(app, ["pipeline", "compile", "release", "--output", output, "--settings", settings])
