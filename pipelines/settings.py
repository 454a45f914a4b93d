"""What is decided when a pipeline is compiled: the image, the resources of every step, retries and time limits."""

from pydantic import BaseModel, ConfigDict, Field

from components.step import IMAGE

__all__ = ["STAGES", "CompileSettings", "Resources"]

STAGES = ("ingest", "validate", "caption", "finetune", "sample", "evaluate", "register", "promote")
"""The stages in the order in which they run."""


class Resources(BaseModel):
    """What a step asks of the cluster, in Kubernetes' own units."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    cpu_request: str
    cpu_limit: str
    memory_request: str
    memory_limit: str
    retries: int = Field(default=2, ge=0)
    timeout_hours: float = Field(default=2.0, gt=0)
    accelerated: bool = False
    """Whether the step gets the accelerator, where the compile names one."""


_SMALL = {"cpu_request": "500m", "cpu_limit": "1", "memory_request": "1G", "memory_limit": "2G"}
_MIDDLE = {"cpu_request": "1", "cpu_limit": "2", "memory_request": "2G", "memory_limit": "4G"}
_LARGE = {"cpu_request": "2", "cpu_limit": "4", "memory_request": "6G", "memory_limit": "16G"}


def _resources() -> dict[str, Resources]:
    # A dataset that does not pass, and a gate that says no, stay as they are: those steps are not tried again.
    return {
        "ingest": Resources(**_MIDDLE),
        "validate": Resources(**_MIDDLE, retries=0),
        "require_passed": Resources(**_SMALL, retries=0, timeout_hours=1),
        "caption": Resources(**_MIDDLE),
        "join_captions": Resources(**_MIDDLE),
        "join_samples": Resources(**_MIDDLE),
        "finetune": Resources(**_LARGE, retries=3, timeout_hours=48, accelerated=True),
        "sample": Resources(**_LARGE, timeout_hours=12, accelerated=True),
        "evaluate": Resources(**_LARGE, timeout_hours=6),
        "register": Resources(**_SMALL, retries=1, timeout_hours=1),
        "promote": Resources(**_SMALL, retries=0, timeout_hours=1),
        "finish": Resources(**_SMALL, retries=0, timeout_hours=1),
    }


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
    retry: bool = True
    """Whether failed steps are tried again, as often as their resources say."""
    resources: dict[str, Resources] = Field(default_factory=_resources)
