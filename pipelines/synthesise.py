"""The synthesise pipeline: a model that exists draws a dataset of synthetic images."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from kfp import dsl
from pydantic import Field

from lesiongen.dataset import Dataset
from lesiongen.names import Name
from pipelines import PIPELINES
from pipelines.definition import Pipeline
from pipelines.parts import shared_stage
from pipelines.presets import Preset
from pipelines.runs import Address, RunFolder, RunRequest
from pipelines.settings import MOST_PARTS, CompileSettings
from pipelines.source import check_dataset, check_model
from pipelines.summary import as_text, copied, published_uri
from pipelines.tasks import tasks_of

__all__ = ["PIPELINE", "SynthesiseRequest", "SynthesiseSummary"]

CONTACT_SHEET = "contact_sheet.png"


def _synthesise(settings: CompileSettings, preset: Preset) -> Any:
    """Builds the pipeline: the model and the captions are opened, then the images are drawn.

    Args:
        settings: What the compile decides.
        preset: Default arguments of the stage's configuration.
    """

    @dsl.pipeline(name="lesiongen-synthesise", description=PIPELINES["synthesise"])  # type: ignore[untyped-decorator]
    def synthesise(
        model: str,
        dataset: str,
        name: str = "lesions",
        root: str = "s3://lesiongen/synthesise",
        seed: int = 0,
        sample_config: dict[str, Any] = preset["sample"],  # noqa: B006 - KFP reads the default at compile time
        storage_secret: str = "lesiongen-storage",  # noqa: S107 - the name of a Secret, not a secret
        services: str = "lesiongen-services",
    ) -> None:
        run = tasks_of(settings, secret=storage_secret, services=services)
        with dsl.ExitHandler(run("finish", name=name, last="complete")):
            synthetic = shared_stage(
                run, settings, "sample", "synthetic",
                model=run("open_model", uri=model).output, dataset=run("open_dataset", uri=dataset).output,
                seed=seed, config=sample_config, root=root, name=name,
            )  # fmt: skip
            run("complete", result=synthetic)

    return synthesise


class SynthesiseRequest(RunRequest):
    """What a run of the synthesise pipeline is asked for with."""

    pipeline: Literal["synthesise"] = "synthesise"
    model: Address
    dataset: Address
    name: Name = "lesions"
    root: str = "s3://lesiongen/synthesise"
    sample_parts: int = Field(default=1, ge=1, le=MOST_PARTS)

    def inputs(self) -> dict[str, Any]:
        """Returns the model and the captioned dataset as the pipeline's arguments."""
        check_model(self.model)
        check_dataset(self.dataset)
        return {"model": self.model, "dataset": self.dataset}

    def sources(self) -> list[str]:
        """Returns the model and the dataset."""
        return self.existing()

    def existing(self) -> list[str]:
        """Returns the model and the dataset."""
        return [self.model, self.dataset]

    def publisher(self, stage: str) -> str:
        """Returns the step that publishes the images: ``sample`` alone, or the one that joins its parts."""
        return "join-samples" if stage == "sample" and self.sample_parts > 1 else stage


@dataclass(frozen=True)
class SynthesiseSummary:
    """Where the synthetic images of a run are."""

    run: str
    folder: str
    contact_sheet: str
    """The first images of each diagnosis, copied to this machine."""
    synthetic_uri: str
    images: int
    classes: dict[str, int]

    def as_dict(self) -> dict[str, Any]:
        """Returns plain values, for JSON."""
        return asdict(self)

    def text(self) -> str:
        """Returns the summary for a reader."""
        classes = ", ".join(f"{name} {count:,}" for name, count in self.classes.items())
        facts = {
            "Dataset": self.synthetic_uri,
            "Images": f"{self.images:,} ({classes})",
            "Contact sheet": self.contact_sheet,
        }
        return as_text(self.run, facts)


def _summarise(folder: RunFolder, home: str | Path) -> SynthesiseSummary:
    drawn = Dataset.open(published_uri(folder, folder.request().publisher("sample"), "synthetic"))
    sheet = copied(drawn.uri, CONTACT_SHEET, folder.path)
    manifest = drawn.manifest
    return SynthesiseSummary(folder.id, str(folder.path), str(sheet), drawn.uri, manifest.rows, manifest.classes)


PIPELINE = Pipeline(
    "synthesise",
    ("sample",),
    _synthesise,
    SynthesiseRequest,
    _summarise,
    ("open_dataset", "open_model", "join_samples", "complete", "finish"),
)
"""From a model and captions to synthetic images."""
