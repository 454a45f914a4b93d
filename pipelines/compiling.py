"""Compile a pipeline to the YAML file that every runner executes."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from kfp import compiler

from lesiongen.errors import StorageError, UsageError
from lesiongen.storage import local_path
from pipelines.presets import Preset, preset
from pipelines.release import release_pipeline
from pipelines.settings import CompileSettings

__all__ = ["PIPELINES", "compile_pipeline"]

PIPELINES: dict[str, Callable[[CompileSettings, Preset], Any]] = {"release": release_pipeline}
"""The pipelines by name."""


def compile_pipeline(name: str, settings: CompileSettings, output: str | Path) -> Path:
    """Writes a pipeline as the package that Kubeflow Pipelines takes.

    Raises:
        UsageError: There is no such pipeline or preset, or the file is not on this machine or not named .yaml.
        StorageError: The file cannot be written.
    """
    if name not in PIPELINES:
        raise UsageError(f"There is no pipeline {name!r}.", hint=f"Pipelines: {', '.join(PIPELINES)}.")
    path = local_path(output)
    if path.suffix not in {".yaml", ".yml"}:
        raise UsageError(f"{path} is not named .yaml.", hint="Kubeflow Pipelines tells packages by their suffix.")
    pipeline = PIPELINES[name](settings, preset(settings.preset))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        compiler.Compiler().compile(pipeline, package_path=str(path))
    except OSError as error:
        raise StorageError(f"{path} cannot be written: {error.strerror}", hint="Choose another output.") from error
    return path
