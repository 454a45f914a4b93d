"""``import lesiongen`` offers the stages, their configurations and their results, and loads each when it is used."""

import pkgutil
import subprocess
import sys
from importlib import import_module

import pytest

import lesiongen

STAGES = (
    *("ingest", "validate", "caption", "finetune", "sample", "reconstruct", "evaluate", "drift"),
    *("register", "promote", "merge", "select", "sweep", "export"),
)


def run(program, **options):
    command = [sys.executable, "-c", program]
    return subprocess.run(command, capture_output=True, text=True, check=True, **options).stdout


def test_every_stage_is_a_function_of_the_package_whatever_else_is_imported():
    """A folder with the name of a stage would take the place of its function once it is imported."""
    for module in pkgutil.walk_packages(lesiongen.__path__, "lesiongen."):
        import_module(module.name)
    for stage in STAGES:
        function = getattr(lesiongen, stage)
        assert (type(function).__name__, function.__name__) == ("function", stage)
    modules = [name for name in lesiongen.__all__ if type(getattr(lesiongen, name)).__name__ == "module"]
    assert modules == []


def test_what_is_public_is_listed():
    assert set(lesiongen.__all__) <= set(dir(lesiongen))
    assert {*STAGES, "IngestConfig", "MergeConfig", "FinetuneResult", "Gates"} <= set(lesiongen.__all__)
    with pytest.raises(AttributeError, match="module 'lesiongen' has no attribute 'train'"):
        _ = lesiongen.train


def test_a_configuration_is_built_from_the_package():
    assert lesiongen.IngestConfig(format="image_folder").on_error == "fail"
    assert lesiongen.preset("miniature", seed=3).seed == 3


def test_nothing_is_loaded_before_it_is_used():
    seen = "print(sorted({'lesiongen.ingestion', 'pandas', 'torch'} & set(sys.modules)))"
    program = f"import sys, lesiongen; dir(lesiongen); {seen}; lesiongen.IngestConfig; {seen}"
    before, after = run(program).splitlines()
    assert before == "[]"
    assert "lesiongen.ingestion" in after
    assert "torch" not in after
