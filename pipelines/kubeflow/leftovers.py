"""TrainJobs that a cancelled run leaves: Kubeflow kills the step that would delete them."""

from collections.abc import Callable, Iterator
from typing import Any

from lesiongen.errors import LesionGenError
from lesiongen.launch.trainjob_deletion import delete_jobs_of
from lesiongen.launch.trainjob_object import PIPELINE_RUN
from pipelines.kubeflow.runs import Run
from pipelines.kubeflow.server import Server

__all__ = ["delete_trainjobs", "say_how_to_delete", "trainjob_of"]


def trainjob_of(spec: dict[str, Any]) -> dict[str, Any]:
    """Returns what a package says of the TrainJob that it trains in; empty where its step trains."""
    parameters = (task.get("inputs", {}).get("parameters", {}) for task in _tasks(spec))
    said = (each.get("trainjob", {}).get("runtimeValue", {}).get("constant") for each in parameters)
    return next((dict(each) for each in said if each), {})


def delete_trainjobs(server: Server, run: Run, say: Callable[[str], None]) -> None:
    """Deletes the TrainJobs of a run that has ended, and says which; where that fails, how to do it.

    Args:
        server: Its profile names the context of kubectl.
        run: The run; nothing is done where its package trains in no TrainJob.
        say: Takes a line for the reader.
    """
    if not trainjob_of(run.spec):
        return
    namespace = _namespace(server, run)
    try:
        names = delete_jobs_of(run.id, namespace, server.profile.kube_context)
    except LesionGenError as error:
        say(str(error))
        say_how_to_delete(server, run, say)
        return
    found = f"Deleted TrainJobs: {', '.join(names)}." if names else "The run has left no TrainJobs"
    say(found if names else f"{found} in the namespace {namespace}.")


def say_how_to_delete(server: Server, run: Run, say: Callable[[str], None]) -> None:
    """Says what becomes of the TrainJobs of a run and how to delete them; nothing where its package has none."""
    if trainjob_of(run.spec):
        where = f"-n {_namespace(server, run)} delete trainjobs -l {PIPELINE_RUN}={run.id}"
        say(
            "TrainJobs of the run that train end ten minutes after their step; those that wait in a queue stay. "
            f"To delete them: kubectl {where}"
        )


def _namespace(server: Server, run: Run) -> str:
    """Returns where the TrainJobs are: what the package says, else where the steps' pods run."""
    return str(trainjob_of(run.spec).get("namespace") or server.namespace or server.profile.kubeflow_namespace)


def _tasks(spec: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for part in (spec.get("root", {}), *spec.get("components", {}).values()):
        yield from part.get("dag", {}).get("tasks", {}).values()
