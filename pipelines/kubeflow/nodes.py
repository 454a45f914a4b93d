"""Which pods ran a step: the API of a run names neither, but both follow from the names that Argo gives its nodes.

A run's task details hold display names and the ids of child nodes. An id is the workflow's name and a hash of the
node's full name (Argo's ``NodeID``, FNV-1a of 32 bits); full names are the path through the pipeline as Kubeflow's
compiler lays it out (``backend/src/v2/compiler/argocompiler``, 2.15 to 2.17). A name counts only if its id is there.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["Step", "pods_of", "steps_of"]

_ITERATION = "iteration-iterations({0}:{0})"


@dataclass(frozen=True)
class Step:
    """One step of a pipeline: a task that a container runs.

    Attributes:
        name: As the pipeline calls it.
        path: The tasks around it, outermost first, and itself.
        repeated: Which of them are run once for each item of a list.
        retried: Whether the package says how often it is tried again.
        after: The tasks whose end it waits for, as an exit handler does.
    """

    name: str
    path: tuple[str, ...]
    repeated: frozenset[str]
    retried: bool
    after: tuple[str, ...]


def steps_of(spec: Mapping[str, Any]) -> list[Step]:
    """Returns the steps of a pipeline, each behind those that it depends on."""
    return list(_steps(spec, spec.get("root", {}), (), frozenset()))


def _steps(
    spec: Mapping[str, Any], component: Mapping[str, Any], outer: tuple[str, ...], repeated: frozenset[str]
) -> Iterator[Step]:
    tasks = component.get("dag", {}).get("tasks", {})
    for name in _in_order(tasks):
        task = tasks[name]
        inner = spec.get("components", {}).get(task["componentRef"]["name"], {})
        path = (*outer, name)
        loop = repeated | {name} if "parameterIterator" in task or "artifactIterator" in task else repeated
        if "dag" in inner:
            yield from _steps(spec, inner, path, loop)
        else:
            after = task.get("dependentTasks", ()) if "triggerPolicy" in task else ()
            yield Step(name, path, loop, "retryPolicy" in task, tuple(after))


def _in_order(tasks: Mapping[str, Any]) -> list[str]:
    """Returns the names of tasks, each behind those that it depends on."""
    ordered: list[str] = []

    def add(name: str) -> None:
        if name not in ordered:
            for before in tasks[name].get("dependentTasks", ()):
                add(before)
            ordered.append(name)

    for name in tasks:
        add(name)
    return ordered


def pods_of(step: Step, task: Any, details: Iterable[Any]) -> list[str]:
    """Returns the pods that ran a step, the newest attempt last; none where the run does not name them.

    Args:
        step: The step.
        task: Its task detail.
        details: All task details of the run.
    """
    ids = {id for each in details for id in _children(each)}
    own = set(_children(task))
    template = f"{'retry-' if step.retried else ''}system-container-impl"
    workflow = next(iter(own), "").rpartition("-")[0]
    return [f"{workflow}-{template}-{_hash(name)}" for name in _Tree(workflow, ids).executors(step, own)]


def _children(task: Any) -> list[str]:
    return [id for child in task.child_tasks or () if (id := child.pod_name or child.task_id)]


class _Tree:
    """The nodes of one workflow, found by their names."""

    def __init__(self, workflow: str, ids: set[str]) -> None:
        self._workflow, self._ids = workflow, ids

    def executors(self, step: Step, own: set[str]) -> list[str]:
        """Returns the names of the nodes that ran a step in a container, the newest attempt last.

        Args:
            step: The step.
            own: The ids below its node, which tell the rounds of a loop apart.
        """
        names = [self._workflow, *self._attempts(self._workflow)]
        for task in ("root", *step.path):
            if task == step.name and step.after:
                names = self._below(names, *(f"{before}.onExit" for before in step.after))
            names = self._below(names, task)
            if task in step.repeated:
                names = self._below(self._iterations(names), "iteration-item")
        names = [name for name in self._below(names, "executor") if name.endswith(")") or self._id(name) in own]
        return [name for name in names if name.endswith(")") and name.rpartition("(")[0] in names] or names

    def _below(self, parents: list[str], *tasks: str) -> list[str]:
        wanted = [f"{parent}.{task}" for parent in parents for task in tasks]
        return [found for name in wanted for found in (*self._there(name), *self._attempts(name))]

    def _there(self, name: str) -> list[str]:
        return [name] if self._id(name) in self._ids else []

    def _id(self, name: str) -> str:
        return f"{self._workflow}-{_hash(name)}"

    def _attempts(self, name: str) -> list[str]:
        """Returns the nodes of the attempts of a node that is tried again."""
        return self._numbered(name + "({0})")

    def _iterations(self, parents: list[str]) -> list[str]:
        return [name for parent in parents for name in self._numbered(f"{parent}.{_ITERATION}")]

    def _numbered(self, pattern: str) -> list[str]:
        found: list[str] = []
        while there := self._there(pattern.format(len(found))):
            found += there
        return found


def _hash(name: str) -> int:
    """Returns the FNV-1a hash of 32 bits.

    >>> _hash("a")
    3826002220
    """
    value = 0x811C9DC5
    for octet in name.encode():
        value = ((value ^ octet) * 0x01000193) & 0xFFFFFFFF
    return value
