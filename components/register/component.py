"""The ``register`` step."""

from kfp import dsl

from components.step import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)  # type: ignore[untyped-decorator]
def register(
    name: str,
    evaluation: dsl.Input[dsl.Artifact],
    model: dsl.Input[dsl.Model],
    registered: dsl.Output[dsl.Artifact],
) -> None:
    """Makes the evaluated generator a version in the registry, as the challenger."""
    from components.step import publish_result, step, uri_of

    with step("register"):
        from lesiongen import registry as stage

        publish_result(stage.register(uri_of(evaluation), uri_of(model), name), registered)
