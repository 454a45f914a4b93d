"""Runs of the double: their states, their nodes and their logs."""

import itertools
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.kubeflow.argo import Node, workflow
from tests.kubeflow.definitions import Problem
from tests.kubeflow.execution import Execution

if TYPE_CHECKING:
    from tests.kubeflow.server import Kubeflow

ENDED = ("SUCCEEDED", "FAILED", "CANCELED", "SKIPPED")
NEVER = "1970-01-01T00:00:00Z"
"""What the server writes for a time that has not come."""
Course = list[dict[str, str]]
"""States of steps, and of the run as ``run``; one after the other comes into force as the run is asked for."""


class ServerRun:
    """A run: its object, and how it continues."""

    def __init__(self, server: "Kubeflow", body: dict[str, Any], spec: dict[str, Any], package: Path) -> None:
        self.server, self.spec, self.id = server, spec, str(uuid.uuid4())
        self.body = {**body, "run_id": self.id, "created_at": now()}
        self.states: dict[str, str] = {"run": "PENDING"}
        self.times: dict[str, list[str]] = {}
        self.course = iter(list(server.course))
        self.cancelled = False
        self.execution: Execution | None = None
        if server.executes:
            inputs = spec["root"].get("inputDefinitions", {}).get("parameters", {})
            given = body.get("runtime_config", {}).get("parameters", {})
            arguments = {name: value for name, value in given.items() if name in inputs}
            self.execution = Execution(package, arguments, server.folder / self.id, run=self.id)

    def advance(self) -> None:
        """Goes one step further on its course."""
        if self.states["run"] in ENDED:
            return
        if self.cancelled:
            if not self.server.stubborn:
                running = [name for name, state in self.states.items() if state == "RUNNING" and name != "run"]
                self.set({**dict.fromkeys(running, "FAILED"), "run": "CANCELED"})
        elif self.execution:
            state = {None: "RUNNING", True: "SUCCEEDED", False: "FAILED"}[self.execution.ended]
            self.set({**self.execution.states, "run": state})
        else:
            self.set(next(self.course, {}))

    def set(self, states: dict[str, str]) -> None:
        """Puts states into force."""
        for name, state in states.items():
            times = self.times.setdefault(name, [now(), NEVER])
            if state in ENDED:
                times[1] = now()
        self.states.update(states)

    def cancel(self) -> None:
        """Ends it: steps are killed."""
        if self.states["run"] in (*ENDED, "CANCELING"):
            raise Problem(400, f"Failed to terminate a run {self.id}. Row not found")
        self.cancelled = True
        self.states["run"] = "CANCELING"
        if self.execution:
            self.execution.kill()
            self.set(self.execution.states)

    def as_dict(self) -> dict[str, Any]:
        """Returns the object of the API."""
        details = [self._detail(node) for node in self._nodes().all() if self._has_begun(node)]
        return {
            **self.body,
            "state": self.states["run"],
            "finished_at": self.times.get("run", [NEVER, NEVER])[1],
            "run_details": {"task_details": details},
        }

    def log_of(self, pod: str) -> str | None:
        """Returns the log of a pod, None where there is no such pod."""
        for node in self._nodes().all():
            if node.template and node.step and node.pod == pod and node.step in self.states:
                if self.execution:
                    return self.execution.logs.get(node.step)
                number = node.name.rpartition(".executor")[2] or "(0)"
                text = self.server.logs.get(node.step)
                return None if text is None else text.replace("{node}", node.name).replace("{attempt}", number)
        return None

    def _nodes(self) -> Node:
        return workflow(self.spec, self.server.layout)

    def _has_begun(self, node: Node) -> bool:
        return not node.step or node.step in self.states

    def _detail(self, node: Node) -> dict[str, Any]:
        start, end = self.times.get(node.step or "run", [now(), NEVER])
        return {
            "run_id": self.id,
            "task_id": str(uuid.uuid5(uuid.NAMESPACE_URL, node.id)),
            "display_name": node.display_name,
            "create_time": self.body["created_at"],
            "start_time": start,
            "end_time": end,
            "state": self.states.get(node.step or "run", "RUNNING"),
            "child_tasks": [{"pod_name": child.id} for child in node.children],
        }


_clock = itertools.count()


def now() -> str:
    """Returns the time of the double."""
    # A second for every question: orders and durations are the same in every run of a test.
    return f"{datetime.fromtimestamp(1_700_000_000 + next(_clock), UTC):%Y-%m-%dT%H:%M:%SZ}"
