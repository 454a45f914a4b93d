"""The ``take-fold`` step."""

from typing import Any

from kfp import dsl

from components.step import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)  # type: ignore[untyped-decorator]
def take_fold(
    root: str,
    name: str,
    seed: int,
    config: dict[str, Any],
    fold: int,
    dataset: dsl.Input[dsl.Dataset],
    divided: dsl.Output[dsl.Dataset],
) -> None:
    """Makes one fold of a dataset the test split, and the rest train and validation."""
    from components.step import publish, step, uri_of
    from lesiongen.config import parse_config
    from lesiongen.storage import unique_prefix

    with step("take-fold"):
        from lesiongen import crossfit as stage

        settings = parse_config(stage.CrossfitConfig, {"name": name, "seed": seed, **config})
        prefix = unique_prefix(root, "datasets", name)
        publish(stage.take_fold(settings, uri_of(dataset), prefix, fold=int(fold)), divided)
