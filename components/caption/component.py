"""The ``caption`` step."""

from typing import Any

from kfp import dsl

from components.step import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)  # type: ignore[untyped-decorator]
def caption(
    root: str,
    name: str,
    seed: int,
    config: dict[str, Any],
    dataset: dsl.Input[dsl.Dataset],
    captioned: dsl.Output[dsl.Dataset],
) -> None:
    """Gives every image its report and the caption written from it."""
    from components.step import publish, step, uri_of
    from lesiongen.config import parse_config
    from lesiongen.storage import unique_prefix

    with step("caption"):
        from lesiongen import captions as stage

        settings = parse_config(stage.CaptionConfig, {"name": f"{name}-captioned", "seed": seed, **config})
        prefix = unique_prefix(root, "datasets", f"{name}-captioned")
        publish(stage.caption(settings, uri_of(dataset), prefix).dataset, captioned)
