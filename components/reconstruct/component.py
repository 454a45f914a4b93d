"""The ``reconstruct`` step."""

from typing import Any

from kfp import dsl

from components.step import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)  # type: ignore[untyped-decorator]
def reconstruct(
    root: str,
    name: str,
    config: dict[str, Any],
    dataset: dsl.Input[dsl.Dataset],
    model: dsl.Input[dsl.Model],
    reconstructed: dsl.Output[dsl.Dataset],
) -> None:
    """Passes the training images through the model's autoencoder, for the evaluation to say what that loses."""
    from components.step import publish, step, uri_of
    from lesiongen.config import parse_config
    from lesiongen.names import reconstructed_name
    from lesiongen.storage import unique_prefix

    with step("reconstruct"):
        from lesiongen import diffusion as stage

        settings = parse_config(stage.ReconstructConfig, {"name": reconstructed_name(name), **config})
        prefix = unique_prefix(root, "datasets", reconstructed_name(name))
        # Finished batches are kept apart from the output: a step that is started again finds them here.
        work = f"{root.rstrip('/')}/work/reconstructions"
        result = stage.reconstruct(settings, uri_of(model), uri_of(dataset), prefix, work=work)
        publish(result.dataset, reconstructed)
