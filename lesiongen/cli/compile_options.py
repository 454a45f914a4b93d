"""Options of the commands that compile a pipeline."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lesiongen.cli.options import given, read_yaml
from lesiongen.cli.variables import Command
from lesiongen.errors import UsageError

if TYPE_CHECKING:
    from pipelines.settings import CompileSettings

__all__ = [
    "COMPILE_OPTIONS",
    "DEFAULT_IMAGE",
    "Accelerator",
    "AcceleratorCount",
    "CacheIngest",
    "CaptionParts",
    "FinetuneNamespace",
    "FinetuneNodes",
    "FinetuneRuntime",
    "Image",
    "PipelineCommand",
    "PipelineName",
    "Preset",
    "RealImages",
    "SampleParts",
    "SettingsFile",
    "compile_settings",
]

Image = Annotated[str, typer.Option(help="Container image of every step.")]
Preset = Annotated[
    str,
    typer.Option(
        help="Settings of all stages. On a CPU, a small model trained from nothing: tiny, demo (minutes), miniature "
        "(a few minutes; its images are noise). On a GPU, Stable Diffusion 1.4: improved_lora, reference_lora, "
        "reference_full."
    ),
]
CaptionParts = Annotated[
    int | None, typer.Option(help="Steps that share the captioning, side by side on a cluster; 1 unless given.")
]
SampleParts = Annotated[int | None, typer.Option(help="Steps that share the drawing of images, likewise.")]
RealImages = Annotated[
    bool,
    typer.Option(
        "--real-images/--no-real-images",
        help="Show real patients' images on pages and in MLflow; --no-real-images holds for every stage.",
    ),
]
PipelineName = Annotated[str, typer.Argument(metavar="[PIPELINE]", help="Which pipeline.")]
Accelerator = Annotated[
    str | None, typer.Option(help="Kubernetes resource for training and sampling, such as nvidia.com/gpu.")
]
AcceleratorCount = Annotated[int, typer.Option(help="How many of them.")]
FinetuneNodes = Annotated[
    int | None,
    typer.Option(
        help="Nodes of a TrainJob of Kubeflow Trainer that trains in place of the step, each with --accelerator-count "
        "processes."
    ),
]
FinetuneRuntime = Annotated[
    str | None,
    typer.Option(help="TrainingRuntime of the TrainJob; by default lesiongen-torch-cuda or -cpu of infra/trainer."),
]
FinetuneNamespace = Annotated[str | None, typer.Option(help="Namespace of the TrainJob; by default that of the steps.")]
CacheIngest = Annotated[bool, typer.Option(help="Cache ingest too; every run must then name its source_revision.")]
SettingsFile = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="YAML file with what has no flag: resources, retry, parallelism, placement, accelerator_placement, "
        "image_pull_policy, image_pull_secrets.",
    ),
]
DEFAULT_IMAGE = "lesiongen:local"
COMPILE_OPTIONS = (
    "preset",
    "image",
    "accelerator",
    "accelerator_count",
    "cache_ingest",
    "finetune_nodes",
    "finetune_runtime",
    "finetune_namespace",
    "caption_parts",
    "sample_parts",
    "allow_real_images",
)
"""Their names, which are those of the fields that they fill."""


def compile_settings(options: Mapping[str, Any]) -> "CompileSettings":
    """Returns how a pipeline is compiled, by the options of a command and the file that its ``settings`` names.

    Raises:
        UsageError: A setting is unknown or wrong, or the file holds one that has a flag.
    """
    from lesiongen.config import parse_config
    from pipelines.settings import CompileSettings

    flags, file = {name: options[name] for name in COMPILE_OPTIONS}, options["settings"]
    others = read_yaml(file) if file else {}
    if twice := next((name for name in others if name in flags), None):
        flag = "--no-real-images" if twice == "allow_real_images" else f"--{twice.replace('_', '-')}"
        raise UsageError(f"{file}: {twice} has a flag", hint=f"Use {flag}.")
    return parse_config(CompileSettings, {**others, **given(flags)})


class PipelineCommand(Command):
    """A command whose help lists the pipelines."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Writes the options, then the pipelines."""
        from pipelines import PIPELINES

        super().format_options(ctx, formatter)
        with formatter.section("Pipelines"):
            formatter.write_dl(list(PIPELINES.items()))
