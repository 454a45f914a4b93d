"""The ``merge`` step."""

from typing import Any, List  # noqa: UP035 - KFP reads the annotations, and knows lists of artifacts by this name only

from kfp import dsl

from components.step import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)  # type: ignore[untyped-decorator]
def merge(
    root: str,
    name: str,
    config: dict[str, Any],
    allow_real_images: bool,
    collections: list[dict[str, str]],
    datasets: dsl.Input[List[dsl.Dataset]],  # noqa: UP006
    merged: dsl.Output[dsl.Dataset],
    report: dsl.Output[dsl.HTML],
) -> None:
    """Combines datasets; of an image that several show, that of the collection which is named first is kept."""
    from components.step import as_allowed, copy_report, publish, step
    from lesiongen.config import parse_config
    from lesiongen.storage import unique_prefix

    with step("merge"):
        from components.merge.datasets import dataset_names, uris_in_order
        from lesiongen import merging as stage

        settings = parse_config(stage.MergeConfig, {"name": name, **as_allowed(config, allow_real_images)})
        uris = uris_in_order(datasets, dataset_names(collections))
        result = stage.merge(settings, uris, unique_prefix(root, "datasets", name))
        publish(result.dataset, merged)
        copy_report(result.dataset.uri, report, page=stage.PAGE_NAME)
