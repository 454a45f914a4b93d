"""The nodes that Argo makes of a pipeline, laid out as Kubeflow's compiler does (argocompiler, 2.15 to 2.17)."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

WORKFLOW = "lesiongen-release-x7k2p"


@dataclass
class Node:
    """A node of a workflow."""

    name: str
    display_name: str
    template: str = ""
    step: str = ""
    """The step whose task or pod it is."""
    children: list["Node"] = field(default_factory=list)

    @property
    def id(self) -> str:
        """Argo's NodeID: the workflow's name and a hash of the node's."""
        if self.name == WORKFLOW:
            return WORKFLOW
        value = 2166136261
        for octet in self.name.encode():
            value = (value ^ octet) * 16777619 % 2**32
        return f"{WORKFLOW}-{value}"

    @property
    def pod(self) -> str:
        """The pod's name in the format that Argo has had since 3.4."""
        return f"{WORKFLOW}-{self.template}-{self.id.rpartition('-')[2]}"

    def all(self) -> Iterator["Node"]:
        """Yields it and all below it."""
        yield self
        for child in self.children:
            yield from child.all()


@dataclass(frozen=True)
class Layout:
    """What Kubeflow and the run make of a pipeline.

    Attributes:
        iterations: Rounds of every loop.
        attempts: How often a step that is tried again was tried.
        retries_all: Whether every step is tried again, as with the stock settings of 2.17.
    """

    iterations: int = 2
    attempts: int = 1
    retries_all: bool = False


def workflow(spec: Mapping[str, Any], layout: Layout) -> Node:
    """Returns the root of the nodes of a run.

    Args:
        spec: The pipeline specification.
        layout: What is made of it.
    """
    root = Node(f"{WORKFLOW}.root", "root")
    _fill(root, spec, spec["root"], layout)
    return Node(WORKFLOW, WORKFLOW, children=[Node(f"{WORKFLOW}.root-driver", "root-driver"), root])


def _fill(parent: Node, spec: Any, component: Any, layout: Layout) -> None:
    tasks = component["dag"]["tasks"]
    for name, task in tasks.items():
        inner = spec["components"][task["componentRef"]["name"]]
        place = parent
        if "triggerPolicy" in task:  # an exit handler is a hook of the task that it follows
            before = task["dependentTasks"][0]
            place = _child(parent, f"{before}.onExit", f"{before}.onExit")
        _child(place, f"{name}-driver", f"{name}-driver")
        node = _child(place, name, name)
        if "parameterIterator" in task or "artifactIterator" in task:
            for number in range(layout.iterations):
                round_name = f"iteration-iterations({number}:{number})"
                item = _child(_child(node, round_name, round_name), "iteration-item", "iteration-item")
                _fill(item, spec, inner, layout)
        elif "dag" in inner:
            _fill(node, spec, inner, layout)
        else:
            node.step = name
            _add_pods(node, "retryPolicy" in task, layout)


def _add_pods(node: Node, retried: bool, layout: Layout) -> None:
    template = "retry-system-container-impl" if retried else "system-container-impl"
    executor = Node(f"{node.name}.executor", "executor", template)
    node.children.append(executor)
    if not (retried or layout.retries_all):
        executor.step = node.step
        return
    for number in range(layout.attempts):
        executor.children.append(Node(f"{executor.name}({number})", f"executor({number})", template, step=node.step))


def _child(parent: Node, name: str, display_name: str) -> Node:
    child = Node(f"{parent.name}.{name}", display_name)
    parent.children.append(child)
    return child
