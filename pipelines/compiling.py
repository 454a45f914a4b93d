"""Compile a pipeline to the YAML file that every runner executes."""

from pathlib import Path

from kfp import compiler

from lesiongen.errors import StorageError, UsageError
from lesiongen.storage import local_path
from pipelines.definition import find_pipeline
from pipelines.presets import preset
from pipelines.settings import CompileSettings

__all__ = ["compile_pipeline"]


def compile_pipeline(name: str, settings: CompileSettings, output: str | Path) -> Path:
    """Writes a pipeline as the package that Kubeflow Pipelines takes.

    Raises:
        UsageError: The pipeline or preset is unknown, the pipeline lacks what the settings are about, or the file is
            not on this machine or not named .yaml.
        StorageError: The file cannot be written.
    """
    pipeline = find_pipeline(name)
    pipeline.check_settings(settings)
    path = local_path(output)
    if path.suffix not in {".yaml", ".yml"}:
        raise UsageError(f"{path} is not named .yaml.", hint="Kubeflow Pipelines tells packages by their suffix.")
    built = pipeline.build(settings, preset(settings.preset))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        compiler.Compiler().compile(built, package_path=str(path))
    except OSError as error:
        raise StorageError(f"{path} cannot be written: {error.strerror}", hint="Choose another output.") from error
    return path
