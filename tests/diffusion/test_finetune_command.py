"""The command line of fine-tuning: how ``--set`` and the flags go together."""

import json

import pytest
from typer.testing import CliRunner

from lesiongen.cli.app import app
from lesiongen.errors import UsageError


@pytest.fixture
def recorded(pipeline_folder, dataset_uri, tmp_path):
    """Trains with some arguments, and returns the configuration that the model records."""

    def train(*arguments):
        output = str(tmp_path / "model")
        settings = ["--set", "image_size=16", "--set", "rank=2", "--set", "mixed_precision=fp32"]
        places = [dataset_uri, "--output", output, "--base", str(pipeline_folder)]
        CliRunner().invoke(app, ["finetune", *places, *settings, *arguments], catch_exceptions=False)
        return json.loads((tmp_path / "model" / "_model.json").read_text())["training"]["config"]

    return train


@pytest.mark.slow
def test_the_name_is_a_field_like_any_other(recorded):
    assert recorded("--max-train-steps", "1", "--set", "name=mine")["name"] == "mine"


@pytest.fixture
def launched(dataset_uri, monkeypatch):
    """Runs the command with some arguments; returns its result and the launcher that the training would get."""

    def run(*arguments):
        given = []
        monkeypatch.setattr("lesiongen.diffusion.finetune", lambda *_, launcher, **__: given.append(launcher))
        result = CliRunner().invoke(app, ["finetune", dataset_uri, "--output", "s3://bucket/model/", *arguments])
        return result, given

    return run


@pytest.mark.parametrize("flag", ["--nodes=2", "--runtime=x", "--namespace=x", "--image=x", "--deadline-hours=1"])
def test_a_flag_of_trainjobs_has_no_effect_on_this_host_and_is_refused(launched, flag):
    result, given = launched(flag)
    assert isinstance(result.exception, UsageError)
    assert str(result.exception) == f"{flag.partition('=')[0]}: only for --launcher trainjob"
    assert given == []


def test_a_trainjob_needs_a_runtime(launched):
    result, given = launched("--launcher", "trainjob")
    assert str(result.exception).startswith("--launcher trainjob needs --runtime")
    assert given == []


def test_this_host_is_the_default(launched):
    assert launched()[1] == launched("--launcher", "local")[1] == [None]


def test_the_flags_of_a_trainjob_reach_its_launcher(launched):
    pytest.importorskip("kubeflow")
    flags = "--launcher trainjob --nodes 2 --processes 4 --runtime r --namespace n --image i --deadline-hours 1.5"
    _, (launcher,) = launched(*flags.split(), "--set", "batch_size=4")
    assert vars(launcher) == {
        "place": "s3://bucket/model-checkpoints/jobs", "runtime": "r", "nodes": 2, "namespace": "n", "image": "i",
        "deadline": 5400, "pipeline_run": None,
    }  # fmt: skip
    _, (launcher,) = launched("--launcher", "trainjob", "--runtime", "r", "--checkpoints", "s3://bucket/kept")
    assert (launcher.place, launcher.nodes, launcher.deadline) == ("s3://bucket/kept/jobs", 1, 48 * 3600)
