"""The ``pool-folds`` step."""

from typing import Any, List  # noqa: UP035 - KFP reads the annotations, and knows lists of artifacts by this name only

from kfp import dsl

from components.step import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)  # type: ignore[untyped-decorator]
def pool_folds(
    root: str,
    name: str,
    seed: int,
    config: dict[str, Any],
    dataset: dsl.Input[dsl.Dataset],
    evaluations: dsl.Input[List[dsl.Artifact]],  # noqa: UP006
    result: dsl.Output[dsl.Artifact],
    metrics: dsl.Output[dsl.Metrics],
    report: dsl.Output[dsl.HTML],
) -> None:
    """Scores and compares the conditions over the test images of all folds."""
    from components.step import as_metadata, copy_report, publish_result, step, uri_of
    from lesiongen.config import parse_config
    from lesiongen.storage import unique_prefix

    with step("pool-folds"):
        from lesiongen import crossfit as stage

        settings = parse_config(stage.CrossfitConfig, {"name": name, "seed": seed, **config})
        prefix = unique_prefix(root, "crossfits", name)
        pooled = stage.pool_folds(settings, uri_of(dataset), [uri_of(one) for one in evaluations], prefix)
        publish_result({"uri": pooled.uri, **pooled.metrics}, result)
        metrics.metadata.update(as_metadata(pooled.metrics))
        copy_report(prefix, report)
