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
from components.join_samples.component import join_samples
from components.promote.component import promote
from components.register.component import register
from components.require_passed.component import require_passed
from components.sample.component import sample
from components.validate.component import validate
from pipelines.presets import Preset
from pipelines.settings import CompileSettings
from pipelines.tasks import configure

__all__ = ["release_pipeline"]

_Component = Callable[..., Any]


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
        def run(stage: str, component: _Component, **arguments: Any) -> Any:
            task = component(**arguments)
            return configure(task, stage, settings, secret=storage_secret, services=services)

        def shared(
            count: int,
            stage: str,
            component: _Component,
            join: _Component,
            output: str,
            *after: Any,
            **arguments: Any,
        ) -> Any:
            """Runs a stage as one step, or as several side by side whose parts are joined."""
            if count == 1:
                return run(stage, component, part="", **arguments).after(*after).outputs[output]
            with dsl.ParallelFor([f"{number}/{count}" for number in range(1, count + 1)]) as part:
                task = run(stage, component, part=part, **arguments).after(*after)
            parts = dsl.Collected(task.outputs[output])
            return run(f"join_{stage}s", join, parts=parts, root=root, name=name).outputs[output]

        with dsl.ExitHandler(run("finish", finish, name=name)):
            where = {"root": root, "name": name}
            # Not an argument of the pipeline: no run may undo it.
            shown = {"allow_real_images": settings.allow_real_images}
            ingested = run(
                "ingest", ingest, source=source, source_revision=source_revision, format=format,
                seed=seed, config=ingest_config, **where,
            ).output  # fmt: skip
            checked = run("validate", validate, dataset=ingested, config=validate_config, **shown, **where)
            passed = run("require_passed", require_passed, verdict=checked.outputs["verdict"])
            dataset = shared(
                settings.caption_parts, "caption", caption, join_captions, "captioned", passed, dataset=ingested,
                seed=seed, config=caption_config, **shown, **where,
            )  # fmt: skip
            model = run("finetune", finetune, dataset=dataset, seed=seed, config=finetune_config, **where).output
            synthetic = shared(
                settings.sample_parts, "sample", sample, join_samples, "synthetic", dataset=dataset, model=model,
                seed=seed, config=sample_config, **where,
            )  # fmt: skip
            evaluated = run(
                "evaluate", evaluate, real=dataset, synthetic=synthetic, seed=seed, config=evaluate_config, **shown,
                **where,
            ).outputs["evaluation"]  # fmt: skip
            registered = run("register", register, name=name, evaluation=evaluated, model=model).output
            run("promote", promote, name=name, policy=policy, registered=registered)

    return release
