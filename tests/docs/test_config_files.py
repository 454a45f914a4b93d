"""The YAML files of the pages are taken by `--config`, and mean what the page says."""

from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from lesiongen.cli.app import app
from lesiongen.errors import UsageError
from lesiongen.evaluation import EvaluateConfig

from .test_commands import FENCED, ROOT


class _Stopped(Exception):
    """The configuration was read."""


def blocks(page: str) -> list[str]:
    text = (ROOT / "docs" / "how-to" / page).read_text(encoding="utf-8")
    return [block for language, block in FENCED.findall(text) if language == "yaml"]


def evaluated(file: str, folder: Path, monkeypatch: pytest.MonkeyPatch, *more: str) -> EvaluateConfig:
    """The configuration that `lesiongen evaluate --config FILE` runs with."""
    path = folder / "evaluate.yaml"
    path.write_text(file, encoding="utf-8")
    seen: list[EvaluateConfig] = []

    def stop(config: EvaluateConfig, *_: object) -> None:
        seen.append(config)
        raise _Stopped

    monkeypatch.setattr("lesiongen.cli.evaluate.require_datasets", lambda *_: None)
    monkeypatch.setattr("lesiongen.evaluation.evaluate", stop)
    words = ["evaluate", "--real", "a", "--synthetic", "b", "--output", "c", "--config", str(path), *more]
    with pytest.raises(_Stopped):
        CliRunner().invoke(app, words, catch_exceptions=False)
    return seen[0]


def test_the_file_of_the_page_about_evaluation_shows_the_defaults(tmp_path: Path, monkeypatch) -> None:
    [file] = blocks("evaluate.md")
    assert evaluated(file, tmp_path, monkeypatch) == EvaluateConfig(worst_group="sex=female")
    fields = {pair.partition("=")[0] for pair in yaml.safe_load(file)["set"]}
    assert fields == {"family", "worst_group", "min_worst_group", "subgroups", "intersections"}
    given = evaluated(file, tmp_path, monkeypatch, "--set", "min_test=30")
    assert given == EvaluateConfig(min_test=30), "--set takes the place of the file's list"


def test_the_file_of_the_page_about_classifiers_names_them(tmp_path: Path, monkeypatch) -> None:
    [file] = blocks("classifiers.md")
    assert evaluated(file, tmp_path, monkeypatch) == EvaluateConfig(classifiers=("small", "lite0"), n_seeds=5)
    given = evaluated(file, tmp_path, monkeypatch, "--n-seeds", "3", "--classifier", "lite0")
    assert given == EvaluateConfig(classifiers=("lite0",), n_seeds=3)


def test_a_field_that_is_no_option_is_named_with_the_way_to_give_it(tmp_path: Path) -> None:
    path = tmp_path / "evaluate.yaml"
    path.write_text("family: [both vs real]\n", encoding="utf-8")
    with pytest.raises(UsageError, match="unknown option family of lesiongen evaluate") as error:
        CliRunner().invoke(app, ["evaluate", "--config", str(path)], catch_exceptions=False)
    assert error.value.hint == "A field without an option of its own is written in the list set: set: [family=…]"
