"""The Python of the page "Use LesionGen from Python" does what the page says."""

import re
from dataclasses import fields
from pathlib import Path
from unittest.mock import MagicMock, create_autospec

import pytest

import lesiongen
from lesiongen.phantoms import PhantomConfig, write_phantoms

PAGE = Path(__file__).parent.parent.parent / "docs" / "how-to" / "python.md"
PREPARE, TRAIN = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def run(program):
    exec(compile(program, str(PAGE), "exec"), {"__name__": "__main__"})


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_images_become_a_captioned_dataset(folder, capsys):
    write_phantoms(PhantomConfig(n=60), "images")
    run(PREPARE)
    captioned = lesiongen.Dataset.open("data/captioned")
    assert len(captioned) == 60
    assert f"60 images; train: {captioned.manifest.splits['train']}\n" in capsys.readouterr().out
    assert captioned.metadata(["caption"])["caption"].notna().all()
    assert (folder / "reports" / "validation" / "report.html").is_file()


def test_the_stages_that_take_minutes_are_called_as_they_are_defined(folder, monkeypatch):
    """Their own tests run them; here each takes the arguments of the page and returns its kind of result."""
    stages = {name: create_autospec(getattr(lesiongen, name)) for name in ("finetune", "sample", "evaluate")}
    results = (lesiongen.FinetuneResult, lesiongen.SampleResult, lesiongen.EvaluationResult)
    for (name, stage), result in zip(stages.items(), results, strict=True):
        stage.return_value = MagicMock(spec=[field.name for field in fields(result)])
        monkeypatch.setattr(lesiongen, name, stage)
    run(TRAIN)
    config, dataset, output = stages["finetune"].call_args.args
    assert (config.preset, config.optimisation.max_train_steps, dataset, output) == (
        "tiny",
        500,
        "data/captioned",
        "models/lesions",
    )
    assert stages["sample"].call_args.kwargs == {"dataset": "data/captioned"}
    assert stages["evaluate"].call_args.args[0].n_seeds == 3
