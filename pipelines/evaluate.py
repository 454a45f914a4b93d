"""The evaluate pipeline: a dataset of synthetic images is evaluated against one of real images."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from kfp import dsl

from lesiongen.names import Name
from lesiongen.references import EvaluationReference, read_reference
from pipelines import PIPELINES
from pipelines.definition import Pipeline
from pipelines.presets import Preset
from pipelines.runs import Address, RunFolder, RunRequest
from pipelines.settings import CompileSettings
from pipelines.source import check_dataset
from pipelines.summary import CONTACT_SHEET, as_text, copied, published_uri
from pipelines.tasks import tasks_of

__all__ = ["PIPELINE", "EvaluateRequest", "EvaluateSummary"]


def _evaluate(settings: CompileSettings, preset: Preset) -> Any:
    """Builds the pipeline: both datasets are opened, then evaluated.

    Args:
        settings: What the compile decides.
        preset: Default arguments of the stage's configuration.
    """

    @dsl.pipeline(name="lesiongen-evaluate", description=PIPELINES["evaluate"])  # type: ignore[untyped-decorator]
    def evaluate(
        real: str,
        synthetic: str,
        name: str = "evaluation",
        root: str = "s3://lesiongen/evaluate",
        seed: int = 0,
        evaluate_config: dict[str, Any] = preset["evaluate"],  # noqa: B006 - KFP reads the default at compile time
        storage_secret: str = "lesiongen-storage",  # noqa: S107 - the name of a Secret, not a secret
        services: str = "lesiongen-services",
    ) -> None:
        run = tasks_of(settings, secret=storage_secret, services=services)
        with dsl.ExitHandler(run("finish", name=name, last="complete")):
            datasets = [run("open_dataset", uri=uri).output for uri in (real, synthetic)]
            evaluated = run(
                "evaluate", real=datasets[0], synthetic=datasets[1], seed=seed, config=evaluate_config,
                allow_real_images=settings.allow_real_images, root=root, name=name,
            )  # fmt: skip
            run("complete", result=evaluated.outputs["evaluation"])

    return evaluate


class EvaluateRequest(RunRequest):
    """What a run of the evaluate pipeline is asked for with."""

    pipeline: Literal["evaluate"] = "evaluate"
    real: Address
    synthetic: Address
    name: Name = "evaluation"
    root: str = "s3://lesiongen/evaluate"

    def inputs(self) -> dict[str, Any]:
        """Returns the datasets as the pipeline's arguments."""
        for place in self.existing():
            check_dataset(place)
        return {"real": self.real, "synthetic": self.synthetic}

    def sources(self) -> list[str]:
        """Returns the datasets."""
        return self.existing()

    def existing(self) -> list[str]:
        """Returns the datasets."""
        return [self.real, self.synthetic]


@dataclass(frozen=True)
class EvaluateSummary:
    """Where the evaluation of a run is, and its numbers."""

    run: str
    folder: str
    report: str
    """The HTML report, copied to this machine."""
    contact_sheet: str
    """The image of synthetic images, likewise."""
    evaluation_uri: str
    metrics: dict[str, float]

    def as_dict(self) -> dict[str, Any]:
        """Returns plain values, for JSON."""
        return asdict(self)

    def text(self) -> str:
        """Returns the summary for a reader."""
        facts = {
            "Report": self.report,
            "Synthetic images": self.contact_sheet,
            "Evaluation": self.evaluation_uri,
            "Metrics": [f"{name} {value:.3f}" for name, value in self.metrics.items()],
        }
        return as_text(self.run, facts)


def _summarise(folder: RunFolder, home: str | Path) -> EvaluateSummary:
    uri = published_uri(folder, "evaluate", "evaluation")
    reference = read_reference(folder.artifact("evaluate", "evaluation") or folder.path)
    return EvaluateSummary(
        run=folder.id,
        folder=str(folder.path),
        report=str(copied(uri, "report.html", folder.path)),
        contact_sheet=str(copied(uri, CONTACT_SHEET, folder.path)),
        evaluation_uri=uri,
        metrics=reference.metrics if isinstance(reference, EvaluationReference) else {},
    )


PIPELINE = Pipeline(
    "evaluate", ("evaluate",), _evaluate, EvaluateRequest, _summarise, ("open_dataset", "complete", "finish")
)
"""From two datasets to an evaluation."""
