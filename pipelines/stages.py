"""The table of steps: component, configuration and resources of each, whether it is cached, how its output is named.

Pipelines, presets, the checks of arguments, the compile and the command line take what they know of a step from here.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Annotated, Any

from kubernetes.utils.quantity import parse_quantity
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from lesiongen.config import StageConfig
from lesiongen.names import captioned_name, reconstructed_name, synthetic_name

__all__ = ["CONFIGURED", "STEPS", "Resources", "StageSpec"]


def _text(quantity: object) -> object:
    """YAML reads a quantity without a unit as a number."""
    return str(quantity) if isinstance(quantity, int | float) and not isinstance(quantity, bool) else quantity


# What the compiler of Kubeflow Pipelines takes.
Cores = Annotated[str, BeforeValidator(_text), Field(pattern=r"^(\d+(\.\d+)?|\d+m)$")]
"""A number of cores such as ``2`` or ``0.5``, or of thousandths such as ``500m``."""
Memory = Annotated[str, BeforeValidator(_text), Field(pattern=r"^\d+([EPTGMK]i?)?$")]
"""Bytes such as ``32G`` or ``32Gi``."""


class Resources(BaseModel):
    """What a step asks of the cluster, in Kubernetes' own units."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    cpu_request: Cores
    cpu_limit: Cores
    memory_request: Memory
    memory_limit: Memory
    retries: int = Field(default=2, ge=0)
    """How often a failed step is tried again."""
    timeout_hours: float = Field(default=2.0, gt=0)
    """Hours after which the step's pod is ended."""
    accelerated: bool = False
    """Whether the step gets the accelerator, where the compile names one."""

    @model_validator(mode="after")
    def _limits_are_not_below_requests(self) -> "Resources":
        for what in ("cpu", "memory"):
            request, limit = getattr(self, f"{what}_request"), getattr(self, f"{what}_limit")
            if parse_quantity(limit) < parse_quantity(request):
                raise ValueError(f"{what}_limit {limit} is below {what}_request {request}: set both")
        return self


_SMALL = {"cpu_request": "500m", "cpu_limit": "1", "memory_request": "1G", "memory_limit": "2G"}
_MIDDLE = {"cpu_request": "1", "cpu_limit": "2", "memory_request": "2G", "memory_limit": "4G"}
_LARGE = {"cpu_request": "2", "cpu_limit": "4", "memory_request": "6G", "memory_limit": "16G"}


@dataclass(frozen=True)
class StageSpec:
    """One step of the pipelines.

    Attributes:
        name: Name of the component, and of its folder in ``components``.
        resources: What it asks of the cluster, unless the compile says otherwise.
        config: Its configuration as ``module:class``; blank where it has none.
        argument: What presets and ``--set`` call the configuration, and the argument of a pipeline that holds it; by
            default the name, and ``<name>_config``.
        named: The configuration's name, made from the pipeline's; None where it has no name.
        cached: Whether a result may be reused. A step is not cached whose work is to change something elsewhere; ingest
            is only where the compile says so (`pipelines.settings.CompileSettings.cache_ingest`).
    """

    name: str
    resources: Resources
    config: str = ""
    argument: str = ""
    named: Callable[[str], str] | None = str
    cached: bool = True

    @property
    def component(self) -> Callable[..., Any]:
        """The component that a pipeline calls."""
        found: Callable[..., Any] = getattr(import_module(f"components.{self.name}.component"), self.name)
        return found

    @property
    def section(self) -> str:
        """What presets and ``--set`` call the configuration."""
        return self.argument or self.name

    @property
    def argument_name(self) -> str:
        """The pipeline's argument that holds the configuration."""
        return self.argument or f"{self.name}_config"

    @property
    def config_class(self) -> type[StageConfig]:
        """The class of the configuration, of a step that has one."""
        module, _, kind = self.config.partition(":")
        found: type[StageConfig] = getattr(import_module(module), kind)
        return found

    def config_of(self, name: str, values: Mapping[str, Any]) -> tuple[type[StageConfig], dict[str, Any]]:
        """Returns the class of the configuration and its values, with the name that the step gives it.

        Args:
            name: The pipeline's name.
            values: What the pipeline's argument holds.
        """
        named = {} if self.named is None else {"name": self.named(name)}
        return self.config_class, named | dict(values)


# A dataset that does not pass, and a gate that says no, stay as they are: those steps are not tried again.
_TABLE = (
    StageSpec("ingest", Resources(**_MIDDLE), "lesiongen.ingestion:IngestConfig"),
    StageSpec("validate", Resources(**_MIDDLE, retries=0), "lesiongen.validation:ValidateConfig", named=None),
    StageSpec("require_passed", Resources(**_SMALL, retries=0, timeout_hours=1), cached=False),
    StageSpec("caption", Resources(**_MIDDLE), "lesiongen.captions:CaptionConfig", named=captioned_name),
    StageSpec("join_captions", Resources(**_MIDDLE)),
    StageSpec("merge", Resources(**_MIDDLE), "lesiongen.merging:MergeConfig"),
    StageSpec(
        "finetune",
        Resources(**_LARGE, retries=3, timeout_hours=48, accelerated=True),
        "lesiongen.diffusion:FinetuneConfig",
    ),
    StageSpec(
        "sample",
        Resources(**_LARGE, timeout_hours=12, accelerated=True),
        "lesiongen.diffusion:SampleConfig",
        named=synthetic_name,
    ),
    StageSpec("join_samples", Resources(**_MIDDLE)),
    StageSpec(
        "reconstruct",
        Resources(**_LARGE, timeout_hours=12, accelerated=True),
        "lesiongen.diffusion:ReconstructConfig",
        named=reconstructed_name,
    ),
    StageSpec("evaluate", Resources(**_LARGE, timeout_hours=6), "lesiongen.evaluation:EvaluateConfig"),
    StageSpec("open_dataset", Resources(**_SMALL, timeout_hours=1)),
    StageSpec("open_model", Resources(**_SMALL, timeout_hours=1)),
    StageSpec("take_fold", Resources(**_MIDDLE), "lesiongen.crossfit:CrossfitConfig", argument="crossfit"),
    StageSpec("pool_folds", Resources(**_MIDDLE)),
    StageSpec("drift", Resources(**_MIDDLE), "lesiongen.evaluation:DriftConfig", cached=False),
    StageSpec("complete", Resources(**_SMALL, retries=1, timeout_hours=1), cached=False),
    StageSpec("register", Resources(**_SMALL, retries=1, timeout_hours=1), cached=False),
    StageSpec(
        "promote",
        Resources(**_SMALL, retries=0, timeout_hours=1),
        "lesiongen.registry:Gates",
        argument="gates",
        named=None,
        cached=False,
    ),
    StageSpec("finish", Resources(**_SMALL, retries=0, timeout_hours=1), cached=False),
)
STEPS: Mapping[str, StageSpec] = {spec.name: spec for spec in _TABLE}
"""Every step by the name of its component."""
CONFIGURED = tuple(spec for spec in _TABLE if spec.config)
"""The stages that have a configuration."""
