"""Under a locale of ASCII alone, arguments and variables with other letters are read as UTF-8, and so are paths."""

import json
import os
import subprocess
import sys

import pytest

PLACE = "Klinik Würzburg"


@pytest.fixture
def run(tmp_path):
    ascii_only = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}

    def run(*arguments, **variables):
        command = [sys.executable, "-m", "lesiongen", *arguments]
        environment = {**os.environ, **ascii_only, **variables}
        return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, check=False)

    return run


def test_letters_beyond_ascii_reach_files_and_texts(run, tmp_path):
    made = run("phantoms", "--output", PLACE, "--n", "60", "--size", "32")
    assert f"/{PLACE} (" in made.stdout.decode()
    source = ("--source", PLACE, "--format", "image_folder", "--attribution", PLACE)
    read = run("ingest", *source, LESIONGEN_INGEST_OUTPUT="Öl")
    assert read.returncode == 0, read.stderr.decode()
    assert f"{tmp_path}/Öl: 60 images" in read.stdout.decode()
    assert PLACE in (tmp_path / "Öl" / "_dataset.json").read_text(encoding="utf-8")
    shown = run("inspect", "Öl", "--json")
    assert json.loads(shown.stdout)["uri"] == f"{tmp_path}/Öl"


def test_bytes_of_another_encoding_are_left_as_they_are(run, tmp_path):
    name = os.fsdecode(b"W\xfcrz")
    assert run("phantoms", "--output", name, "--n", "1", "--size", "32").returncode == 0
    assert (tmp_path / name / "metadata.csv").is_file()
