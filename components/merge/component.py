"""The ``merge`` step."""

from typing import Any

from kfp import dsl

from components.step import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)  # type: ignore[untyped-decorator]
def merge(
    root: str,
    name: str,
    config: dict[str, Any],
    first: dsl.Input[dsl.Dataset],
    second: dsl.Input[dsl.Dataset],
    merged: dsl.Output[dsl.Dataset],
    report: dsl.Output[dsl.HTML],
) -> None:
    """Combines two datasets; of an image that both show, the first one's is kept."""
    from components.step import copy_report, publish, step, uri_of
    from lesiongen.config import parse_config
    from lesiongen.storage import unique_prefix

    with step("merge"):
        from lesiongen import merging as stage

        settings = parse_config(stage.MergeConfig, {"name": name, **config})
        result = stage.merge(settings, [uri_of(first), uri_of(second)], unique_prefix(root, "datasets", name))
        publish(result.dataset, merged)
        copy_report(result.dataset.uri, report, page=stage.PAGE_NAME)
