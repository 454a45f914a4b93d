"""The names of nodes and pods, against those that a cluster has given."""

from types import SimpleNamespace

import pytest

from pipelines.kubeflow.nodes import Step, pods_of, steps_of
from pipelines.kubeflow.package import Package
from tests.kubeflow.conftest import STEPS, STORED

# Pods that `kubectl get pods` listed after a run of Kubeflow's own tutorial "Control structures" (kubeflow/pipelines,
# issue 10036); the exit handler of that release was a task like others.
WORKFLOW = "tutorial-control-flows-gbjpn"
OBSERVED = {
    ("exit-handler-1", "fail-op"): "tutorial-control-flows-gbjpn-system-container-impl-2018360503",
    ("print-op",): "tutorial-control-flows-gbjpn-system-container-impl-1647980155",
}


def detail(*children):
    return SimpleNamespace(child_tasks=[SimpleNamespace(pod_name=child, task_id=None) for child in children])


@pytest.mark.parametrize("path", OBSERVED)
def test_the_pods_are_those_of_a_cluster(path):
    hashes = {pod.rpartition("-")[2] for pod in OBSERVED.values()}
    # The ids of the nodes on the way there, and of those that the cluster listed.
    outer = ["root", "root.exit-handler-1", *(f"root.{'.'.join(each)}" for each in OBSERVED)]
    nodes = [f"{WORKFLOW}-{fnv(f'{WORKFLOW}.{name}')}" for name in outer]
    task = detail(f"{WORKFLOW}-{OBSERVED[path].rpartition('-')[2]}")
    everything = [detail(*nodes, *(f"{WORKFLOW}-{each}" for each in hashes)), task]
    step = Step(path[-1], path, frozenset(), retried=False, after=())
    assert pods_of(step, task, everything) == [OBSERVED[path]]


def fnv(text):
    value = 2166136261
    for octet in text.encode():
        value = (value ^ octet) * 16777619 % 2**32
    return value


def test_steps_are_in_the_order_in_which_they_run():
    steps = steps_of(Package.read(STORED).spec)
    assert [step.name for step in steps] == STEPS
    assert [step.name for step in steps if step.after] == ["finish"]
    assert [step.name for step in steps if not step.retried] == ["validate", "require-passed", "promote", "finish"]


def test_without_children_no_pod_is_named():
    step = steps_of(Package.read(STORED).spec)[0]
    assert pods_of(step, SimpleNamespace(child_tasks=None), []) == []
