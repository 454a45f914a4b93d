"""The rights that the Role for TrainJobs gives are those that the launcher uses, as the double records its requests."""

import threading

import pytest
import yaml

from lesiongen.errors import LesionGenError
from lesiongen.launch import Job, TrainJobLauncher, trainjob, trainjob_log, trainjob_watch
from tests.infra.kustomize import INFRA
from tests.kubeflow.trainer import API, CORE, JOBS, NAMESPACE, trainer_double

ROLE = yaml.safe_load((INFRA / "kubernetes" / "base" / "training" / "role.yaml").read_text())
WATCHED = ("trainer.kubeflow.org", "trainjobs", "watch")
"""For `kubectl get trainjobs --watch`; the launcher asks again instead."""


def asked(method, path):
    """Returns what a request needs: the group of the API, the resource and the verb."""
    if method == "LOG":
        return ("", "pods/log", "get")
    for group, prefix in (("trainer.kubeflow.org", f"{API}/namespaces/{NAMESPACE}/"), ("", f"{CORE}/")):
        if path.startswith(prefix):
            resource, _, name = path.removeprefix(prefix).partition("/")
            return (group, resource, {"POST": "create", "DELETE": "delete"}.get(method) or ("get" if name else "list"))
    return None


def granted():
    return {
        (group, resource, verb)
        for rule in ROLE["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def test_the_role_allows_what_the_launcher_asks_for_and_no_more(tmp_path, monkeypatch, s3_root):
    pytest.importorskip("kubeflow")
    monkeypatch.setattr(trainjob, "POLL_SECONDS", 0.02)
    monkeypatch.setattr(trainjob_log, "AGAIN_SECONDS", 0.05)
    monkeypatch.setattr(trainjob_watch, "START_SECONDS", 0.5)
    with trainer_double(tmp_path) as double:
        monkeypatch.setenv("KUBECONFIG", str(tmp_path / "kubeconfig"))

        def start(job):
            """The first has no pods; the second runs, and ends."""
            if len(double.created) > 1:
                name = job["metadata"]["name"]
                double.add_pod(name, 0, "Running")
                double.logs[f"{name}-node-0"] = "step 1\n"
                threading.Timer(0.3, double.set_condition, (name, "Complete", "AllJobsCompleted")).start()

        double.script = start
        launcher = TrainJobLauncher(f"{s3_root}/jobs", runtime="lesiongen-torch-cpu", namespace=NAMESPACE)
        job = Job("a_module", "a specification", 1, identity="the same work")
        with pytest.raises(LesionGenError):
            launcher.run(job, lambda: False)
        launcher.run(job, lambda: False)
        requests = double.requests
    assert ("POST", JOBS) in requests
    needed = {asked(*request) for request in requests}
    assert needed - {None} == granted() - {WATCHED}
    others = {path for method, path in requests if asked(method, path) is None}
    # Trainer's version, which every account may read.
    assert others <= {"/api/v1/namespaces/kubeflow-system/configmaps/kubeflow-trainer-public", "/version"}
