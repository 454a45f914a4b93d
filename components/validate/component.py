"""The ``validate`` step."""

from typing import Any

from kfp import dsl

from components.step import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)  # type: ignore[untyped-decorator]
def validate(
    root: str,
    name: str,
    config: dict[str, Any],
    allow_real_images: bool,
    dataset: dsl.Input[dsl.Dataset],
    report: dsl.Output[dsl.HTML],
    verdict: dsl.Output[dsl.Artifact],
) -> None:
    """Checks a dataset and reports what is wrong with it; ``require-passed`` stops the pipeline where it has to."""
    from components.step import as_allowed, copy_report, publish_result, step, uri_of
    from lesiongen.config import parse_config
    from lesiongen.storage import unique_prefix

    with step("validate"):
        from lesiongen import validation as stage

        prefix = unique_prefix(root, "reports", name)
        settings = parse_config(stage.ValidateConfig, as_allowed(config, allow_real_images))
        result = stage.validate(settings, uri_of(dataset), prefix)
        copy_report(prefix, report, passed=result.passed)
        publish_result(stage.verdict_of(result), verdict)
