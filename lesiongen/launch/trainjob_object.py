"""TrainJobs as Kubernetes holds them: their names and labels, and the addresses that their processes are given."""

import hashlib
import json
import logging
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from lesiongen.launch.job import Job
from lesiongen.launch.lease import LEASE
from lesiongen.launch.worker import ERRORS, LEVEL

__all__ = ["PIPELINE_RUN", "WORK", "JobLayout", "Run", "addresses", "run_of", "trainjob", "work_label"]

API_VERSION = "trainer.kubeflow.org/v1alpha1"
WORK = "lesiongen/work"
"""Label of the TrainJobs that do the same work, whatever their layout."""
PIPELINE_RUN = "lesiongen/pipeline-run"
"""Label of the TrainJobs of a run of a pipeline; its value is the run's id."""


@dataclass(frozen=True)
class Run:
    """One run of a job: the TrainJob's name, and the addresses that its processes were given."""

    name: str
    errors: str
    lease: str
    earlier: bool = field(default=False, compare=False)
    """Whether another start has created it."""


@dataclass(frozen=True)
class JobLayout:
    """What a job runs on.

    Attributes:
        runtime: Name and kind of the runtime.
        image: The image of its nodes.
        nodes: How many.
        processes: How many on each node.
    """

    runtime: tuple[str, str]
    image: str
    nodes: int
    processes: int


def trainjob(job: Job, layout: JobLayout, place: str, *, deadline: int, pipeline_run: str | None) -> dict[str, Any]:
    """Returns the TrainJob of a job, whose name is that of the same job in the same layout.

    Args:
        job: What it runs.
        layout: What it runs on.
        place: Prefix below which the lease and the errors of this run go.
        deadline: Seconds after which the cluster ends it.
        pipeline_run: The run of a pipeline that it belongs to.
    """
    work = work_label(job.module, job.identity or secrets.token_hex(8))
    name = f"lg-{_digest(work, layout.image, layout.runtime[0], layout.nodes, layout.processes)}"
    of_run = f"{place}/{name}-{secrets.token_hex(4)}"
    variables = {
        ERRORS: f"{of_run}/errors",
        LEASE: f"{of_run}/lease.json",
        LEVEL: logging.getLevelName(logging.getLogger("lesiongen").getEffectiveLevel()),
        "TORCH_CPP_LOG_LEVEL": "ERROR",
        **({"OMP_NUM_THREADS": str(job.threads)} if job.threads else {}),
    }
    labels = {WORK: work, "app.kubernetes.io/managed-by": "lesiongen"}
    return {
        "apiVersion": API_VERSION,
        "kind": "TrainJob",
        "metadata": {"name": name, "labels": labels | ({PIPELINE_RUN: pipeline_run} if pipeline_run else {})},
        "spec": {
            "runtimeRef": {"name": layout.runtime[0], "kind": layout.runtime[1]},
            "activeDeadlineSeconds": deadline,
            "trainer": {
                "image": layout.image,
                "command": ["python", "-m", "lesiongen.launch.agent"],
                "args": ["--module", job.module, _literal(job.specification)],
                "env": [{"name": key, "value": _literal(value)} for key, value in variables.items()],
                "numNodes": layout.nodes,
                "numProcPerNode": layout.processes,
            },
        },
    }


def run_of(job: Mapping[str, Any] | None) -> Run | None:
    """Returns the run that a TrainJob of the cluster belongs to; None if no run of ours owns it."""
    if job is None:
        return None
    found = addresses(job)
    return Run(job["metadata"]["name"], *found, earlier=True) if all(found) else None


def addresses(job: Mapping[str, Any]) -> tuple[str, str]:
    """Returns where the processes of a TrainJob leave their errors, and where their lease is."""
    variables = {each["name"]: each.get("value", "") for each in job["spec"].get("trainer", {}).get("env", [])}
    return variables.get(ERRORS, "").replace("$$", "$"), variables.get(LEASE, "").replace("$$", "$")


def work_label(module: str, identity: str) -> str:
    """Returns the value of the label `WORK` of the TrainJobs that run a module for an identity."""
    return _digest(module, identity)


def _literal(text: str) -> str:
    """Returns a text of a container that Kubernetes reads as it is: ``$(NAME)`` would be the variable, a secret too."""
    return text.replace("$", "$$")


def _digest(*parts: object) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]
