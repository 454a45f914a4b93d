"""The ``join-captions`` step."""

from typing import List  # noqa: UP035 - KFP reads the annotations, and knows lists of artifacts by this name only

from kfp import dsl

from components.step import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)  # type: ignore[untyped-decorator]
def join_captions(
    root: str,
    name: str,
    parts: dsl.Input[List[dsl.Dataset]],  # noqa: UP006
    captioned: dsl.Output[dsl.Dataset],
    report: dsl.Output[dsl.HTML],
) -> None:
    """Makes one dataset of the parts that several ``caption`` steps have written."""
    from components.step import copy_report, publish, step, uri_of
    from lesiongen.names import captioned_name
    from lesiongen.storage import unique_prefix

    with step("join-captions"):
        from lesiongen import captions as stage

        prefix = unique_prefix(root, "datasets", captioned_name(name))
        publish(stage.join_captions([uri_of(part) for part in parts], prefix).dataset, captioned)
        copy_report(prefix, report, page=stage.PAGE_NAME)
