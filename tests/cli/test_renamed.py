"""Flags of earlier releases are refused, wherever they come from, and the new one is named."""

import pytest
from typer.testing import CliRunner

from lesiongen.cli.app import app
from lesiongen.errors import UsageError

OLD = [
    ("caption", "--shard", "--part"),
    ("evaluate", "--seeds", "--n-seeds"),
    ("finetune", "--steps", "--max-train-steps"),
    ("promote", "--policy", "--gates"),
    ("sample", "--guidance", "--guidance-scale"),
    ("sample", "--shard", "--part"),
    ("sample", "--steps", "--num-inference-steps"),
    ("validate", "--policy", "--checks"),
    ("validate", "--print-policy", "--print-checks"),
]


@pytest.mark.parametrize(("command", "old", "new"), OLD)
@pytest.mark.parametrize("typed", ["{} 1", "{}=1"])
def test_an_old_flag_is_refused_with_the_new_one(command, old, new, typed):
    ended = CliRunner().invoke(app, [command, "place", *typed.format(old).split()])
    assert isinstance(ended.exception, UsageError)
    assert str(ended.exception) == f"unknown flag {old}; it is now called {new}"
    known = CliRunner().invoke(app, [command, "--help"], terminal_width=200).output
    assert f"{new} " in known
    assert f"{old} " not in known


def test_an_old_variable_is_refused_with_the_new_one():
    ended = CliRunner().invoke(app, ["finetune", "place"], env={"LESIONGEN_FINETUNE_STEPS": "3"})
    assert isinstance(ended.exception, UsageError)
    told = "unknown variable LESIONGEN_FINETUNE_STEPS; it is now called LESIONGEN_FINETUNE_MAX_TRAIN_STEPS"
    assert str(ended.exception) == told


def test_an_old_option_of_a_file_is_refused_with_the_new_one(tmp_path):
    (tmp_path / "options.yaml").write_text("steps: 3")
    ended = CliRunner().invoke(app, ["finetune", "place", "--config", str(tmp_path / "options.yaml")])
    assert isinstance(ended.exception, UsageError)
    assert str(ended.exception).endswith("unknown option steps of lesiongen finetune; it is now called max-train-steps")
