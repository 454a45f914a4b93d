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
    allow_real_images: bool,
    part: str,
    dataset: dsl.Input[dsl.Dataset],
    captioned: dsl.Output[dsl.Dataset],
    report: dsl.Output[dsl.HTML],
) -> None:
    """Gives every image its report and the caption written from it.

    ``part`` is empty, or names one of several jobs that share the dataset: ``2/4``.
    """
    from components.step import as_allowed, copy_report, publish, step, uri_of
    from lesiongen.config import parse_config
    from lesiongen.dataset import Part
    from lesiongen.names import captioned_name
    from lesiongen.storage import unique_prefix

    with step("caption"):
        from lesiongen import captions as stage

        allowed = as_allowed(config, allow_real_images)
        settings = parse_config(stage.CaptionConfig, {"name": captioned_name(name), "seed": seed, **allowed})
        prefix = unique_prefix(root, "datasets", captioned_name(name))
        # What the writers stated is kept apart from the output: a step that is started again finds it here.
        work = f"{root.rstrip('/')}/work/captions"
        wanted = Part.parse(part) if part else None
        publish(stage.caption(settings, uri_of(dataset), prefix, part=wanted, work=work).dataset, captioned)
        copy_report(prefix, report, page=stage.PAGE_NAME)
