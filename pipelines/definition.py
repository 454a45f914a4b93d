"""What a pipeline consists of: its stages, how it is compiled, how a run of it is asked for and what that shows."""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from lesiongen.errors import UsageError
from pipelines import PIPELINES
from pipelines.presets import Preset
from pipelines.settings import CompileSettings
from pipelines.stages import STEPS, StageSpec

if TYPE_CHECKING:
    from pipelines.runs import RunFolder, RunRequest

__all__ = ["Pipeline", "Summary", "find_pipeline"]


class Summary(Protocol):
    """What a finished run has to show."""

    def as_dict(self) -> dict[str, Any]:
        """Returns plain values, for JSON."""

    def text(self) -> str:
        """Returns the summary for a reader."""


@dataclass(frozen=True)
class Pipeline:
    """One pipeline.

    Attributes:
        name: As the commands know it.
        stages: The stages that it goes through, in order.
        build: Builds it for the compiler, from what the compile decides and the default configurations.
        request: What a run of it is asked for with.
        summarise: Gathers what a finished run has to show; the second argument is the home of the runs.
        beside: The steps beside the stages: they open, check, join and close.
        shared: The stages that can be shared out to several steps.
    """

    name: str
    stages: tuple[str, ...]
    build: Callable[[CompileSettings, Preset], Any]
    request: "type[RunRequest]"
    summarise: "Callable[[RunFolder, str | Path], Summary]"
    beside: tuple[str, ...]
    shared: tuple[str, ...] = ("caption", "sample")

    @property
    def steps(self) -> tuple[str, ...]:
        """The names of all its steps, in the order of the table of steps."""
        return tuple(name for name in STEPS if name in {*self.stages, *self.beside})

    @property
    def configured(self) -> tuple[StageSpec, ...]:
        """The stages that have a configuration, in order."""
        return tuple(STEPS[stage] for stage in self.stages if STEPS[stage].config)

    def arguments(self, configs: Preset) -> dict[str, dict[str, Any]]:
        """Returns the arguments of the pipeline that hold the configurations."""
        return {spec.argument_name: configs[spec.section] for spec in self.configured}

    def check_settings(self, settings: CompileSettings) -> None:
        """Refuses what a compile decides about steps that the pipeline does not have.

        Raises:
            UsageError: A stage that the pipeline lacks or does not share out is to be shared, one that it lacks is to
                be run on nodes or cached, resources are given to a step that it lacks, or no step uses an accelerator.
        """
        for stage, parts in settings.parts.items():
            if parts > 1 and stage not in self.stages:
                raise UsageError(f"The pipeline {self.name} has no stage {stage}.", hint=f"Omit --{stage}-parts.")
            if parts > 1 and stage not in self.shared:
                raise UsageError(
                    f"The pipeline {self.name} does not share out its stage {stage}.", hint=f"Omit --{stage}-parts."
                )
        if settings.finetune_nodes and "finetune" not in self.stages:
            raise UsageError(f"The pipeline {self.name} has no stage finetune.", hint="Omit --finetune-nodes.")
        if settings.cache_ingest and "ingest" not in self.stages:
            raise UsageError(f"The pipeline {self.name} has no stage ingest.", hint="Omit --cache-ingest.")
        own = {name for name, asked in settings.resources.items() if asked != STEPS[name].resources}
        if others := sorted(own - set(self.steps)):
            raise UsageError(
                f"resources: the pipeline {self.name} has no step {', '.join(others)}.",
                hint=f"Its steps: {', '.join(self.steps)}.",
            )
        if settings.accelerator and not any(settings.resources[stage].accelerated for stage in self.stages):
            raise UsageError(f"No step of the pipeline {self.name} uses an accelerator.", hint="Omit --accelerator.")


def find_pipeline(name: str) -> Pipeline:
    """Returns a pipeline by its name.

    Raises:
        UsageError: The pipeline is unknown.
    """
    if name not in PIPELINES:
        raise UsageError(f"Unknown pipeline {name!r}.", hint=f"Pipelines: {', '.join(PIPELINES)}.")
    found: Pipeline = import_module(f"pipelines.{name}").PIPELINE
    return found
