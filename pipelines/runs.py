"""A run of a pipeline on this machine: what was asked for, and the folder that keeps its files."""

import json
import secrets
import shutil
from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, field_validator

from components.step import IMAGE
from lesiongen.config import parse_config
from lesiongen.diffusion.config_parts import with_changes
from lesiongen.errors import UsageError
from lesiongen.names import Name
from lesiongen.stack import private_folder, writing_to
from lesiongen.storage import Claim, claimed, local_path, normal_address, open_storage
from pipelines.definition import Pipeline, find_pipeline
from pipelines.presets import Preset, preset

__all__ = ["Address", "RunFolder", "RunRequest", "absolute", "changed_configs"]

_WORKSPACE = "workspace-"


def absolute(place: str) -> str:
    """Returns an address with the path of a folder absolute: a run may be resumed from another working directory.

    Raises:
        UsageError: It is not the address of a storage.
    """
    place = normal_address(place)
    open_storage(place)
    return place if "://" in place else str(Path(place).resolve())


Address = Annotated[str, AfterValidator(absolute)]
"""The address of a storage, absolute."""


class RunRequest(BaseModel, ABC):
    """What the user asked for: the base of each pipeline's own request, which adds what that pipeline takes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    pipeline: str
    name: Name
    root: str
    seed: int = 0
    preset: str = "tiny"
    config: dict[str, dict[str, Any]] = {}
    """Fields that differ from the preset's, nested, by the name that a configuration has in the table of steps."""
    runner: Literal["subprocess", "docker"] = "subprocess"
    image: str = IMAGE
    allow_real_images: bool = True
    """Whether pages and images may show images of real patients; without, no stage shows any."""

    @field_validator("root")
    @classmethod
    def _root_from_anywhere(cls, place: str) -> str:
        return absolute(place)

    @abstractmethod
    def inputs(self) -> dict[str, Any]:
        """Returns what is read, as the pipeline's arguments.

        Raises:
            UsageError: A source does not exist.
        """

    @abstractmethod
    def sources(self) -> list[str]:
        """Returns the addresses that are read."""

    def existing(self) -> list[str]:
        """Returns the addresses of the datasets and models among them, which have to exist before the run."""
        return []

    def configs(self) -> Preset:
        """Returns the configurations of the pipeline's stages: the preset's, with the fields that were changed."""
        return changed_configs(find_pipeline(self.pipeline), preset(self.preset), self.config)

    def arguments(self) -> dict[str, Any]:
        """Returns the arguments of the pipeline.

        Raises:
            UsageError: A source does not exist, or ``config`` names a stage that the pipeline does not configure.
        """
        pipeline = find_pipeline(self.pipeline)
        _refuse_nulls(self.config)
        plain = self.model_dump(include={"name", "root", "seed"})
        return {**plain, **self.inputs(), **pipeline.arguments(self.configs())}

    def publisher(self, stage: str) -> str:
        """Returns the step that publishes what a stage makes, as Kubeflow Pipelines calls it."""
        return stage.replace("_", "-")


def changed_configs(pipeline: Pipeline, chosen: Preset, changes: Mapping[str, Mapping[str, Any]]) -> Preset:
    """Returns the configurations of a pipeline's stages: those of a preset, with the fields that were changed.

    Where another base is chosen, captions are measured with its tokenizer.

    Raises:
        UsageError: A stage is changed that the pipeline does not configure.
    """
    sections = [spec.section for spec in pipeline.configured]
    if unknown := set(changes) - set(sections):
        now = "; it is now called gates" if "policy" in unknown else ""
        raise UsageError(
            f"The pipeline {pipeline.name} has no stage {', '.join(sorted(unknown))}{now}.",
            hint=f"Its stages: {', '.join(sections)}.",
        )
    configs = {
        spec.section: with_changes(spec.config_class, chosen[spec.section], changes.get(spec.section, {}))
        for spec in pipeline.configured
    }
    caption, base_model = changes.get("caption", {}), changes.get("finetune", {}).get("base_model", {})
    if "caption" in configs and "base" in base_model and "tokenizer" not in caption:
        configs["caption"] = {**configs["caption"], "tokenizer": configs["finetune"]["base_model"]["base"]}
    return configs


def _refuse_nulls(values: Mapping[str, Any], outer: str = "") -> None:
    for name, value in values.items():
        if value is None:
            raise UsageError(f"{outer}{name} is null.", hint="Kubeflow Pipelines carries no null; leave the field out.")
        if isinstance(value, Mapping):
            _refuse_nulls(value, f"{outer}{name}.")


@dataclass(frozen=True)
class RunFolder:
    """The folder of one run: its compiled pipeline, the steps' references, the log and the report."""

    path: Path

    @classmethod
    def create(cls, home: str | Path, request: RunRequest) -> "RunFolder":
        """Makes the folder of a new run and writes down what was asked for.

        Raises:
            ServiceError: The home cannot be written, or others can open it and it holds something else.
        """
        stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S")
        home = local_path(home).resolve()
        private_folder(home)  # reports may show patients' images
        folder = cls(home / "runs" / f"{stamp}-{secrets.token_hex(3)}")
        with writing_to(home):
            folder.artifacts.mkdir(parents=True)
            folder._request.write_text(request.model_dump_json(indent=2) + "\n", encoding="utf-8")
        return folder

    @classmethod
    def find(cls, home: str | Path, run: str) -> "RunFolder":
        """Finds the folder of an earlier run by its id; ``latest`` is the last one started.

        Raises:
            UsageError: The run is unknown.
        """
        runs = local_path(home).resolve() / "runs"
        known = sorted(path.parent.name for path in runs.glob("*/request.json"))
        chosen = known[-1] if run == "latest" and known else run
        if chosen not in known:
            raise UsageError(f"Unknown run {run!r} in {runs}.", hint=f"Runs: {', '.join(known[-5:]) or 'none yet'}.")
        return cls(runs / chosen)

    def claimed(self) -> AbstractContextManager[Claim]:
        """Holds the run for one process: its steps would be done twice, and its log and artifacts mixed.

        Raises:
            UsageError: Another process is at work on it.
        """
        return claimed(open_storage(self.path))

    @property
    def id(self) -> str:
        """The run's id; also the id of its parent run in MLflow."""
        return self.path.name

    @property
    def artifacts(self) -> Path:
        """The root of the steps' output artifacts."""
        return self.path / "artifacts"

    def workspace(self) -> Path:
        """Names a new folder for the runner's own files."""
        return self.path / f"{_WORKSPACE}{secrets.token_hex(4)}"

    def remove_workspaces(self) -> None:
        """Removes what runners that were killed have left; whoever calls this holds the run."""
        for path in self.path.glob(f"{_WORKSPACE}*"):
            shutil.rmtree(path, ignore_errors=True)

    @property
    def package(self) -> Path:
        """The compiled pipeline."""
        return self.path / "pipeline.yaml"

    @property
    def log(self) -> Path:
        """Everything that the steps and the runner wrote."""
        return self.path / "pipeline.log"

    @property
    def _request(self) -> Path:
        return self.path / "request.json"

    def request(self) -> RunRequest:
        """Returns what was asked for when the run was made."""
        content: dict[str, Any] = json.loads(self._request.read_text(encoding="utf-8"))
        # Requests of earlier releases name no pipeline: there was one.
        return parse_config(find_pipeline(content.get("pipeline", "release")).request, content)

    def artifact(self, stage: str, output: str) -> Path | None:
        """Returns the newest file that a step wrote as one of its outputs, None if it wrote none."""
        written = sorted(self.artifacts.glob(f"*/{stage}/{output}"))
        return written[-1] if written else None
