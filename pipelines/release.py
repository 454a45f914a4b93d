"""The release pipeline: from images and a table to a decided release."""

from collections.abc import Callable
from typing import Any

from kfp import dsl

from components.caption.component import caption
from components.evaluate.component import evaluate
from components.finetune.component import finetune
from components.finish.component import finish
from components.ingest.component import ingest
from components.join_captions.component import join_captions
from components.promote.component import promote
from components.register.component import register
from components.sample.component import sample
from components.validate.component import validate
from pipelines.presets import Preset
from pipelines.settings import CompileSettings
from pipelines.tasks import configure

__all__ = ["release_pipeline"]


def release_pipeline(settings: CompileSettings, preset: Preset) -> Any:
    """Builds the pipeline: ingest, validate, caption, finetune, sample, evaluate, register, promote.

    Args:
        settings: What the compile decides.
        preset: Default arguments of the stages' configurations.
    """

    @dsl.pipeline(  # type: ignore[untyped-decorator]
        name="lesiongen-release",
        description="Images and a table become a text-to-image model, evaluated, registered and decided upon.",
    )
    def release(
        source: str,
        format: str,
        name: str = "lesions",
        root: str = "s3://lesiongen/release",
        source_revision: str = "",
        seed: int = 0,
        ingest_config: dict[str, Any] = preset.ingest,  # noqa: B006 - KFP reads the default at compile time
        validate_config: dict[str, Any] = preset.validate,  # noqa: B006
        caption_config: dict[str, Any] = preset.caption,  # noqa: B006
        finetune_config: dict[str, Any] = preset.finetune,  # noqa: B006
        sample_config: dict[str, Any] = preset.sample,  # noqa: B006
        evaluate_config: dict[str, Any] = preset.evaluate,  # noqa: B006
        policy: dict[str, Any] = preset.policy,  # noqa: B006
        storage_secret: str = "lesiongen-storage",  # noqa: S107 - the name of a Secret, not a secret
        services: str = "lesiongen-services",
    ) -> None:
        def run(stage: str, component: Callable[..., Any], **arguments: Any) -> Any:
            task = component(**arguments)
            return configure(task, stage, settings, secret=storage_secret, services=services)

        def captioned(ingested: Any, checked: Any, **arguments: Any) -> Any:
            if settings.caption_parts == 1:
                return run("caption", caption, dataset=ingested, part="", **arguments).after(checked).output
            parts = [f"{number}/{settings.caption_parts}" for number in range(1, settings.caption_parts + 1)]
            with dsl.ParallelFor(parts) as part:
                task = run("caption", caption, dataset=ingested, part=part, **arguments).after(checked)
            where = {key: arguments[key] for key in ("root", "name")}
            return run("join_captions", join_captions, parts=dsl.Collected(task.output), **where).output

        with dsl.ExitHandler(run("finish", finish, name=name)):
            where = {"root": root, "name": name}
            ingested = run(
                "ingest", ingest, source=source, source_revision=source_revision, format=format,
                seed=seed, config=ingest_config, **where,
            ).output  # fmt: skip
            checked = run("validate", validate, dataset=ingested, config=validate_config, **where)
            dataset = captioned(ingested, checked, seed=seed, config=caption_config, **where)
            model = run("finetune", finetune, dataset=dataset, seed=seed, config=finetune_config, **where).output
            synthetic = run(
                "sample", sample, dataset=dataset, model=model, seed=seed, config=sample_config, **where
            ).output
            evaluated = run(
                "evaluate", evaluate, real=dataset, synthetic=synthetic, seed=seed, config=evaluate_config, **where
            ).outputs["evaluation"]
            registered = run("register", register, name=name, evaluation=evaluated, model=model).output
            run("promote", promote, name=name, policy=policy, registered=registered)

    return release
