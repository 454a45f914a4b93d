"""``lesiongen export`` on the command line."""

import json

from typer.testing import CliRunner

from lesiongen.cli.app import app
from tests.export.conftest import evaluation, publish, synthetic

__all__ = ["evaluation", "publish", "synthetic"]


def test_it_says_what_was_left_out_and_where_the_card_is(synthetic, evaluation, tmp_path):
    output = str(tmp_path / "export")
    options = ["--evaluation", evaluation, "--leave-out", "near-copies"]
    result = CliRunner().invoke(app, ["export", synthetic.uri, "--output", output, *options])
    assert result.exit_code == 0, result.output
    assert f"{output}: 10 images" in result.output
    assert "Near copies: 2 left out" in result.output
    assert f"Card: {output}/README.md" in result.output


def test_the_result_as_json_is_the_record(synthetic, tmp_path):
    output = str(tmp_path / "export")
    result = CliRunner().invoke(app, ["export", synthetic.uri, "--output", output, "--json"])
    found = json.loads(result.stdout)
    assert (found["uri"], found["card"], found["images"]) == (output, f"{output}/README.md", 12)
    assert found["diagnoses"] == {"akiec": 4, "mel": 4, "nv": 4}


def test_the_help_has_examples():
    result = CliRunner().invoke(app, ["export", "--help"])
    assert "lesiongen export data/synthetic --output export" in result.output
