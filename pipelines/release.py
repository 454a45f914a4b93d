"""The release pipeline: from images and a table to a decided release."""

from typing import Any, Literal

from kfp import dsl
from pydantic import Field, field_validator

from lesiongen.names import Name
from pipelines import PIPELINES
from pipelines.definition import Pipeline
from pipelines.parts import shared_stage
from pipelines.presets import Preset
from pipelines.runs import RunRequest, absolute
from pipelines.settings import MOST_PARTS, CompileSettings
from pipelines.source import checked_revision
from pipelines.summary import summarise
from pipelines.tasks import tasks_of

__all__ = ["PIPELINE", "ReleaseRequest"]


def _release(settings: CompileSettings, preset: Preset) -> Any:
    """Builds the pipeline: ingest, validate, caption, finetune, sample, reconstruct, evaluate, register, promote.

    Args:
        settings: What the compile decides.
        preset: Default arguments of the stages' configurations.
    """

    @dsl.pipeline(name="lesiongen-release", description=PIPELINES["release"])  # type: ignore[untyped-decorator]
    def release(
        source: str,
        format: str,
        name: str = "lesions",
        root: str = "s3://lesiongen/release",
        source_revision: str = "",
        seed: int = 0,
        ingest_config: dict[str, Any] = preset["ingest"],  # noqa: B006 - KFP reads the default at compile time
        validate_config: dict[str, Any] = preset["validate"],  # noqa: B006
        caption_config: dict[str, Any] = preset["caption"],  # noqa: B006
        finetune_config: dict[str, Any] = preset["finetune"],  # noqa: B006
        sample_config: dict[str, Any] = preset["sample"],  # noqa: B006
        reconstruct_config: dict[str, Any] = preset["reconstruct"],  # noqa: B006
        evaluate_config: dict[str, Any] = preset["evaluate"],  # noqa: B006
        gates: dict[str, Any] = preset["gates"],  # noqa: B006
        storage_secret: str = "lesiongen-storage",  # noqa: S107 - the name of a Secret, not a secret
        services: str = "lesiongen-services",
    ) -> None:
        run = tasks_of(settings, secret=storage_secret, services=services)

        with dsl.ExitHandler(run("finish", name=name, last="promote", trainjob=settings.trainjob)):
            where = {"root": root, "name": name}
            # Not an argument of the pipeline: no run may undo it.
            shown = {"allow_real_images": settings.allow_real_images}
            ingested = run(
                "ingest", source=source, source_revision=source_revision, format=format,
                seed=seed, config=ingest_config, **where,
            ).output  # fmt: skip
            checked = run("validate", dataset=ingested, config=validate_config, **shown, **where)
            passed = run("require_passed", final=False, verdict=checked.outputs["verdict"])
            dataset = shared_stage(
                run, settings, "caption", "captioned", passed,
                dataset=ingested, seed=seed, config=caption_config, **shown, **where,
            )  # fmt: skip
            model = run(
                "finetune", dataset=dataset, seed=seed, config=finetune_config, trainjob=settings.trainjob, **where
            ).output
            synthetic = shared_stage(
                run, settings, "sample", "synthetic",
                dataset=dataset, model=model, seed=seed, config=sample_config, **where,
            )  # fmt: skip
            reconstructed = run("reconstruct", dataset=dataset, model=model, config=reconstruct_config, **where).output
            evaluated = run(
                "evaluate", real=dataset, synthetic=synthetic, reconstructed=reconstructed,
                seed=seed, config=evaluate_config, **shown, **where,
            ).outputs["evaluation"]  # fmt: skip
            registered = run("register", name=name, evaluation=evaluated, model=model).output
            run("promote", name=name, gates=gates, registered=registered)

    return release


class ReleaseRequest(RunRequest):
    """What a run of the release pipeline is asked for with."""

    pipeline: Literal["release"] = "release"
    source: str
    format: str
    name: Name = "lesions"
    root: str = "s3://lesiongen/release"
    source_revision: str | None = None
    caption_parts: int = Field(default=1, ge=1, le=MOST_PARTS)
    sample_parts: int = Field(default=1, ge=1, le=MOST_PARTS)

    @field_validator("source")
    @classmethod
    def _from_anywhere(cls, place: str) -> str:
        return absolute(place)

    def inputs(self) -> dict[str, Any]:
        """Returns the source as the pipeline's arguments."""
        revision = checked_revision(self.source, self.source_revision)
        return {"source": self.source, "format": self.format, "source_revision": revision}

    def sources(self) -> list[str]:
        """Returns the source."""
        return [self.source]

    def publisher(self, stage: str) -> str:
        """Returns the step that publishes what a stage makes: the stage's own, or the one that joins its parts."""
        parts = {"caption": self.caption_parts, "sample": self.sample_parts}
        return f"join-{stage}s" if parts.get(stage, 1) > 1 else stage


PIPELINE = Pipeline(
    "release",
    ("ingest", "validate", "caption", "finetune", "sample", "reconstruct", "evaluate", "register", "promote"),
    _release,
    ReleaseRequest,
    summarise,
    beside=("require_passed", "join_captions", "join_samples", "finish"),
)
"""From images and a table to a decided release."""
