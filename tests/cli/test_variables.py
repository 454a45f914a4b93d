"""A wrong value from a variable is reported with the variable; one from a flag is not."""

import re

import pytest
from typer.testing import CliRunner

from lesiongen.cli.app import app


@pytest.mark.parametrize(
    ("variable", "command"),
    [
        ("LESIONGEN_INGEST_LIMIT", ["ingest", "--source", "x", "--format", "isic", "--output", "y"]),
        ("LESIONGEN_PHANTOMS_SIZE", ["phantoms", "--output", "y"]),
        ("LESIONGEN_PIPELINE_RUN_CAPTION_PARTS", ["pipeline", "run"]),
        ("LESIONGEN_VERBOSE", ["datasets"]),
    ],
)
def test_a_wrong_value_names_its_variable(variable, command):
    ended = CliRunner().invoke(app, command, env={variable: "abc"})
    assert ended.exit_code == 2
    assert f"{variable} = 'abc': " in ended.output


@pytest.mark.parametrize("shown", ["0", "1"])
def test_a_variable_is_called_as_its_flag(tmp_path, shown):
    """Not as the parameter of the function behind it: a mistaken one would pass in silence."""
    output = tmp_path / "release.yaml"
    environment = {"LESIONGEN_PIPELINE_COMPILE_REAL_IMAGES": shown}
    ended = CliRunner().invoke(app, ["pipeline", "compile", "--output", str(output)], env=environment)
    assert ended.exit_code == 0, ended.output
    allowed = re.findall(r"allow_real_images:\s+runtimeValue:\s+constant: (\w+)", output.read_text())
    assert set(allowed) == {"true" if shown == "1" else "false"}


def test_a_flag_wins_and_is_named_alone():
    command = ["phantoms", "--output", "y", "--size", "abc"]
    ended = CliRunner().invoke(app, command, env={"LESIONGEN_PHANTOMS_SIZE": "48"})
    assert ended.exit_code == 2
    assert "--size" in ended.output
    assert "LESIONGEN" not in ended.output
