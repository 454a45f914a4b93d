"""The TrainingRuntimes: valid objects, restricted pods, the names that the docs give."""

from pathlib import Path

import pytest
import yaml

from pipelines.tasks import _SECRET_KEYS, _SERVICE_KEYS
from tests.infra.kustomize import rendered
from tests.kubeflow import crds

FOLDER = Path(__file__).parents[2] / "infra" / "trainer"
RUNTIMES = [yaml.safe_load(path.read_text()) for path in sorted(FOLDER.glob("lesiongen-*.yaml"))]


def _pod(runtime):
    (job,) = runtime["spec"]["template"]["spec"]["replicatedJobs"]
    return job["template"]["spec"]["template"]["spec"]


@pytest.fixture(params=RUNTIMES, ids=lambda runtime: runtime["metadata"]["name"])
def runtime(request):
    return request.param


@pytest.mark.skipif(not crds.available(), reason=f"Kubeflow Trainer's definitions are not in {crds.FOLDER}")
def test_it_is_a_valid_object(runtime):
    pytest.importorskip("jsonschema")
    assert crds.faults(runtime) == []
    broken = yaml.safe_load(yaml.safe_dump(runtime))
    _pod(broken)["containers"][0]["imag"] = "x"
    assert len(crds.faults(broken)) == 1


def test_there_is_one_for_each_kind_of_node():
    assert [each["metadata"]["name"] for each in RUNTIMES] == ["lesiongen-torch-cpu", "lesiongen-torch-cuda"]
    gpus = [_pod(each)["containers"][0]["resources"]["limits"].get("nvidia.com/gpu") for each in RUNTIMES]
    assert gpus == [None, "1"]


def test_its_pods_are_allowed_at_the_level_restricted(runtime):
    pod = _pod(runtime)
    (container,) = pod["containers"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] == 1000
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    assert all(set(volume) <= {"name", "emptyDir"} for volume in pod["volumes"])
    assert pod["automountServiceAccountToken"] is False


def test_a_failed_pod_is_not_started_again_in_place(runtime):
    jobs = runtime["spec"]["template"]["spec"]
    assert jobs["failurePolicy"]["maxRestarts"] == 0
    assert jobs["replicatedJobs"][0]["template"]["spec"]["backoffLimit"] == 0
    assert _pod(runtime)["restartPolicy"] == "Never"


def test_its_variables_come_from_the_secret_and_the_config_map_of_the_pipelines(runtime):
    found = {"secretKeyRef": {}, "configMapKeyRef": {}}
    for variable in _pod(runtime)["containers"][0]["env"]:
        for kind, source in variable.get("valueFrom", {}).items():
            assert source["optional"] is True
            assert source["name"] == ("lesiongen-storage" if kind == "secretKeyRef" else "lesiongen-services")
            found[kind][source["key"]] = variable["name"]
    assert found == {"secretKeyRef": _SECRET_KEYS, "configMapKeyRef": _SERVICE_KEYS}


def test_it_has_shared_memory_of_its_own(runtime):
    pod = _pod(runtime)
    assert pod["volumes"][0]["emptyDir"]["medium"] == "Memory"
    assert pod["containers"][0]["volumeMounts"] == [{"name": "shared-memory", "mountPath": "/dev/shm"}]


def test_kustomize_renders_both():
    assert [each["metadata"]["name"] for each in rendered(FOLDER)] == [each["metadata"]["name"] for each in RUNTIMES]
