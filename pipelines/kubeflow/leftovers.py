"""TrainJobs that a cancelled run leaves: Kubeflow kills the step that would delete them."""

from collections.abc import Callable, Iterator
from typing import Any

from lesiongen.errors import LesionGenError
from lesiongen.launch.trainjob_deletion import delete_jobs_of
from lesiongen.launch.trainjob_object import PIPELINE_RUN
from pipelines.kubeflow.profile import Profile
from pipelines.kubeflow.runs import Run

__all__ = ["delete_trainjobs", "trainjob_of"]


def trainjob_of(spec: dict[str, Any]) -> dict[str, Any]:
    """Returns what a package says of the TrainJob that it trains in; empty where its step trains."""
    parameters = (task.get("inputs", {}).get("parameters", {}) for task in _tasks(spec))
    said = (each.get("trainjob", {}).get("runtimeValue", {}).get("constant") for each in parameters)
    return next((dict(each) for each in said if each), {})


def delete_trainjobs(profile: Profile, run: Run, say: Callable[[str], None]) -> None:
    """Deletes the TrainJobs of a run that has ended, and says which; where that fails, how to do it.

    Args:
        profile: Names the context of kubectl, and the namespace unless the package does.
        run: The run; nothing is done where its package trains in no TrainJob.
        say: Takes a line for the reader.
    """
    trainjob = trainjob_of(run.spec)
    if not trainjob:
        return
    namespace = trainjob.get("namespace") or profile.namespace
    try:
        names = delete_jobs_of(run.id, namespace, profile.kube_context)
    except LesionGenError as error:
        where = f" -n {namespace}" if namespace else ""
        say(f"TrainJobs of the run may still run; they end by themselves ten minutes after their step. {error}")
        say(f"To delete them now: kubectl{where} delete trainjobs -l {PIPELINE_RUN}={run.id}")
        return
    say(f"Deleted TrainJobs: {', '.join(names) or 'none was left'}.")


def _tasks(spec: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for part in (spec.get("root", {}), *spec.get("components", {}).values()):
        yield from part.get("dag", {}).get("tasks", {}).values()
