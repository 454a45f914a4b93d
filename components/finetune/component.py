"""The ``finetune`` step."""

from typing import Any

from kfp import dsl

from components.step import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)  # type: ignore[untyped-decorator]
def finetune(
    root: str,
    name: str,
    seed: int,
    config: dict[str, Any],
    trainjob: dict[str, Any],
    dataset: dsl.Input[dsl.Dataset],
    model: dsl.Output[dsl.Model],
) -> None:
    """Trains the generator; a step that is started again resumes from its last checkpoint.

    With ``trainjob`` a TrainJob trains it, and the step waits: runtime, nodes, processes, image and deadline.
    """
    from components.step import publish, step, uri_of
    from components.trainjobs import launched
    from lesiongen.config import parse_config
    from lesiongen.storage import unique_prefix

    with step("finetune"):
        from lesiongen import diffusion as stage

        settings = parse_config(stage.FinetuneConfig, {"name": name, "seed": seed, **config})
        output = unique_prefix(root, "models", name)
        # Training names its checkpoints by what it depends on: a step that is started again finds them here.
        checkpoints = f"{root.rstrip('/')}/checkpoints"
        settings, launcher = launched(settings, trainjob, checkpoints)
        result = stage.finetune(settings, uri_of(dataset), output, checkpoints=checkpoints, launcher=launcher)
        publish(result.model, model)
