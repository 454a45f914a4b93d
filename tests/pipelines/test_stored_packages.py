"""The compiled pipelines, as they are stored for review."""

from pathlib import Path

import pytest
import yaml

from pipelines import PIPELINES
from pipelines.compiling import compile_pipeline
from pipelines.settings import CompileSettings


@pytest.mark.parametrize("name", PIPELINES)
def test_the_default_package_is_the_stored_one(tmp_path: Path, name: str) -> None:
    stored = Path(__file__).with_name(f"{name}.yaml").read_bytes()
    path = compile_pipeline(name, CompileSettings(), tmp_path / f"{name}.yaml")
    assert stored.isascii()
    # Not compared as text: the comment at the head lists fields in an order that changes from run to run.
    compiled, expected = (list(yaml.safe_load_all(content)) for content in (path.read_bytes(), stored))
    regenerate = f"lesiongen pipeline compile {name} --output tests/pipelines/{name}.yaml"
    assert compiled == expected, f"the package has changed; where that is meant, run: {regenerate}"
