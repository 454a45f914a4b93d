"""TrainJobs that a cancelled run leaves: Kubeflow kills the step that would delete them."""

from collections.abc import Callable, Iterator
from typing import Any

from lesiongen.errors import LesionGenError
from lesiongen.launch.trainjob_deletion import delete_jobs_of
from lesiongen.launch.trainjob_object import PIPELINE_RUN
from pipelines.kubeflow.profile import Profile
from pipelines.kubeflow.runs import Run

__all__ = ["delete_trainjobs", "trains_in_trainjobs"]


def trains_in_trainjobs(spec: dict[str, Any]) -> bool:
    """Tells whether a step of a package trains in a TrainJob."""
    return any(
        task.get("inputs", {}).get("parameters", {}).get("trainjob", {}).get("runtimeValue", {}).get("constant")
        for task in _tasks(spec)
    )


def delete_trainjobs(profile: Profile, run: Run, say: Callable[[str], None]) -> None:
    """Deletes the TrainJobs of a run that has ended, and says which; where that fails, how to do it.

    Args:
        profile: Names the namespace and the context of kubectl.
        run: The run; nothing is done where its package trains in no TrainJob.
        say: Takes a line for the reader.
    """
    if not trains_in_trainjobs(run.spec):
        return
    try:
        names = delete_jobs_of(run.id, profile.namespace, profile.kube_context)
    except LesionGenError as error:
        where = f" -n {profile.namespace}" if profile.namespace else ""
        say(f"TrainJobs of the run may still run; they end by themselves ten minutes after their step. {error}")
        say(f"To delete them now: kubectl{where} delete trainjobs -l {PIPELINE_RUN}={run.id}")
        return
    say(f"Deleted TrainJobs: {', '.join(names) or 'none was left'}.")


def _tasks(spec: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for part in (spec.get("root", {}), *spec.get("components", {}).values()):
        yield from part.get("dag", {}).get("tasks", {}).values()
