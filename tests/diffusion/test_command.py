import json

import pytest
import typer
from typer.testing import CliRunner

from lesiongen.cli.finetune import finetune_command
from lesiongen.errors import UsageError


@pytest.fixture
def run():
    app = typer.Typer()
    app.command()(finetune_command)
    return lambda *arguments: CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.mark.slow
def test_a_model_is_trained_with_a_preset_changed_by_flags(run, dataset_uri, pipeline_folder, tmp_path):
    done = run(
        dataset_uri, "--output", tmp_path / "model", "--base", pipeline_folder, "--preset", "reference_lora",
        "--max-train-steps", 2, "--set", "image_size=16", "--set", "rank=2", "--set", "mixed_precision=fp32", "--json",
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    result = json.loads(done.stdout)
    assert (result["method"], result["steps"]) == ("lora", 2)
    recorded = json.loads((tmp_path / "model" / "_model.json").read_text())["training"]["config"]
    assert (recorded["preset"], recorded["adaptation"]["rank"]) == ("reference_lora", 2)
    assert recorded["optimisation"]["learning_rate"] == 5e-6


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--preset", "huge"), "unknown preset 'huge'"),
        (("--set", "rnak=2"), "rnak"),
        (("--set", "rank"), "field=value"),
        (("--base", "\udcff"), r"base_model.base = '\udcff' is not UTF-8"),
    ],
)
def test_wrong_use_is_named(run, dataset_uri, tmp_path, arguments, message):
    done = run(dataset_uri, "--output", tmp_path / "model", *arguments)
    assert isinstance(done.exception, UsageError)
    assert message in str(done.exception)
