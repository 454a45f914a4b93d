"""The ``open-model`` step."""

from kfp import dsl

from components.step import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)  # type: ignore[untyped-decorator]
def open_model(uri: str, model: dsl.Output[dsl.Model]) -> None:
    """Hands on a generator that exists already; a model never changes, so that its address stands for its content."""
    from components.step import publish, step

    with step("open-model"):
        from lesiongen import diffusion as stage

        publish(stage.open_model(uri), model)
