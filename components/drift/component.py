"""The ``drift`` step."""

from typing import Any

from kfp import dsl

from components.step import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)  # type: ignore[untyped-decorator]
def drift(
    root: str,
    name: str,
    seed: int,
    config: dict[str, Any],
    reference: dsl.Input[dsl.Dataset],
    dataset: dsl.Input[dsl.Dataset],
    metrics: dsl.Output[dsl.Metrics],
    report: dsl.Output[dsl.HTML],
    verdict: dsl.Output[dsl.Artifact],
) -> None:
    """Compares a dataset with a reference; ``require-passed`` stops the pipeline where a limit is exceeded."""
    from components.step import as_metadata, copy_report, publish_result, step, uri_of
    from lesiongen.config import parse_config
    from lesiongen.storage import unique_prefix

    with step("drift"):
        from lesiongen import evaluation as stage

        settings = parse_config(stage.DriftConfig, {"name": name, "seed": seed, **config})
        prefix = unique_prefix(root, "drift", name)
        result = stage.drift(settings, uri_of(reference), uri_of(dataset), prefix)
        metrics.metadata.update(as_metadata(result.metrics))
        copy_report(prefix, report, passed=result.passed)
        publish_result(result.verdict, verdict)
