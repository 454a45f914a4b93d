"""What is decided when a pipeline is compiled: the image, the resources of every step, retries and time limits."""

from pydantic import BaseModel, ConfigDict, Field

from components.step import IMAGE
from pipelines.stages import STEPS, Resources

__all__ = ["CompileSettings"]


class CompileSettings(BaseModel):
    """How a pipeline is compiled."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    image: str = IMAGE
    """The image of every step. It is part of a step's cache key by its name: give every build its own tag."""
    preset: str = "tiny"
    """The bundle of stage configurations that become the pipeline's default arguments."""
    accelerator: str | None = None
    """A Kubernetes resource such as ``nvidia.com/gpu``, for the steps that use one; none by default."""
    accelerator_count: int = Field(default=1, ge=1)
    cache_ingest: bool = False
    """Whether ``ingest`` may be cached: only where the runs name the revision of their source."""
    caption_parts: int = Field(default=1, ge=1, le=1000)
    """Steps that share the captioning of a dataset."""
    sample_parts: int = Field(default=1, ge=1, le=1000)
    """Steps that share the drawing of the synthetic images."""
    allow_real_images: bool = True
    """Whether pages and pictures may show images of real patients; without, no stage shows any."""
    retry: bool = True
    """Whether failed steps are tried again, as often as their resources say."""
    resources: dict[str, Resources] = Field(
        default_factory=lambda: {name: spec.resources for name, spec in STEPS.items()}
    )

    @property
    def parts(self) -> dict[str, int]:
        """How many steps share each stage that can be shared."""
        return {"caption": self.caption_parts, "sample": self.sample_parts}
