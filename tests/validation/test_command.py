import io
import json
import re

import numpy as np
import pytest
import typer
from PIL import Image
from typer.testing import CliRunner

from lesiongen.cli.ingest import ingest_command
from lesiongen.cli.validate import validate_command
from lesiongen.dataset import DatasetWriter, Sample
from lesiongen.errors import DataError, UsageError
from lesiongen.phantoms import PhantomConfig, write_phantoms

RUNNER = CliRunner()
APP = typer.Typer()
APP.command("ingest")(ingest_command)
APP.command("validate")(validate_command)


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory):
    folder = tmp_path_factory.mktemp("phantoms") / "source"
    write_phantoms(PhantomConfig(n=60, size=32, seed=0), folder)
    return folder


def run(*arguments):
    return RUNNER.invoke(APP, [str(argument) for argument in arguments])


def test_ingest_then_validate(phantoms, tmp_path):
    ingested = run("ingest", "--format", "image_folder", "--source", phantoms, "--output", tmp_path / "data", "--json")
    assert ingested.exit_code == 0
    assert json.loads(ingested.stdout)["accepted"] == 60
    checked = run("validate", tmp_path / "data", "--report", tmp_path / "report.html", "--no-real-images")
    assert checked.exit_code == 0, checked.output
    assert "passed" in checked.stdout
    assert (tmp_path / "report.html").exists()
    (tmp_path / "checks.yaml").write_text("severities: {licence_present: error}\n")
    strict = run("validate", tmp_path / "data", "--checks", tmp_path / "checks.yaml", "--json")
    assert strict.exit_code == 1
    answer = json.loads(strict.stdout)
    assert answer["passed"] is False
    assert "licence_present" in {finding["check"] for finding in answer["findings"]}


def test_wrong_use_is_told_apart_from_wrong_data(phantoms, tmp_path):
    common = ("ingest", "--source", phantoms, "--output", tmp_path / "x")
    assert isinstance(run(*common, "--format", "ham10000").exception, DataError)
    assert isinstance(run(*common, "--format", "image_folder", "--max-rejected", "2").exception, UsageError)
    assert isinstance(run(*common, "--format", "image_folder", "--column", "dx").exception, UsageError)
    assert isinstance(run(*common, "--format", "dicom").exception, UsageError)
    assert isinstance(run("validate", phantoms, "--set", "severities={x: error}").exception, UsageError)


def test_columns_are_named_on_the_command_line(phantoms, tmp_path):
    result = run(
        "ingest", "--format", "image_folder", "--source", phantoms, "--output", tmp_path / "data",
        "--column", "device=skin_tone_scale", "--licence", "CC0-1.0", "--set", "source_name=clinic", "--limit", 30,
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert "30 images" in result.stdout
    from lesiongen.dataset import Dataset

    table = Dataset.open(str(tmp_path / "data")).metadata(["device", "licence"])
    assert set(table["device"]) == {"fitzpatrick"}
    assert set(table["licence"]) == {"CC0-1.0"}


def test_the_printed_file_is_the_default_and_can_be_given_back(phantoms, tmp_path):
    printed = run("validate", "--print-checks")
    assert printed.exit_code == 0
    (tmp_path / "checks.yaml").write_text(printed.stdout)
    run("ingest", "--format", "image_folder", "--source", phantoms, "--output", tmp_path / "data", "--json")
    plain = run("validate", tmp_path / "data", "--json")
    same = run("validate", tmp_path / "data", "--json", "--checks", tmp_path / "checks.yaml")
    assert json.loads(plain.stdout)["findings"] == json.loads(same.stdout)["findings"] != []
    one_off = run(
        "validate", tmp_path / "data", "--json", "--checks", tmp_path / "checks.yaml",
        "--set", "severities={licence_present: off}",
    )  # fmt: skip
    names = [{one["check"] for one in json.loads(answer.stdout)["findings"]} for answer in (same, one_off)]
    assert names[0] - names[1] == {"licence_present"}, "a flag changes one severity and keeps the file's others"


def png(image):
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture
def leaking(tmp_path):
    """A dataset of which one photograph lies in train and, turned, in test."""
    noise = np.random.default_rng(0).integers(0, 255, (12, 12, 3), dtype=np.uint8)
    image = Image.fromarray(noise).resize((96, 96), Image.Resampling.BICUBIC)
    with DatasetWriter(str(tmp_path / "leaking"), name="leaking") as writer:
        for split, picture in (("train", image), ("test", image.rotate(90))):
            writer.add(Sample(image=png(picture), image_id=split, diagnosis="nv", split=split))
    return tmp_path / "leaking"


@pytest.mark.parametrize("where", ["command line", "checks file"])
def test_the_way_out_of_a_near_duplicate_works_as_the_message_spells_it(leaking, tmp_path, where):
    failed = run("validate", leaking, "--json")
    assert failed.exit_code == 1
    found = {item["check"]: item for item in json.loads(failed.stdout)["findings"]}["near_duplicate_across_splits"]
    assert found["severity"] == "error"
    assert len(found["message"].split()) < 25
    flag, lines = re.search(r"--set (\S+), or in the checks file (severities: \{.*?\})", found["remedy"]).groups()
    (tmp_path / "checks.yaml").write_text(lines)
    asked = ["--set", flag] if where == "command line" else ["--checks", tmp_path / "checks.yaml"]
    severities = {item["check"]: item["severity"]
                  for item in json.loads(run("validate", leaking, "--json", *asked).stdout)["findings"]}  # fmt: skip
    assert severities["near_duplicate_across_splits"] == "warning"


def test_the_rows_of_a_near_duplicate_come_between_what_is_wrong_and_what_to_do(leaking, tmp_path):
    said = run("validate", leaking, "--report", tmp_path / "report.html").stdout
    page = (tmp_path / "report.html").read_text()
    for text in (said, page):
        fact, rows = text.index("of another split, changed a little"), text.index("train (train)")
        assert fact < rows < text.index("Leave one of the two out")


def test_what_is_absent_is_counted_in_plain_words(leaking):
    assert "warning: 2 images have no licence; who may use it is not known" in run("validate", leaking).stdout


def test_a_check_of_a_format_is_set_by_its_dotted_name(leaking, tmp_path):
    (tmp_path / "checks.yaml").write_text("severities: {ham10000.age: warning, ham10000: {sex: off}}")
    answer = run(
        "validate", leaking, "--json", "--checks", tmp_path / "checks.yaml", "--set", "severities.ham10000.age=off"
    )
    assert answer.exit_code == 1, answer.exception
    wrong = run("validate", leaking, "--set", "severities.ham10000.agee=off").exception
    assert "ham10000.agee" in str(wrong)
    assert "ham10000.age" in str(wrong)
