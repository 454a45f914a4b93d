"""The drift pipeline: new images are compared with a reference dataset; made for a schedule."""

import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from kfp import dsl

from lesiongen.errors import LesionGenError
from lesiongen.names import Name
from pipelines import PIPELINES
from pipelines.definition import Pipeline
from pipelines.presets import Preset
from pipelines.runs import Address, RunFolder, RunRequest
from pipelines.settings import CompileSettings
from pipelines.source import check_dataset, checked_revision
from pipelines.summary import as_text, published_uri
from pipelines.tasks import tasks_of

__all__ = ["PIPELINE", "DriftRequest", "DriftSummary"]


def _drift(settings: CompileSettings, preset: Preset) -> Any:
    """Builds the pipeline: ingest, validate, drift.

    Args:
        settings: What the compile decides.
        preset: Default arguments of the stages' configurations.
    """

    @dsl.pipeline(name="lesiongen-drift", description=PIPELINES["drift"])  # type: ignore[untyped-decorator]
    def drift(
        source: str,
        format: str,
        reference: str,
        name: str = "incoming",
        root: str = "s3://lesiongen/drift",
        source_revision: str = "",
        seed: int = 0,
        ingest_config: dict[str, Any] = preset["ingest"],  # noqa: B006 - KFP reads the default at compile time
        validate_config: dict[str, Any] = preset["validate"],  # noqa: B006
        drift_config: dict[str, Any] = preset["drift"],  # noqa: B006
        storage_secret: str = "lesiongen-storage",  # noqa: S107 - the name of a Secret, not a secret
        services: str = "lesiongen-services",
    ) -> None:
        run = tasks_of(settings, secret=storage_secret, services=services)
        # Not an argument of the pipeline: no run may undo it.
        shown = {"allow_real_images": settings.allow_real_images}
        where = {"root": root, "name": name}

        with dsl.ExitHandler(run("finish", name=name, last="require-passed")):
            opened = run("open_dataset", uri=reference).output
            ingested = run(
                "ingest", source=source, source_revision=source_revision, format=format,
                seed=seed, config=ingest_config, **where,
            ).output  # fmt: skip
            checked = run("validate", dataset=ingested, config=validate_config, **shown, **where)
            passed = run("require_passed", final=False, verdict=checked.outputs["verdict"])
            compared = run(
                "drift", reference=opened, dataset=ingested, seed=seed, config=drift_config, **where
            ).after(passed)  # fmt: skip
            run("require_passed", final=True, verdict=compared.outputs["verdict"])

    return drift


class DriftRequest(RunRequest):
    """What a run of the drift pipeline is asked for with."""

    pipeline: Literal["drift"] = "drift"
    source: Address
    format: str
    reference: Address
    name: Name = "incoming"
    root: str = "s3://lesiongen/drift"
    source_revision: str | None = None

    def inputs(self) -> dict[str, Any]:
        """Returns the source and the reference as the pipeline's arguments."""
        revision = checked_revision(self.source, self.source_revision)
        check_dataset(self.reference)
        return {
            "source": self.source,
            "format": self.format,
            "source_revision": revision,
            "reference": self.reference,
        }

    def sources(self) -> list[str]:
        """Returns the source and the reference."""
        return [self.source, self.reference]

    def existing(self) -> list[str]:
        """Returns the reference."""
        return [self.reference]


@dataclass(frozen=True)
class DriftSummary:
    """Where the report of a run is, which passed."""

    run: str
    folder: str
    report: str
    """The report of the drift, copied to this machine."""
    dataset_uri: str
    reference_uri: str

    def as_dict(self) -> dict[str, Any]:
        """Returns plain values, for JSON."""
        return asdict(self)

    def text(self) -> str:
        """Returns the summary for a reader."""
        facts = {"Report": self.report, "Dataset": self.dataset_uri, "Reference": self.reference_uri}
        return as_text(self.run, facts, done="is done: no limit is exceeded.")


def _summarise(folder: RunFolder, home: str | Path) -> DriftSummary:
    written = folder.artifact("drift", "report")
    if written is None:
        raise LesionGenError("The step drift left no report.", hint=f"Log: {folder.log}")
    report = Path(shutil.copy(written, folder.path / "drift.html"))
    dataset, reference = (published_uri(folder, step, "dataset") for step in ("ingest", "open-dataset"))
    return DriftSummary(folder.id, str(folder.path), str(report), dataset, reference)


PIPELINE = Pipeline(
    "drift",
    ("ingest", "validate", "drift"),
    _drift,
    DriftRequest,
    _summarise,
    ("open_dataset", "require_passed", "finish"),
)
"""From new images to the decision whether they have drifted."""
