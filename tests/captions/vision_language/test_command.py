"""`lesiongen caption` with a vision-language model, from the flags to the dataset and the report."""

import json

import pytest
from typer.testing import CliRunner

from lesiongen.captions import REPORT_NAME
from lesiongen.captions.vision_language import VisionLanguageConfig
from lesiongen.captions.vision_language.estimate import estimate
from lesiongen.cli.app import app
from lesiongen.concepts import read_report
from lesiongen.dataset import Dataset, DatasetWriter
from lesiongen.errors import UsageError
from lesiongen.imaging import encode_png

from .conftest import Reply, completion, picture, sample


@pytest.fixture
def dataset(tmp_path):
    folder = tmp_path / "dataset"
    with DatasetWriter(str(folder), name="clinic", licence="CC0-1.0", attribution="nobody") as writer:
        for index in range(5):
            image = encode_png(picture(index, (64, 64)))
            writer.add(sample(index, image=image, image_type="dermoscopic", source=("clinic", "other")[index % 2]))
    return str(folder)


@pytest.fixture
def run(server, dataset, tmp_path):
    """Runs the command with the server's address; flags are added and repeated."""

    def run(output, *flags, model="seer"):
        given = ["--vlm-model", model, "--vlm-url", server.url, "--vlm-cache", str(tmp_path / "answers")]
        arguments = ["caption", dataset, "--output", str(tmp_path / output), "--tokenizer", "tiny", *given, *flags]
        return CliRunner().invoke(app, arguments, catch_exceptions=False)

    return run


def test_captions_a_dataset_and_counts_what_was_refused(server, run, tmp_path):
    server.replies = [Reply(body=completion('{"shape": ["oval"], "colour": ["mauve"]}'))]
    result = run("out", "--writer", "vision-language", "--set", "vision_language.concurrency=1")
    assert result.exit_code == 0, result.output
    captioned = list(Dataset.open(str(tmp_path / "out")).samples())
    reports = [read_report(item.concepts) for item in captioned]
    assert all(report.shape.source == "vision-language" for report in reports)
    assert sum(report.colour is None for report in reports) == 1
    assert all("oval" in item.caption for item in captioned)
    counts = json.loads((tmp_path / "out" / REPORT_NAME).read_text())
    assert counts["refused"] == {"vision-language": 1}
    assert len(server.asked()) == 5
    assert run("again", "--writer", "vision-language").exit_code == 0
    assert len(server.asked()) == 5, "an answer that could be used in part is kept as well"


def test_the_flags_add_the_writer_to_the_default_ones(run, tmp_path):
    assert run("out").exit_code == 0
    origin = Dataset.open(str(tmp_path / "out")).manifest.origin.config
    assert origin["writers"] == ["expert", "metadata", "measured", "vision-language"]
    assert origin["vision_language"]["model"] == "seer"


def test_a_dry_run_sends_and_writes_nothing(server, run, tmp_path):
    result = run("out", "--dry-run", "--json", "--set", "vision_language.price_output=10")
    found = json.loads(result.output)
    assert server.requests == [] and not (tmp_path / "out").exists()
    assert (found["images"], found["answered"], found["requests"]) == (5, 0, 7)
    assert found["answer_tokens"] == 5 * 600
    assert found["cost"] == pytest.approx(0.03)
    assert found["leaves"] is False
    assert run("out").exit_code == 0
    assert "answered already: 5" in run("more", "--dry-run").output


def test_without_prices_the_cost_is_unknown(run):
    assert "cost: unknown, as no prices were given" in run("out", "--dry-run").output
    assert json.loads(run("out", "--dry-run", "--json").output)["cost"] is None
    free = run("out", "--dry-run", "--set", "vision_language.price_input=0").output
    assert "cost: at most about 0.00, at the configured prices" in free


def test_an_allowed_name_that_is_no_source_is_told_with_the_sources(server, run):
    told = "--allow-upload clinc: no image has this source; the sources are clinic, other"
    assert told in run("out", "--dry-run", "--allow-upload", "clinc", model="seer-cloud").output
    assert "no image has" not in run("out", "--dry-run", "--allow-upload", "clinic", model="seer-cloud").output
    with pytest.raises(UsageError, match=told):
        run("out", "--allow-upload", "clinc", model="seer-cloud")
    assert server.requests == []


def test_a_dry_run_names_what_may_not_leave(server, run, dataset, tmp_path):
    found = json.loads(run("out", "--dry-run", "--json", "--allow-upload", "clinic", model="seer-cloud").output)
    assert found["leaves"] is True and found["forbidden"] == {"other": 2}
    with pytest.raises(UsageError, match="local model"):
        estimate(VisionLanguageConfig(model="folder"), dataset)


def test_a_data_set_that_was_not_allowed_stops_the_run_before_the_first_image(server, run):
    with pytest.raises(UsageError, match=r"other \(2 images\)"):
        run("out", "--allow-upload", "clinic", model="seer-cloud")
    assert server.requests == []
