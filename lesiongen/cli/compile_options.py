"""Options of the commands that compile a pipeline."""

from typing import Annotated, Any

import typer

from lesiongen.cli.variables import Command

__all__ = [
    "COMPILE_OPTIONS",
    "DEFAULT_IMAGE",
    "Accelerator",
    "AcceleratorCount",
    "CacheIngest",
    "CaptionParts",
    "Image",
    "PipelineCommand",
    "PipelineName",
    "Preset",
    "RealImages",
    "SampleParts",
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
CacheIngest = Annotated[bool, typer.Option(help="Cache ingest too; every run must then name its source_revision.")]
DEFAULT_IMAGE = "lesiongen:local"
COMPILE_OPTIONS = (
    "preset",
    "image",
    "accelerator",
    "accelerator_count",
    "cache_ingest",
    "caption_parts",
    "sample_parts",
    "allow_real_images",
)
"""Their names, which are those of the fields that they fill."""


class PipelineCommand(Command):
    """A command whose help lists the pipelines."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Writes the options, then the pipelines."""
        from pipelines import PIPELINES

        super().format_options(ctx, formatter)
        with formatter.section("Pipelines"):
            formatter.write_dl(list(PIPELINES.items()))
