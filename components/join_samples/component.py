"""The ``join-samples`` step."""

from typing import List  # noqa: UP035 - KFP reads the annotations, and knows lists of artifacts by this name only

from kfp import dsl

from components.step import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)  # type: ignore[untyped-decorator]
def join_samples(
    root: str,
    name: str,
    parts: dsl.Input[List[dsl.Dataset]],  # noqa: UP006
    synthetic: dsl.Output[dsl.Dataset],
) -> None:
    """Makes one dataset of the parts that several ``sample`` steps have drawn."""
    from components.step import publish, step, uri_of
    from lesiongen.names import synthetic_name
    from lesiongen.storage import unique_prefix

    with step("join-samples"):
        from lesiongen import diffusion as stage

        prefix = unique_prefix(root, "datasets", synthetic_name(name))
        publish(stage.join_samples([uri_of(part) for part in parts], prefix).dataset, synthetic)
