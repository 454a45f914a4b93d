"""The command line of fine-tuning: how ``--set`` and the flags go together."""

import json

import pytest
from typer.testing import CliRunner

from lesiongen.cli.app import app


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


def test_a_flag_goes_before_a_set_value(recorded):
    assert recorded("--set", "max_train_steps=2", "--max-train-steps", "1")["optimisation"]["max_train_steps"] == 1
