"""The merge pipeline: several collections become one dataset."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from kfp import dsl
from pydantic import BaseModel, ConfigDict, field_validator

from lesiongen.dataset import Dataset
from lesiongen.merging import PAGE_NAME
from lesiongen.names import Name
from pipelines import PIPELINES
from pipelines.definition import Pipeline
from pipelines.presets import Preset
from pipelines.runs import RunFolder, RunRequest, absolute
from pipelines.settings import CompileSettings
from pipelines.source import checked_revision
from pipelines.summary import as_text, copied, published_uri
from pipelines.tasks import tasks_of

__all__ = ["PIPELINE", "Collection", "MergeRequest", "MergeSummary"]


def _merge(settings: CompileSettings, preset: Preset) -> Any:
    """Builds the pipeline: ingest and validate for each collection, merge, validate.

    Args:
        settings: What the compile decides.
        preset: Default arguments of the stages' configurations.
    """

    @dsl.pipeline(name="lesiongen-merge", description=PIPELINES["merge"])  # type: ignore[untyped-decorator]
    def merge(
        collections: list[dict[str, str]],
        name: str = "merged",
        root: str = "s3://lesiongen/merge",
        seed: int = 0,
        ingest_config: dict[str, Any] = preset["ingest"],  # noqa: B006 - KFP reads the default at compile time
        validate_config: dict[str, Any] = preset["validate"],  # noqa: B006
        merge_config: dict[str, Any] = preset["merge"],  # noqa: B006
        storage_secret: str = "lesiongen-storage",  # noqa: S107 - the name of a Secret, not a secret
        services: str = "lesiongen-services",
    ) -> None:
        run = tasks_of(settings, secret=storage_secret, services=services)
        # Not an argument of the pipeline: no run may undo it.
        shown = {"allow_real_images": settings.allow_real_images}

        def checked(dataset: Any, name: Any, *, final: bool) -> None:
            validated = run("validate", dataset=dataset, config=validate_config, root=root, name=name, **shown)
            run("require_passed", final=final, verdict=validated.outputs["verdict"])

        with dsl.ExitHandler(run("finish", name=name, last="require-passed")):
            with dsl.ParallelFor(collections, parallelism=settings.parallelism) as one:
                ingested = run(
                    "ingest", source=one.source, source_revision=one.source_revision, format=one.format,
                    root=root, name=one.dataset, seed=seed, config=ingest_config,
                ).output  # fmt: skip
                checked(ingested, one.dataset, final=False)
            merged = run(
                "merge", collections=collections, datasets=dsl.Collected(ingested), config=merge_config,
                root=root, name=name, **shown,
            ).outputs["merged"]  # fmt: skip
            checked(merged, name, final=True)

    return merge


class Collection(BaseModel):
    """One of the collections that are merged; the order of several says whose copy of an image is kept."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    dataset: Name
    """Name of the dataset that it becomes."""
    format: str
    source: str
    source_revision: str | None = None

    @field_validator("source")
    @classmethod
    def _from_anywhere(cls, place: str) -> str:
        return absolute(place)


class MergeRequest(RunRequest):
    """What a run of the merge pipeline is asked for with."""

    pipeline: Literal["merge"] = "merge"
    collections: tuple[Collection, ...]
    name: Name = "merged"
    root: str = "s3://lesiongen/merge"

    @field_validator("collections")
    @classmethod
    def _several_and_each_once(cls, collections: tuple[Collection, ...]) -> tuple[Collection, ...]:
        # Not `min_length`: of a wrong collection it would say too that there are too few.
        if len(collections) < 2:
            raise ValueError("collections must hold at least two")
        names = [one.dataset for one in collections]
        if twice := next((name for name in names if names.count(name) > 1), None):
            raise ValueError(f"two collections have the name {twice}")
        return collections

    def inputs(self) -> dict[str, Any]:
        """Returns the collections as the pipeline's argument."""
        revisions = [checked_revision(one.source, one.source_revision) for one in self.collections]
        collections = zip(self.collections, revisions, strict=True)
        return {"collections": [one.model_dump() | {"source_revision": revision} for one, revision in collections]}

    def sources(self) -> list[str]:
        """Returns the sources of the collections."""
        return [one.source for one in self.collections]


@dataclass(frozen=True)
class MergeSummary:
    """Where the merged dataset of a run is, and what it holds."""

    run: str
    folder: str
    report: str
    """The report of the merge, copied to this machine."""
    dataset_uri: str
    images: int
    splits: dict[str, int]

    def as_dict(self) -> dict[str, Any]:
        """Returns plain values, for JSON."""
        return asdict(self)

    def text(self) -> str:
        """Returns the summary for a reader."""
        splits = ", ".join(f"{split} {count:,}" for split, count in self.splits.items())
        facts = {"Report": self.report, "Dataset": self.dataset_uri, "Images": f"{self.images:,} ({splits})"}
        return as_text(self.run, facts)


def _summarise(folder: RunFolder, home: str | Path) -> MergeSummary:
    merged = Dataset.open(published_uri(folder, "merge", "merged"))
    page = copied(merged.uri, PAGE_NAME, folder.path)
    counts = {split: rows for split, rows in merged.manifest.splits.items() if rows}
    return MergeSummary(folder.id, str(folder.path), str(page), merged.uri, merged.manifest.rows, counts)


PIPELINE = Pipeline(
    "merge", ("ingest", "validate", "merge"), _merge, MergeRequest, _summarise, ("require_passed", "finish")
)
"""From several collections to one dataset."""
