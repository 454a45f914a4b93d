"""A run of a pipeline on this machine: what was asked for, and the folder that keeps its files."""

import json
import secrets
import shutil
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from components.step import IMAGE
from lesiongen.config import parse_config
from lesiongen.errors import UsageError
from lesiongen.names import Name
from lesiongen.stack import private_folder, writing_to
from lesiongen.storage import Claim, claimed, local_path, normal_address, open_storage
from pipelines.presets import Preset, preset
from pipelines.source import source_revision

__all__ = ["RunFolder", "RunRequest"]

_WORKSPACE = "workspace-"
STAGE_NAMES = tuple(entry.name for entry in fields(Preset))


class RunRequest(BaseModel):
    """What the user asked for."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: str
    format: str
    name: Name = "lesions"
    root: str = "s3://lesiongen/release"
    source_revision: str | None = None
    seed: int = 0
    preset: str = "tiny"
    config: dict[str, dict[str, Any]] = {}
    """Per stage, fields that differ from the preset's; ``policy`` is one of the names."""
    runner: Literal["subprocess", "docker"] = "subprocess"
    image: str = IMAGE
    caption_parts: int = Field(default=1, ge=1, le=1000)
    sample_parts: int = Field(default=1, ge=1, le=1000)
    allow_real_images: bool = True
    """Whether pages and pictures may show images of real patients; without, no stage shows any."""

    @field_validator("source", "root")
    @classmethod
    def _from_anywhere(cls, place: str) -> str:
        """Makes the path of a folder absolute: the run may be resumed from another working directory."""
        place = normal_address(place)
        open_storage(place)  # refuses what is not an address of a storage
        return place if "://" in place else str(Path(place).resolve())

    def arguments(self) -> dict[str, Any]:
        """Returns the arguments of the pipeline.

        Raises:
            UsageError: The source does not exist, or ``config`` names a stage that does not exist.
        """
        chosen = preset(self.preset)
        self._check_config()
        stages = {name: {**getattr(chosen, name), **self.config.get(name, {})} for name in STAGE_NAMES}
        # Captions are measured with the tokenizer of the base that reads them.
        if "base" in self.config.get("finetune", {}) and "tokenizer" not in self.config.get("caption", {}):
            stages["caption"]["tokenizer"] = stages["finetune"]["base"]
        self._check_source()
        plain = self.model_dump(include={"source", "format", "name", "root", "seed"})
        return {**plain, "source_revision": self._revision(), **Preset(**stages).arguments()}

    def _check_config(self) -> None:
        if unknown := set(self.config) - set(STAGE_NAMES):
            raise UsageError(
                f"The configuration names {', '.join(sorted(unknown))}.", hint=f"Stages: {', '.join(STAGE_NAMES)}."
            )
        for stage, values in self.config.items():
            for field, value in values.items():
                if value is None:
                    raise UsageError(
                        f"{stage}.{field} is null.", hint="Kubeflow Pipelines carries no null; leave the field out."
                    )

    def _check_source(self) -> None:
        if "://" not in self.source and not Path(self.source).exists():
            raise UsageError(
                f"The source {self.source} does not exist.", hint="Give a folder, an archive or an s3:// address."
            )

    def _revision(self) -> str:
        if self.source_revision is not None:
            return self.source_revision
        return "" if "://" in self.source else source_revision(Path(self.source))


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
            UsageError: There is no such run.
        """
        runs = local_path(home).resolve() / "runs"
        known = sorted(path.parent.name for path in runs.glob("*/request.json"))
        chosen = known[-1] if run == "latest" and known else run
        if chosen not in known:
            raise UsageError(
                f"There is no run {run!r} in {runs}.", hint=f"Runs: {', '.join(known[-5:]) or 'none yet'}."
            )
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
        content: Mapping[str, Any] = json.loads(self._request.read_text(encoding="utf-8"))
        return parse_config(RunRequest, content)

    def publisher(self, stage: str) -> str:
        """Returns the step that publishes what a stage makes: the stage's own, or the one that joins its parts."""
        request = self.request()
        parts = {"caption": request.caption_parts, "sample": request.sample_parts}
        return f"join-{stage}s" if parts.get(stage, 1) > 1 else stage

    def artifact(self, stage: str, output: str) -> Path | None:
        """Returns the newest file that a step wrote as one of its outputs, None where there is none."""
        written = sorted(self.artifacts.glob(f"*/{stage}/{output}"))
        return written[-1] if written else None
