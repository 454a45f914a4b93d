"""The examples of the page "Extend LesionGen" do what the page says."""

import importlib.util
import re
from pathlib import Path

import pytest
from PIL import Image

from lesiongen.errors import DataError
from lesiongen.ingestion import IngestConfig, formats, ingest, readers
from lesiongen.launch import Job
from lesiongen.records.evaluation import EvaluationRecord
from lesiongen.records.image_measures import ClassAgreement
from lesiongen.registry import gates

PAGE = Path(__file__).parent.parent.parent / "docs" / "how-to" / "extend.md"
BLOCKS = re.findall(r"^```(python|diff)\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
READER, MEASURE, GATE, LAUNCHER = [text for _, text in BLOCKS]
JOB = """
import sys
from lesiongen.errors import DataError
from lesiongen.launch import worker
with worker() as rank:
    if sys.argv[1] == "fail" and rank == 1:
        raise DataError("row 7 is wrong", hint="Correct it.")
    if sys.argv[1] == "fail again" and rank == 0:
        raise DataError("row 8 is wrong", hint="Correct it.")
"""


def load(path: Path, name: str):
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def patched(original: str, diff: str) -> str:
    """Applies a diff whose lines without a sign occur once in the original."""
    for hunk in diff.split("@@\n")[1:]:
        before = "".join(line[1:] for line in hunk.splitlines(True) if line[0] == " ")
        after = "".join(line[1:] or "\n" for line in hunk.splitlines(True))
        assert original.count(before) == 1, before
        original = original.replace(before, after)
    return original


def test_a_reader_is_a_file_and_a_line(tmp_path, monkeypatch):
    (tmp_path / "readers").mkdir()
    (tmp_path / "readers" / "example.py").write_text(READER)
    monkeypatch.setattr(readers, "__path__", [*readers.__path__, str(tmp_path / "readers")])
    monkeypatch.setitem(formats.FORMATS, "example", "example:ExampleReader")
    source = tmp_path / "source"
    source.mkdir()
    for number in range(12):
        Image.effect_noise((64, 64), 40 + number).convert("RGB").save(source / f"{number}.png")
    rows = [f"{number},{'nevus' if number % 2 else 'melanoma'}" for number in range(12)]
    (source / "lesions.csv").write_text("\n".join(["file,label", *rows, "12,nevus"]))
    config = IngestConfig(format="example", on_error="reject", max_rejected=0.5)
    result = ingest(config, str(source), str(tmp_path / "out"))
    assert result.accepted == 12
    assert [rejection.value for rejection in result.rejected] == ["12"]
    assert result.dataset.classes == {"mel": 6, "nv": 6}


def test_a_gate_is_a_limit_and_a_function(tmp_path):
    path = tmp_path / "gates.py"
    path.write_text(patched(Path(gates.__file__).read_text(encoding="utf-8"), GATE))
    module = load(path, "gates_of_the_page")
    lines = {
        share: module.decide(
            EvaluationRecord(class_agreement=ClassAgreement(agreement=share)), None, module.Gates()
        ).reasons[0].line
        for share in (0.4, 0.6, None)
    }  # fmt: skip
    assert lines[0.4].startswith(
        "recognised held: The diagnosis asked for is recognised in 40% of the synthetic images"
    )
    assert lines[0.6].startswith("recognised passed")
    assert lines[None].startswith("recognised held: The evaluation does not hold the numbers")


def test_a_launcher_is_a_class(tmp_path, monkeypatch):
    (tmp_path / "launcher_of_the_page.py").write_text(LAUNCHER)
    (tmp_path / "a_job.py").write_text(JOB)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    launcher = load(tmp_path / "launcher_of_the_page.py", "launcher_of_the_page").ExampleLauncher(
        str(tmp_path / "errors")
    )
    launcher.run(Job("a_job", "work", processes=2), lambda: False)
    with pytest.raises(DataError, match="row 7 is wrong"):
        launcher.run(Job("a_job", "fail", processes=2), lambda: False)
    with pytest.raises(DataError, match="row 8 is wrong"):
        launcher.run(Job("a_job", "fail again", processes=2), lambda: False)
