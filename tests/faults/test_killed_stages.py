"""A stage killed before any change of its storage and started again leaves what one does that nothing disturbed."""

import signal
import tempfile

import pytest

from lesiongen.captions import CaptionConfig, caption
from lesiongen.config import parse_config
from lesiongen.dataset import Part
from lesiongen.diffusion import ReconstructConfig, SampleConfig
from lesiongen.evaluation import EvaluateConfig
from lesiongen.ingestion import IngestConfig, ingest
from lesiongen.phantoms import PhantomConfig, write_phantoms
from lesiongen.storage import claimed, open_storage, unique_prefix
from lesiongen.temporary import temporary_folder
from lesiongen.validation import ValidateConfig
from tests.diffusion.conftest import SIZE, build_dataset, build_pipeline
from tests.evaluation.conftest import real_samples, synthetic_samples, write
from tests.fault_points import points
from tests.faults.stages import Trial

pytestmark = [pytest.mark.faults, pytest.mark.usefixtures("stack_environment")]

CAPTION = {"tokenizer": "tiny", "preview": 2, "name": "captioned"}
EVALUATE = {
    "n_seeds": 1, "steps": 3, "image_size": 32, "batch_size": 8, "checks": 1, "n_bootstrap": 100, "n_permutations": 100,
}  # fmt: skip


@pytest.fixture(scope="session")
def inputs(tmp_path_factory):
    """Small inputs of every stage."""
    folder = tmp_path_factory.mktemp("inputs")
    write_phantoms(PhantomConfig(n=28, size=32), folder / "phantoms")
    dataset, parts = str(folder / "dataset"), [str(folder / f"part{number}") for number in (1, 2)]
    ingest(IngestConfig(format="image_folder", name="phantoms"), str(folder / "phantoms"), dataset)
    for number, part in enumerate(parts, start=1):
        caption(parse_config(CaptionConfig, CAPTION), dataset, part, part=Part(number, 2))
    return {
        "phantoms": str(folder / "phantoms"),
        "dataset": dataset,
        "parts": parts,
        "captioned": build_dataset(folder / "captioned", {"train": 10}),
        "generator": str(build_pipeline(folder / "generator")),
        "real": write(folder / "real", real_samples()),
        "synthetic": write(folder / "synthetic", synthetic_samples()),
    }


def stages(inputs):
    """Returns the arguments of every stage but its output."""
    drawn = SampleConfig(per_class=2, num_inference_steps=2, image_size=SIZE, batch_size=2, mixed_precision="fp32")
    return {
        "ingest": ("lesiongen.ingestion:ingest", "output", {
            "config": IngestConfig(format="image_folder", name="phantoms"), "source": inputs["phantoms"]}),
        "validate": ("lesiongen.validation:validate", "report", {
            "config": ValidateConfig(), "dataset_uri": inputs["dataset"]}),
        "caption": ("lesiongen.captions:caption", "output", {
            "config": parse_config(CaptionConfig, CAPTION), "dataset_uri": inputs["dataset"]}),
        "join": ("lesiongen.captions:join_captions", "output", {"parts": inputs["parts"]}),
        "sample": ("lesiongen.diffusion:sample", "output", {
            "config": drawn, "model_uri": inputs["generator"], "dataset": inputs["captioned"]}),
        "reconstruct": ("lesiongen.diffusion:reconstruct", "output", {
            "config": ReconstructConfig(image_size=SIZE, batch_size=4), "model_uri": inputs["generator"],
            "dataset_uri": inputs["captioned"]}),
        "copy": ("lesiongen.dataset.copying:copy_dataset", "output", {"uri": inputs["dataset"]}),
        "evaluate": ("lesiongen.evaluation:evaluate", "output", {
            "config": parse_config(EvaluateConfig, EVALUATE), "real_uri": inputs["real"],
            "synthetic_uri": inputs["synthetic"]}),
    }  # fmt: skip


@pytest.fixture
def trial(request, inputs, tmp_path, stack_environment):
    """Makes trials of a stage, each with a place of its own, in a folder or on a real S3 server."""

    def make(name: str, kind: str, number: int) -> Trial:
        stage, output, arguments = stages(inputs)[name]
        folder = tmp_path / f"{number:03d}"
        folder.mkdir()
        place = str(folder / "out") if kind == "folder" else unique_prefix("s3://lesiongen/killed")
        environment = {**stack_environment, "MLFLOW_TRACKING_URI": ""}
        return Trial(stage, {**arguments, output: place}, place, folder, environment)

    return make


def next_writer_comes(trial: Trial, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who was killed once all was published has nothing to do when it is repeated: the next writer cleans up."""
    monkeypatch.setattr(tempfile, "tempdir", str(trial.folder / "tmp"))
    with claimed(open_storage(trial.output)), temporary_folder("next"):
        pass


def clean(trial: Trial) -> None:
    assert trial.left() == []
    keys = [item.key for item in open_storage(trial.output).list()]
    assert not [key for key in keys if key.startswith("_claims") or "_work" in key or key.startswith(".")]


@pytest.mark.parametrize("kind", ["folder", "s3"])
@pytest.mark.parametrize("name", ["ingest", "validate", "caption", "join", "sample", "reconstruct", "copy"])
def test_killed_before_any_change_and_started_again(trial, name, kind, monkeypatch):
    """Requests that change an S3 server, before and after, and changes of a folder."""
    undisturbed = trial(name, kind, 0)
    assert undisturbed.run() == 0, undisturbed.said()
    clean(undisturbed)
    total, expected = undisturbed.changes(), undisturbed.content()
    for number in points(range(1, total + 1), step=14 if kind == "folder" else 9):
        tried = trial(name, kind, number)
        assert tried.run(kill_before=number) == -signal.SIGKILL, tried.said()
        tried.let_a_minute_pass()
        # Who was killed once all was done, its claim given back too, has left nothing to go on with.
        assert tried.run() == 0 or "already holds a dataset" in tried.said(), tried.said()
        next_writer_comes(tried, monkeypatch)
        assert tried.content() == expected, f"killed before change {number} of {total}"
        clean(tried)


@pytest.mark.parametrize("kind", ["folder", "s3"])
def test_an_evaluation_killed_as_it_begins_publishes_and_ends(trial, kind, monkeypatch):
    undisturbed = trial("evaluate", kind, 0)
    assert undisturbed.run() == 0, undisturbed.said()
    total, expected = undisturbed.changes(), measured(undisturbed)
    for number in points((total - 3, 2, total - 12, total - 1), step=3):
        tried = trial("evaluate", kind, number)
        assert tried.run(kill_before=number) == -signal.SIGKILL, tried.said()
        assert tried.run() == 0, tried.said()
        next_writer_comes(tried, monkeypatch)
        assert measured(tried) == expected, f"killed before change {number} of {total}"
        clean(tried)


def measured(trial: Trial) -> tuple[dict[str, object], set[str]]:
    """Returns the numbers of an evaluation, and the names of its files."""
    storage = open_storage(trial.output)
    content = storage.read_json("evaluation.json")
    numbers = {name: value for name, value in content.items() if name not in ("created", "files")}
    return numbers, {item.key for item in storage.list()}
