"""The ``evaluate`` step."""

from typing import Any, Optional

from kfp import dsl

from components.step import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)  # type: ignore[untyped-decorator]
def evaluate(
    root: str,
    name: str,
    seed: int,
    config: dict[str, Any],
    allow_real_images: bool,
    real: dsl.Input[dsl.Dataset],
    synthetic: dsl.Input[dsl.Dataset],
    evaluation: dsl.Output[dsl.Artifact],
    metrics: dsl.Output[dsl.Metrics],
    report: dsl.Output[dsl.HTML],
    reconstructed: Optional[dsl.Input[dsl.Dataset]] = None,  # noqa: UP045
) -> None:
    """Trains classifiers on real, synthetic and both, tests them on real test images, and writes the report.

    With ``reconstructed``, what ``reconstruct`` made of the real images, it also says which part of the generator
    loses what.
    """
    from components.step import as_allowed, as_metadata, copy_report, publish, step, uri_of
    from lesiongen.config import parse_config
    from lesiongen.storage import unique_prefix

    with step("evaluate"):
        from lesiongen import evaluation as stage

        settings = parse_config(
            stage.EvaluateConfig, {"name": name, "seed": seed, **as_allowed(config, allow_real_images)}
        )
        prefix = unique_prefix(root, "evaluations", name)
        passed = uri_of(reconstructed) if reconstructed else None
        reference = stage.evaluate(settings, uri_of(real), uri_of(synthetic), prefix, passed).reference
        publish(reference, evaluation)
        metrics.metadata.update(as_metadata(reference.metrics))
        copy_report(prefix, report)
