"""The ``sample`` step."""

from typing import Any

from kfp import dsl

from components.step import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)  # type: ignore[untyped-decorator]
def sample(
    root: str,
    name: str,
    seed: int,
    config: dict[str, Any],
    part: str,
    dataset: dsl.Input[dsl.Dataset],
    model: dsl.Input[dsl.Model],
    synthetic: dsl.Output[dsl.Dataset],
) -> None:
    """Draws synthetic images from captions of the training split.

    ``part`` is empty, or names one of several jobs that share the plan: ``2/4``.
    """
    from components.step import publish, step, uri_of
    from lesiongen.config import parse_config
    from lesiongen.dataset import Part
    from lesiongen.names import synthetic_name
    from lesiongen.storage import unique_prefix

    with step("sample"):
        from lesiongen import diffusion as stage

        settings = parse_config(stage.SampleConfig, {"name": synthetic_name(name), "seed": seed, **config})
        prefix = unique_prefix(root, "datasets", synthetic_name(name))
        # Finished batches are kept apart from the output: a step that is started again finds them here.
        places = {"dataset": uri_of(dataset), "work": f"{root.rstrip('/')}/work/samples"}
        wanted = Part.parse(part) if part else None
        result = stage.sample(settings, uri_of(model), prefix, part=wanted, **places)
        publish(result.dataset, synthetic)
