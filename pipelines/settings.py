"""What is decided when a pipeline is compiled: the image, the resources of every step, retries and time limits."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from components.step import IMAGE
from pipelines.stages import STEPS, Resources

__all__ = ["IMAGE_USER", "MOST_PARTS", "CompileSettings", "Placement", "Toleration"]

IMAGE_USER = 1000
"""The user that the image runs as, of group 0."""
MOST_PARTS = 100
"""Steps that may share a stage: near 145, what is collected of them no longer fits the command of the next step."""


_BEFORE_THE_STEP = 900
"""Seconds by which a TrainJob ends before the time limit of its step, which has to start it and say why it ended."""


_WAITING = {"cpu_request": "500m", "cpu_limit": "2"}
"""Cores of a step that waits for a TrainJob; its memory holds the model that it publishes at the end."""


class Toleration(BaseModel):
    """A taint of nodes that pods tolerate; the fields are those of Kubernetes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    key: str | None = None
    operator: Literal["Equal", "Exists"] = "Equal"
    value: str | None = None
    effect: Literal["NoExecute", "NoSchedule", "PreferNoSchedule"] | None = None
    toleration_seconds: int | None = Field(default=None, ge=0)

    @model_validator(mode="after")
    def _as_kubernetes_takes_it(self) -> "Toleration":
        if self.operator == "Exists" and self.value is not None:
            raise ValueError("value cannot be combined with operator Exists")
        if self.key is None and self.operator == "Equal":
            raise ValueError("a toleration without key needs operator: Exists")
        if self.toleration_seconds is not None and self.effect != "NoExecute":
            raise ValueError("toleration_seconds needs effect: NoExecute")
        return self


class Placement(BaseModel):
    """The nodes that pods may run on."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    node_selector: dict[str, str] = {}
    """Labels that a node must have."""
    tolerations: tuple[Toleration, ...] = ()


def _with_defaults(resources: Any) -> Any:
    """Gives the steps and the fields that are not named their defaults."""
    if not isinstance(resources, dict):
        return resources
    resources = {str(name).replace("-", "_"): given for name, given in resources.items()}
    if unknown := sorted(set(resources) - set(STEPS)):
        raise ValueError(f"unknown step {', '.join(unknown)}; steps: {', '.join(STEPS)}")
    whole = {
        name: {**STEPS[name].resources.model_dump(), **given} if isinstance(given, dict) else given
        for name, given in resources.items()
    }
    return {name: spec.resources for name, spec in STEPS.items()} | whole


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
    finetune_nodes: int | None = Field(default=None, ge=1)
    """Nodes of a TrainJob that trains, in place of the step itself, which then asks for no accelerator."""
    finetune_runtime: str | None = None
    """TrainingRuntime of that TrainJob; by default one of ``infra/trainer``, for CUDA where ``accelerator`` is set."""
    finetune_namespace: str | None = None
    """Namespace of that TrainJob; by default the one that the steps' pods run in."""
    caption_parts: int = Field(default=1, ge=1, le=MOST_PARTS)
    """Steps that share the captioning of a dataset."""
    sample_parts: int = Field(default=1, ge=1, le=MOST_PARTS)
    """Steps that share the drawing of the synthetic images."""
    allow_real_images: bool = True
    """Whether pages and images may show images of real patients; without, no stage shows any."""
    retry: bool = True
    """Whether failed steps are tried again, as often as their resources say."""
    resources: Annotated[dict[str, Resources], BeforeValidator(_with_defaults)] = Field(
        default={}, validate_default=True
    )
    """What each step asks of the cluster; a step or a field that is not named keeps its default. With
    ``finetune_nodes``, ``finetune`` asks for 500m of a core by default."""
    parallelism: int | None = Field(default=None, ge=1)
    """How many steps that share a stage, or collections of a merge, run at once; no limit by default."""
    placement: Placement = Placement()
    """The nodes for the pods of every step."""
    accelerator_placement: Placement = Placement()
    """In addition, the nodes for the steps that use an accelerator."""
    image_pull_policy: Literal["Always", "IfNotPresent", "Never"] | None = None
    image_pull_secrets: tuple[str, ...] = ()
    """Names of Kubernetes Secrets for the image's registry."""

    @model_validator(mode="before")
    @classmethod
    def _waits(cls, values: Any) -> Any:
        """Gives ``finetune`` few cores where it only waits; what the resources say of it wins."""
        if not isinstance(values, dict) or not values.get("finetune_nodes"):
            return values
        resources = values.get("resources", {})
        given = resources.get("finetune", {}) if isinstance(resources, dict) else None
        if not isinstance(given, dict):
            return values
        return {**values, "resources": {**resources, "finetune": {**_WAITING, **given}}}

    @model_validator(mode="after")
    def _has_an_effect(self) -> "CompileSettings":
        if self.accelerator is None and self.accelerator_placement != Placement():
            raise ValueError("accelerator_placement has no effect without accelerator")
        for name in ("finetune_runtime", "finetune_namespace"):
            if self.finetune_nodes is None and getattr(self, name) is not None:
                raise ValueError(f"{name} has no effect without finetune_nodes")
        return self

    def is_accelerated(self, stage: str) -> bool:
        """Tells whether a step gets the accelerator; one that trains in a TrainJob only waits for it."""
        return self.resources[stage].accelerated and not (stage == "finetune" and self.finetune_nodes)

    @property
    def trainjob(self) -> dict[str, Any]:
        """What the component ``finetune`` needs to train in a TrainJob; empty where the step itself trains."""
        if self.finetune_nodes is None:
            return {}
        each = self.accelerator_count if self.accelerator else 1
        return {
            "runtime": self.finetune_runtime or f"lesiongen-torch-{'cuda' if self.accelerator else 'cpu'}",
            "nodes": self.finetune_nodes,
            "processes": self.finetune_nodes * each,
            "image": self.image,
            "deadline": max(60, round(self.resources["finetune"].timeout_hours * 3600) - _BEFORE_THE_STEP),
            **({"namespace": self.finetune_namespace} if self.finetune_namespace else {}),
        }

    @property
    def parts(self) -> dict[str, int]:
        """How many steps share each stage that can be shared."""
        return {"caption": self.caption_parts, "sample": self.sample_parts}
