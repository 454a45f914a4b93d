"""The crossfit pipeline: every image of a dataset is tested on once, the folds side by side."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from kfp import dsl

from lesiongen.config import parse_config
from lesiongen.crossfit import CrossfitConfig
from lesiongen.names import Name
from pipelines import PIPELINES
from pipelines.definition import Pipeline
from pipelines.presets import Preset
from pipelines.runs import Address, RunFolder, RunRequest
from pipelines.settings import CompileSettings
from pipelines.source import check_dataset
from pipelines.summary import artifact_of, as_text, copied
from pipelines.tasks import tasks_of

__all__ = ["PIPELINE", "CrossfitRequest", "CrossfitSummary"]


def _numbers(preset: Preset) -> list[int]:
    return list(range(1, parse_config(CrossfitConfig, preset["crossfit"]).folds + 1))


def _crossfit(settings: CompileSettings, preset: Preset) -> Any:
    """Builds the pipeline: take-fold, caption, finetune, sample, reconstruct and evaluate for each fold, pool-folds.

    Args:
        settings: What the compile decides.
        preset: Default arguments of the stages' configurations.
    """
    numbers = _numbers(preset)

    @dsl.pipeline(name="lesiongen-crossfit", description=PIPELINES["crossfit"])  # type: ignore[untyped-decorator]
    def crossfit(
        dataset: str,
        folds: list[int] = numbers,  # noqa: B006 - KFP reads the default at compile time
        name: str = "crossfit",
        root: str = "s3://lesiongen/crossfit",
        seed: int = 0,
        crossfit: dict[str, Any] = preset["crossfit"],  # noqa: B006
        caption_config: dict[str, Any] = preset["caption"],  # noqa: B006
        finetune_config: dict[str, Any] = preset["finetune"],  # noqa: B006
        sample_config: dict[str, Any] = preset["sample"],  # noqa: B006
        reconstruct_config: dict[str, Any] = preset["reconstruct"],  # noqa: B006
        evaluate_config: dict[str, Any] = preset["evaluate"],  # noqa: B006
        storage_secret: str = "lesiongen-storage",  # noqa: S107 - the name of a Secret, not a secret
        services: str = "lesiongen-services",
    ) -> None:
        run = tasks_of(settings, secret=storage_secret, services=services)
        where = {"root": root, "name": name}
        seeded = {"seed": seed, **where}
        # Not an argument of the pipeline: no run may undo it.
        shown = {"allow_real_images": settings.allow_real_images}

        with dsl.ExitHandler(run("finish", name=name, last="complete", trainjob=settings.trainjob)):
            opened = run("open_dataset", uri=dataset).output
            with dsl.ParallelFor(folds, parallelism=settings.parallelism) as fold:
                divided = run("take_fold", dataset=opened, fold=fold, config=crossfit, **seeded).output
                captioned = run(
                    "caption", dataset=divided, config=caption_config, part="", **shown, **seeded
                ).outputs["captioned"]  # fmt: skip
                model = run(
                    "finetune", dataset=captioned, config=finetune_config, trainjob=settings.trainjob, **seeded
                ).output
                synthetic = run(
                    "sample", dataset=captioned, model=model, config=sample_config, part="", **seeded
                ).outputs["synthetic"]  # fmt: skip
                reconstructed = run(
                    "reconstruct", dataset=captioned, model=model, config=reconstruct_config, **where
                ).output
                evaluated = run(
                    "evaluate", real=captioned, synthetic=synthetic, reconstructed=reconstructed,
                    config=evaluate_config, **shown, **seeded,
                ).outputs["evaluation"]  # fmt: skip
            pooled = run(
                "pool_folds", dataset=opened, evaluations=dsl.Collected(evaluated), config=crossfit, **seeded
            ).outputs["result"]  # fmt: skip
            run("complete", result=pooled)

    return crossfit


class CrossfitRequest(RunRequest):
    """What a run of the crossfit pipeline is asked for with."""

    pipeline: Literal["crossfit"] = "crossfit"
    dataset: Address
    name: Name = "crossfit"
    root: str = "s3://lesiongen/crossfit"

    def inputs(self) -> dict[str, Any]:
        """Returns the dataset and the numbers of the folds as the pipeline's arguments."""
        check_dataset(self.dataset)
        return {"dataset": self.dataset, "folds": _numbers(self.configs())}

    def sources(self) -> list[str]:
        """Returns the dataset."""
        return [self.dataset]

    def existing(self) -> list[str]:
        """Returns the dataset."""
        return [self.dataset]


@dataclass(frozen=True)
class CrossfitSummary:
    """Where the result of a run is, and its numbers."""

    run: str
    folder: str
    report: str
    """The HTML report, copied to this machine."""
    crossfit_uri: str
    metrics: dict[str, float]

    def as_dict(self) -> dict[str, Any]:
        """Returns plain values, for JSON."""
        return asdict(self)

    def text(self) -> str:
        """Returns the summary for a reader."""
        metrics = [f"{name} {value:.3f}" for name, value in self.metrics.items()]
        return as_text(self.run, {"Report": self.report, "Stored in": self.crossfit_uri, "Metrics": metrics})


def _summarise(folder: RunFolder, home: str | Path) -> CrossfitSummary:
    metrics = json.loads(artifact_of(folder, "pool-folds", "result").read_text(encoding="utf-8"))
    uri = metrics.pop("uri")
    report = str(copied(uri, "report.html", folder.path))
    return CrossfitSummary(folder.id, str(folder.path), report, uri, metrics)


PIPELINE = Pipeline(
    "crossfit",
    ("take_fold", "caption", "finetune", "sample", "reconstruct", "evaluate", "pool_folds"),
    _crossfit,
    CrossfitRequest,
    _summarise,
    beside=("open_dataset", "complete", "finish"),
    shared=(),
)
"""From a dataset to an evaluation on all its images."""
