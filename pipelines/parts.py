"""A stage as one step, or as several side by side whose parts are joined."""

from collections.abc import Callable
from typing import Any

from kfp import dsl

from pipelines.settings import CompileSettings

__all__ = ["shared_stage"]


def shared_stage(
    run: Callable[..., Any],
    settings: CompileSettings,
    stage: str,
    output: str,
    *after: Any,
    root: Any,
    name: Any,
    **arguments: Any,
) -> Any:
    """Adds a stage to the pipeline that is being built, as as many steps as the compile says.

    Args:
        run: Makes a task (`pipelines.tasks.tasks_of`).
        settings: How the pipeline is compiled.
        stage: The stage; the component that joins its parts is called ``join_<stage>s``.
        output: The output that is handed on.
        *after: Tasks that have to end before.
        root: Where everything is stored.
        name: The name of the data.
        **arguments: What else the stage takes.

    Returns:
        The output, whole.
    """
    arguments = {**arguments, "root": root, "name": name}
    count = settings.parts[stage]
    if count == 1:
        return run(stage, part="", **arguments).after(*after).outputs[output]
    numbered = [f"{number}/{count}" for number in range(1, count + 1)]
    with dsl.ParallelFor(numbered, parallelism=settings.parallelism) as part:
        task = run(stage, part=part, **arguments).after(*after)
    return run(f"join_{stage}s", parts=dsl.Collected(task.outputs[output]), root=root, name=name).outputs[output]
