"""The one MLflow run that the stages of a pipeline run are nested in, whichever of them begins first."""

from collections.abc import Mapping, Sequence
from typing import Any

__all__ = [
    "KIND_TAG",
    "NESTED_TAG",
    "OWNER_TAG",
    "PARENT_TAG",
    "STAGE_TAG",
    "close_left_open",
    "parent_run",
    "parent_runs",
    "stage_ended_well",
    "united",
]

PARENT_TAG = "lesiongen.pipeline_run"
NESTED_TAG = "mlflow.parentRunId"
KIND_TAG = "lesiongen.kind"
STAGE_TAG = "lesiongen.stage"
OWNER_TAG = "lesiongen.owner"
"""Says which process a run is open in."""


def parent_run(client: Any, experiment: str, pipeline_run: str, tags: Mapping[str, str]) -> str:
    """Returns the id of the run of a pipeline run, opened again, or created if it does not exist yet.

    Stages that begin at the same moment may each create one: `united` is called after a stage's own run was created.
    """
    if found := parent_runs(client, experiment, pipeline_run):
        _reopen(client, found[0], tags.get(OWNER_TAG))
        return found[0]
    all_tags = {KIND_TAG: "pipeline", PARENT_TAG: pipeline_run, **tags}
    return str(client.create_run(experiment, tags=all_tags, run_name=pipeline_run).info.run_id)


def parent_runs(client: Any, experiment: str, pipeline_run: str) -> list[str]:
    """Returns the ids of the runs that were created for a pipeline run, the oldest first."""
    query = f"tags.`{PARENT_TAG}` = '{pipeline_run}' and tags.`{KIND_TAG}` = 'pipeline'"
    runs: Sequence[Any] = client.search_runs([experiment], query, order_by=["attributes.start_time ASC"])
    ordered = sorted(runs, key=lambda run: (run.info.start_time, run.info.run_id))
    return [str(run.info.run_id) for run in ordered]


def united(client: Any, experiment: str, pipeline_run: str) -> str | None:
    """Leaves one run of a pipeline run, the oldest, with all stages in it.

    MLflow has no runs that are created only once by name. So each stage comes here after its own runs were created, and
    repeats until it finds nothing to do: whoever writes last looks after all the others have written, however slow
    their requests are. The oldest of all is never deleted, since only an older one makes a run surplus.

    Returns:
        The id of the run, or None where somebody has deleted it.
    """
    while parents := parent_runs(client, experiment, pipeline_run):
        oldest, *surplus = parents
        query = f"tags.`{PARENT_TAG}` = '{pipeline_run}' and tags.`{NESTED_TAG}` != '{oldest}'"
        elsewhere = client.search_runs([experiment], query)
        if not surplus and not elsewhere:
            return oldest
        for run in elsewhere:
            client.set_tag(run.info.run_id, NESTED_TAG, oldest)
        for run_id in surplus:
            _delete(client, run_id)
    return None


def stage_ended_well(client: Any, experiment: str, pipeline_run: str, stage: str) -> bool:
    """Tells whether the newest run of a stage has finished."""
    query = f"tags.`{PARENT_TAG}` = '{pipeline_run}' and tags.`{STAGE_TAG}` = '{stage}'"
    found = client.search_runs([experiment], query, order_by=["attributes.start_time DESC"], max_results=1)
    return any(run.info.status == "FINISHED" for run in found)


def close_left_open(client: Any, experiment: str, pipeline_run: str) -> None:
    """Closes the runs of stages whose processes were killed, once all steps of their pipeline run have ended."""
    query = f"tags.`{PARENT_TAG}` = '{pipeline_run}' and tags.`{KIND_TAG}` = 'stage' and attributes.status = 'RUNNING'"
    for run in client.search_runs([experiment], query):
        client.set_terminated(run.info.run_id, "KILLED")


def _delete(client: Any, run_id: str) -> None:
    from mlflow.exceptions import MlflowException

    try:
        client.delete_run(run_id)
    except MlflowException:  # another stage may have deleted it
        if client.get_run(run_id).info.lifecycle_stage == "active":
            raise


def _reopen(client: Any, parent: str, owner: str | None) -> None:
    """Opens the run of a pipeline run that is resumed: a killed one may have been closed meanwhile."""
    if owner and client.get_run(parent).data.tags.get(OWNER_TAG) != owner:
        client.set_tag(parent, OWNER_TAG, owner)  # first: open, it must not name a dead process
        client.update_run(parent, status="RUNNING")
