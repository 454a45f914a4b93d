"""A TrainJob from its creation to its end, with scripted nodes: what is found again, what fails, what is left."""

import logging
import re
import threading
import time

import pytest

from lesiongen.errors import DataError, Interrupted, LesionGenError, ServiceError, Unreachable, UsageError
from lesiongen.launch import (
    ERRORS,
    LEASE,
    Job,
    TrainJobLauncher,
    lease,
    trainjob,
    trainjob_deletion,
    trainjob_log,
    trainjob_sdk,
    trainjob_watch,
)
from lesiongen.storage import open_storage
from tests.kubeflow.trainer import NAMESPACE, Refused, arguments_of, trainer_double, variables_of

JOB = Job("a_module", "a specification", 4, identity="the same work")


@pytest.fixture
def cluster(tmp_path, monkeypatch):
    pytest.importorskip("kubeflow")
    monkeypatch.setattr(trainjob, "POLL_SECONDS", 0.02)
    monkeypatch.setattr(trainjob_deletion, "GONE_POLL_SECONDS", 0.02)
    monkeypatch.setattr(trainjob_deletion, "DELETE_SECONDS", 0.02)
    monkeypatch.setattr(trainjob_watch, "START_SECONDS", 1.0)
    monkeypatch.setattr(trainjob_watch, "WARN_SECONDS", 0.1)
    monkeypatch.setattr(trainjob_log, "AGAIN_SECONDS", 0.05)
    with trainer_double(tmp_path) as double:
        monkeypatch.setenv("KUBECONFIG", str(tmp_path / "kubeconfig"))
        double.script = lambda job: complete(double, job)
        yield double


@pytest.fixture
def launcher(s3_root):
    return TrainJobLauncher(f"{s3_root}/jobs", runtime="lesiongen-torch-cpu", nodes=2, namespace=NAMESPACE)


def complete(cluster, job):
    cluster.add_pod(job["metadata"]["name"], 0, "Succeeded")
    cluster.set_condition(job["metadata"]["name"], "Complete", "AllJobsCompleted")


def fail(cluster, job, reason="FailedJobs", message="jobset failed"):
    cluster.set_condition(job["metadata"]["name"], "Failed", reason, message)


def variable(job, name):
    return next(each["value"] for each in job["spec"]["trainer"]["env"] if each["name"] == name)


def in_a_thread(launcher, job, stop=lambda: False):
    """Runs a job, and returns a function that waits for its end."""
    raised = []

    def work():
        try:
            launcher.run(job, stop)
        except Exception as error:
            raised.append(error)

    thread = threading.Thread(target=work)
    thread.start()

    def end():
        thread.join(30)
        assert not thread.is_alive()
        if raised:
            raise raised[0]

    return end


def until(condition, seconds=20):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


# What is created


def test_the_job_says_how_many_processes_run_where(cluster, launcher):
    launcher.run(JOB, lambda: False)
    (job,) = cluster.created
    spec, trainer = job["spec"], job["spec"]["trainer"]
    assert spec["runtimeRef"] == {"name": "lesiongen-torch-cpu", "kind": "TrainingRuntime"}
    assert (trainer["numNodes"], trainer["numProcPerNode"], spec["activeDeadlineSeconds"]) == (2, 2, 48 * 3600)
    assert trainer["image"] == "lesiongen:local"  # the runtime's
    assert trainer["args"] == ["--module", "a_module", "a specification"]
    assert variable(job, ERRORS).startswith(f"{launcher.place}/lg-")
    assert {each["name"] for each in trainer["env"]} == {  # secrets come from the runtime
        "LESIONGEN_JOB_ERRORS", "LESIONGEN_JOB_LEASE", "LESIONGEN_JOB_LOG_LEVEL", "TORCH_CPP_LOG_LEVEL",
    }  # fmt: skip
    assert cluster.jobs == {}
    assert not list(open_storage(launcher.place).list())


def test_no_text_of_a_dataset_is_expanded_into_a_secret(cluster, s3_root):
    """Kubernetes replaces ``$(NAME)`` in arguments and variables, and takes ``$$`` for a dollar."""
    text = "a mole of $5 or $$5, $(SECRET), $$(SECRET), $"
    launcher = TrainJobLauncher(f"{s3_root}/$(SECRET)", runtime="lesiongen-torch-cpu", namespace=NAMESPACE)
    launcher.run(Job("a_module", text, 1), lambda: False)
    (job,) = cluster.created
    secrets = {"SECRET": "the key"}
    assert arguments_of(job, secrets) == ["--module", "a_module", text]
    assert variables_of(job, secrets)[LEASE].startswith(f"{s3_root}/$(SECRET)/lg-")
    assert not list(open_storage(launcher.place).list())


def test_its_name_follows_the_work_the_image_and_the_layout(cluster, s3_root):
    def name(job=JOB, **options):
        TrainJobLauncher(f"{s3_root}/jobs", runtime="lesiongen-torch-cpu", namespace=NAMESPACE, **options).run(
            job, lambda: False
        )
        return cluster.created[-1]["metadata"]["name"]

    first = name()
    assert first == name(Job("a_module", "of another MLflow run", 4, identity="the same work"))
    others = {name(nodes=2), name(image="lesiongen:2"), name(Job("a_module", "a specification", 4, identity="other"))}
    assert len({first} | others) == 4


def test_a_job_without_an_identity_is_never_taken_for_another(cluster, launcher):
    """Two trainings at a time may encode the same images: neither may delete the TrainJob of the other."""
    for _ in range(2):
        launcher.run(Job("a_module", "a specification", 4), lambda: False)
    first, second = cluster.created
    assert first["metadata"]["name"] != second["metadata"]["name"]
    assert first["metadata"]["labels"] != second["metadata"]["labels"]


def test_every_run_has_places_of_its_own(cluster, launcher):
    launcher.run(JOB, lambda: False)
    launcher.run(JOB, lambda: False)
    first, second = cluster.created
    assert first["metadata"]["name"] == second["metadata"]["name"]
    assert variable(first, ERRORS) != variable(second, ERRORS)
    assert variable(first, LEASE) != variable(second, LEASE)


def test_a_job_of_one_process_takes_one_node(cluster, launcher):
    launcher.run(Job("a_module", "x", 1, threads=3), lambda: False)
    (job,) = cluster.created
    assert job["spec"]["trainer"]["numNodes"] == 1
    assert variable(job, "OMP_NUM_THREADS") == "3"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"nodes": 3}, "4 processes cannot be spread evenly over 3 nodes"),
        ({"runtime": "absent"}, "The runtime absent cannot be used in the namespace science"),
        ({"runtime": "lesiongen-torch-cuda", "nodes": 2}, "2 processes of a node need a GPU each; .* gives it 1"),
    ],
)
def test_what_cannot_run_is_refused_before_anything_is_created(cluster, s3_root, options, message):
    chosen = {"runtime": "lesiongen-torch-cpu", "namespace": NAMESPACE, **options}
    with pytest.raises(UsageError, match=message):
        TrainJobLauncher(f"{s3_root}/jobs", **chosen).run(JOB, lambda: False)
    assert cluster.created == []


def test_one_process_for_each_gpu_is_accepted(cluster, s3_root):
    chosen = {"runtime": "lesiongen-torch-cuda", "namespace": NAMESPACE, "nodes": 4}
    TrainJobLauncher(f"{s3_root}/jobs", **chosen).run(JOB, lambda: False)
    assert cluster.created[0]["spec"]["trainer"]["numProcPerNode"] == 1


def test_without_the_extra_the_error_says_how_to_install_it(monkeypatch):
    def absent(name):
        raise ModuleNotFoundError(name)

    for found in (absent, lambda name: None):
        monkeypatch.setattr(trainjob_sdk, "find_spec", found)
        with pytest.raises(UsageError, match=r"pip install '\.\[cluster\]'"):
            TrainJobLauncher("s3://bucket/jobs", runtime="x")


def test_a_place_on_this_host_is_refused(tmp_path):
    with pytest.raises(UsageError, match="is a folder of this host"):
        TrainJobLauncher(str(tmp_path), runtime="x")


def test_torchrun_leaves_the_processes_nearly_all_of_the_grace_period_of_their_pod(cluster):
    for runtime in cluster.runtimes.values():
        pod = runtime["spec"]["template"]["spec"]["replicatedJobs"][0]["template"]["spec"]["template"]["spec"]
        variables = {each["name"]: each.get("value") for each in pod["containers"][0]["env"]}
        seconds = int(variables["TORCH_ELASTIC_SHUTDOWN_TIMEOUT"])
        assert pod["terminationGracePeriodSeconds"] - 30 <= seconds < pod["terminationGracePeriodSeconds"]


# What is found from an earlier start


def _left_behind(cluster, launcher):
    """A TrainJob whose launcher was killed."""
    from lesiongen.launch.trainjob_cluster import Cluster

    job = launcher._planned(JOB, Cluster(NAMESPACE))
    script, cluster.script = cluster.script, lambda job: None
    cluster.answer("POST", f"/apis/trainer.kubeflow.org/v1alpha1/namespaces/{NAMESPACE}/trainjobs", {}, job)
    cluster.script = script
    return cluster.created[-1]


@pytest.mark.parametrize("hidden", [False, True], ids=["listed", "created since it was looked for"])
def test_a_job_that_still_runs_is_waited_for(cluster, launcher, hidden):
    left = _left_behind(cluster, launcher)
    cluster.add_pod(left["metadata"]["name"], 0, "Running")
    cluster.hidden = hidden
    end = in_a_thread(launcher, JOB)
    until(lambda: ("GET", f"/api/v1/namespaces/{NAMESPACE}/pods") in cluster.requests)
    place, _, key = variable(left, LEASE).rpartition("/")
    assert open_storage(place).read_json(key)["state"] == "run"  # it renews the lease that the processes look at
    complete(cluster, left)
    end()
    assert cluster.created == [left]
    assert cluster.jobs == {}
    assert not list(open_storage(launcher.place).list())


def test_a_job_that_is_complete_is_collected(cluster, launcher):
    complete(cluster, _left_behind(cluster, launcher))
    launcher.run(JOB, lambda: False)
    assert len(cluster.created) == 1
    assert cluster.jobs == {}


def test_a_job_that_failed_is_deleted_and_created_again_once_it_is_gone(cluster, launcher):
    left = _left_behind(cluster, launcher)
    cluster.add_pod(left["metadata"]["name"], 0, "Failed")
    fail(cluster, left)
    cluster.lingers = cluster.pods_linger = 3

    def script(job):
        assert job["metadata"]["name"] not in cluster.pods  # of the earlier one none runs any more
        complete(cluster, job)

    cluster.script = script
    launcher.run(JOB, lambda: False)
    assert len(cluster.created) == 2
    assert len(cluster.deleted) == 2


def test_the_same_work_in_another_layout_does_not_run_beside_it(cluster, launcher, s3_root):
    other = TrainJobLauncher(f"{s3_root}/jobs", runtime="lesiongen-torch-cpu", nodes=4, namespace=NAMESPACE)
    left = _left_behind(cluster, other)
    launcher.run(JOB, lambda: False)
    assert cluster.deleted[0] == left["metadata"]["name"]
    assert len(cluster.created) == 2


def test_a_start_that_does_not_resume_ends_every_job_of_the_same_work(cluster, launcher, s3_root):
    """It deletes the checkpoints next: what still ran would write new ones, and its result be taken for this one's."""
    other = TrainJobLauncher(f"{s3_root}/jobs", runtime="lesiongen-torch-cpu", nodes=4, namespace=NAMESPACE)
    for each in (launcher, other):
        left = _left_behind(cluster, each)
        cluster.add_pod(left["metadata"]["name"], 0, "Running")
    complete(cluster, left)
    cluster.pods_linger = 2
    launcher.end_earlier(JOB.module, "other work")
    assert len(cluster.jobs) == 2
    launcher.end_earlier(JOB.module, JOB.identity)
    assert (cluster.jobs, cluster.pods) == ({}, {})


def test_what_a_launcher_left_that_was_killed_before_the_creation_is_deleted(cluster, launcher):
    from lesiongen.launch.trainjob_cluster import Cluster

    name, other = launcher._planned(JOB, Cluster(NAMESPACE))["metadata"]["name"], "lg-0123456789abcdef"
    place = open_storage(launcher.place)
    for each in (name, other):
        place.write_json(f"{each}-12345678/lease.json", {"state": "run"})
    launcher.run(JOB, lambda: False)
    assert [item.key for item in place.list()] == [f"{other}-12345678/lease.json"]


def test_settings_that_a_job_of_an_earlier_start_does_not_take_over_are_logged(cluster, launcher, caplog):
    caplog.set_level(logging.INFO, "lesiongen")
    complete(cluster, _left_behind(cluster, launcher))
    launcher.deadline = 3600
    launcher.run(Job("a_module", "another specification", 4, identity="the same work"), lambda: False)
    name = cluster.created[0]["metadata"]["name"]
    assert f"TrainJob {name} keeps its own deadline: 48.0 hours" in caplog.messages
    assert f"TrainJob {name} keeps the settings that it was started with" in caplog.messages


def test_a_job_that_was_stopping_is_started_again(cluster, launcher):
    left = _left_behind(cluster, launcher)
    leave_error(left, "Interrupted", "Stopped by SIGTERM after step 3")
    fail(cluster, left)
    left["status"]["conditions"].clear()  # it fails once this launcher waits for it
    end = in_a_thread(launcher, JOB)
    until(lambda: ("GET", f"/api/v1/namespaces/{NAMESPACE}/pods") in cluster.requests)
    fail(cluster, left)
    end()
    assert len(cluster.created) == 2


# How it fails


def leave_error(job, kind, message):
    content = {"kind": kind, "message": message, "hint": None, "time": 1.0}
    open_storage(variable(job, ERRORS)).write_json("error-0.json", content)


def test_an_error_of_a_process_is_raised_as_itself(cluster, launcher):
    def script(job):
        leave_error(job, "DataError", "row 7 is wrong")
        fail(cluster, job)

    cluster.script = script
    with pytest.raises(DataError, match="^row 7 is wrong$"):
        launcher.run(JOB, lambda: False)
    assert cluster.jobs == {}


def waiting(reason, message):
    return {"containerStatuses": [{"image": "a/b:1", "state": {"waiting": {"reason": reason, "message": message}}}]}


def unschedulable(message):
    condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}
    return {"conditions": [condition]}


POD_TROUBLES = {
    "image pull": (
        ("Pending", waiting("ImagePullBackOff", "not found")),
        r"The image a/b:1 cannot be pulled: not found\nCheck the name of the image",
    ),
    "secret": (
        ("Pending", waiting("CreateContainerConfigError", 'secret "x" not found')),
        'container of pod lg-.*-node-1 cannot be started: secret "x" not found\nCheck the Secret',
    ),
    "unschedulable": (
        ("Pending", unschedulable("0/3 nodes are available: 3 Insufficient nvidia.com/gpu.")),
        r"No node of the cluster can take pod lg-.*: 0/3 nodes are available.*\nAsk for fewer nodes",
    ),
    "out of memory": (
        ("Failed", {"containerStatuses": [{"state": {"terminated": {"reason": "OOMKilled", "exitCode": 137}}}]}),
        r"ran out of memory and was killed \(OOMKilled\)\nRaise the memory limit",
    ),
    "evicted": (
        ("Failed", {"reason": "Evicted", "message": "The node was low on resource: memory."}),
        r"was evicted from its node \(Evicted: The node was low on resource: memory.\)\nRun the same command again",
    ),
    "preempted": (
        ("Failed", {"conditions": [{"type": "DisruptionTarget", "status": "True", "reason": "PreemptionByScheduler"}]}),
        r"was evicted from its node \(PreemptionByScheduler\)\nRun the same command again",
    ),
}


@pytest.mark.parametrize("what", POD_TROUBLES)
def test_what_is_wrong_with_a_pod_is_named(cluster, launcher, what):
    (phase, status), message = POD_TROUBLES[what]

    def script(job):
        name = job["metadata"]["name"]
        cluster.add_pod(name, 0, "Running")
        cluster.add_pod(name, 1, phase, **status)
        if phase == "Failed":
            # The other node sees only that the connection is gone.
            place = open_storage(variable(job, ERRORS))
            place.write_text("failure-0.txt", "RuntimeError: Connection closed by peer [10.0.0.2]:4242")
            fail(cluster, job)

    cluster.script = script
    with pytest.raises(LesionGenError, match=message):
        launcher.run(JOB, lambda: False)
    assert cluster.jobs == {}


def test_what_ended_a_pod_is_named_though_the_pod_is_removed_before_the_job_fails(cluster, launcher):
    def script(job):
        (phase, status), _ = POD_TROUBLES["out of memory"]
        cluster.add_pod(job["metadata"]["name"], 0, phase, **status)
        threading.Timer(0.3, remove, args=(job,)).start()

    def remove(job):
        cluster.pods[job["metadata"]["name"]].clear()
        threading.Timer(0.3, lambda: fail(cluster, job)).start()

    cluster.script = script
    with pytest.raises(LesionGenError, match="ran out of memory"):
        launcher.run(JOB, lambda: False)


@pytest.mark.parametrize(
    ("reason", "message", "expected"),
    [
        ("FailedCreate", 'pods "x" is forbidden: exceeded quota: gpus', "The quota of the namespace is used up: pods"),
        ("FailedCreate", 'violates PodSecurity "restricted:latest"', "The cluster refuses the pods of .*PodSecurity"),
        ("FailedScheduling", "0/2 nodes are available", "No node of the cluster can take pod .*: 0/2 nodes"),
    ],
)
def test_what_keeps_pods_from_being_made_is_named_from_events(cluster, launcher, reason, message, expected):
    cluster.add_event("another-job", "FailedCreate", "exceeded quota of others")
    cluster.script = lambda job: cluster.add_event(f"{job['metadata']['name']}-node-0", reason, message)
    with pytest.raises(LesionGenError, match=f"{expected}.*\n"):
        launcher.run(JOB, lambda: False)
    assert cluster.jobs == {}


@pytest.mark.parametrize("times", [{"eventTime": "2026-11-30T12:00:00.500000Z"}, {"lastTimestamp": None}])
def test_events_of_an_earlier_job_of_the_same_name_do_not_count(cluster, launcher, times):
    def script(job):
        name = job["metadata"]["name"]
        cluster.add_event(name, "FailedCreate", "exceeded quota: new", **times)
        cluster.add_event(name, "FailedCreate", "exceeded quota: old", lastTimestamp="2026-11-30T11:59:59Z")

    cluster.script = script
    with pytest.raises(LesionGenError, match="exceeded quota: new"):
        launcher.run(JOB, lambda: False)


def test_an_event_from_before_the_job_explains_nothing(cluster, launcher):
    def script(job):
        old = "2026-11-30T11:59:59Z"
        cluster.add_event(job["metadata"]["name"], "FailedCreate", "exceeded quota", lastTimestamp=old)

    cluster.script = script
    with pytest.raises(LesionGenError, match="has no pods"):
        launcher.run(JOB, lambda: False)


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        (None, "TrainJob lg-.* has 1 of 2 pods\nCheck that"),
        ('pods "x" is forbidden: exceeded quota: gpus', "The quota of the namespace is used up: pods"),
    ],
)
def test_a_node_whose_pod_is_never_made_is_not_waited_for_without_a_limit(cluster, launcher, event, expected):
    def script(job):
        cluster.add_pod(job["metadata"]["name"], 0, "Running")
        if event:
            cluster.add_event(job["metadata"]["name"], "FailedCreate", event)

    cluster.script = script
    with pytest.raises(LesionGenError, match=expected):
        launcher.run(JOB, lambda: False)
    assert cluster.jobs == {}


CREATING = {"containerStatuses": [{"state": {"waiting": {"reason": "ContainerCreating"}}}]}
GATED = {"conditions": [{"type": "PodScheduled", "status": "False", "reason": "SchedulingGated"}]}


@pytest.mark.parametrize(
    ("status", "event", "expected"),
    [
        ({}, None, r"Pod lg-.*-node-1 is still pending\nLook at its events"),
        (GATED, None, r"Pod lg-.*-node-1 is still pending \(SchedulingGated\)"),
        (CREATING, None, r"Pod lg-.*-node-1 is still pending \(ContainerCreating\)"),
        (CREATING, "FailedMount", r"Pod lg-.*-node-1 cannot start \(FailedMount\): it is away\nCheck the volumes"),
        (CREATING, "FailedCreatePodSandBox", r"cannot start \(FailedCreatePodSandBox\): it is away"),
    ],
)
def test_a_pod_that_stays_pending_is_not_waited_for_without_a_limit(cluster, launcher, status, event, expected):
    def script(job):
        cluster.add_pod(job["metadata"]["name"], 0, "Running")
        pod = cluster.add_pod(job["metadata"]["name"], 1, "Pending", **status)
        if event:
            cluster.add_event(pod["metadata"]["name"], event, "it is away")

    cluster.script = script
    with pytest.raises(LesionGenError, match=expected):
        launcher.run(JOB, lambda: False)
    assert cluster.jobs == {}


def test_a_job_without_pods_does_not_wait_for_ever(cluster, launcher):
    cluster.script = lambda job: None
    with pytest.raises(
        LesionGenError, match="TrainJob lg-.* has no pods\nCheck that Kubeflow Trainer's controller runs"
    ):
        launcher.run(JOB, lambda: False)
    assert cluster.jobs == {}


def test_an_account_that_may_not_read_events_trains_all_the_same(cluster, launcher):
    cluster.refuse["GET", "events$"] = Refused(403, "events is forbidden")
    cluster.script = lambda job: threading.Timer(0.2, complete, args=(cluster, job)).start()
    launcher.run(JOB, lambda: False)
    assert ("GET", f"/api/v1/namespaces/{NAMESPACE}/events") in cluster.requests


def test_a_job_in_a_queue_waits_without_a_limit(cluster, launcher, caplog):
    caplog.set_level(logging.INFO, "lesiongen")

    def script(job):
        cluster.add_pod(job["metadata"]["name"], 0, "Pending", **unschedulable("no quota yet"))
        cluster.set_condition(job["metadata"]["name"], "Suspended", "Suspended")

    cluster.script = script
    end = in_a_thread(launcher, JOB)
    until(lambda: cluster.created)
    time.sleep(1.5 * trainjob_watch.START_SECONDS)
    cluster.created[0]["status"]["conditions"].clear()
    complete(cluster, cluster.created[0])
    end()
    assert caplog.messages.count(f"TrainJob {cluster.created[0]['metadata']['name']} waits in a queue") == 1


def test_a_pod_that_starts_late_is_no_failure_and_the_reason_is_logged_once(cluster, launcher, caplog):
    def script(job):
        cluster.add_pod(job["metadata"]["name"], 1, "Running")
        pod = cluster.add_pod(job["metadata"]["name"], 0, "Pending", **waiting("ErrImagePull", "slow registry"))
        threading.Timer(0.4, lambda: pod.update(status={"phase": "Running"})).start()
        threading.Timer(1.5, lambda: complete(cluster, job)).start()

    cluster.script = script
    launcher.run(JOB, lambda: False)
    assert caplog.messages.count("The image a/b:1 cannot be pulled: slow registry; waiting") == 1


@pytest.mark.parametrize(
    ("left", "log", "named"),
    [
        ("DistBackendError: NCCL error in: ncclUtils.hpp:94, remote process exited", "", "remote process exited"),
        ("", "RendezvousTimeoutError", "RendezvousTimeoutError"),
        ("", "[c10d] The client socket has timed out after 60000ms while trying to connect", "socket has timed out"),
        ("", "[E] Watchdog caught collective operation timeout", "Watchdog caught"),
    ],
)
def test_processes_that_lost_each_other_are_named(cluster, launcher, left, log, named):
    def script(job):
        pod = cluster.add_pod(job["metadata"]["name"], 0, "Failed")
        cluster.logs[pod["metadata"]["name"]] = f"starting\n{log}\n"
        if left:
            open_storage(variable(job, ERRORS)).write_text("failure-0.txt", left)
        else:
            threading.Timer(0.3, lambda: fail(cluster, job)).start()
            return
        fail(cluster, job)

    cluster.script = script
    with pytest.raises(LesionGenError, match=f"could not reach each other.*{named}.*\nCheck that network policies"):
        launcher.run(JOB, lambda: False)


def test_a_failure_without_a_reason_shows_the_end_of_the_log(cluster, launcher):
    def script(job):
        pod = cluster.add_pod(job["metadata"]["name"], 0, "Failed")
        cluster.add_pod(job["metadata"]["name"], 1, "Failed")
        cluster.logs[pod["metadata"]["name"]] = "Segmentation fault"
        threading.Timer(0.3, lambda: fail(cluster, job)).start()

    cluster.script = script
    with pytest.raises(LesionGenError, match="failed, and its processes left no error.\nSegmentation fault\nRun the"):
        launcher.run(JOB, lambda: False)


def test_the_time_limit_is_named(cluster, launcher):
    cluster.script = lambda job: fail(cluster, job, "DeadlineExceeded", "TrainJob exceeded its deadline")
    with pytest.raises(LesionGenError, match="has reached its time limit of 48.0 hours\nRun the same command again"):
        launcher.run(JOB, lambda: False)


@pytest.mark.parametrize(
    ("status", "message", "expected"),
    [
        (403, "trainjobs is forbidden: User cannot create", "cannot be created .*forbidden.*\nHave the role kubeflow-"),
        (403, "exceeded quota: count/trainjobs", "exceeded quota.*\nAsk for fewer nodes"),
        (401, "Unauthorized", "Unauthorized\nLog in to the cluster again"),
        (404, "the server could not find the requested resource", "\nCheck the namespace, and that Kubeflow Trainer"),
        (422, "spec.trainer: Invalid value", "Invalid value\nThe cluster's Kubeflow Trainer may be of another version"),
        (500, "etcdserver: request timed out", "request timed out\nRun the same command again when"),
    ],
)
def test_a_refused_creation_says_what_to_do(cluster, launcher, status, message, expected):
    cluster.refuse["POST", "trainjobs$"] = Refused(status, message)
    with pytest.raises(ServiceError, match=f"TrainJob lg-[0-9a-f]{{16}} .*{expected}"):
        launcher.run(JOB, lambda: False)
    assert not list(open_storage(launcher.place).list())


def test_a_job_whose_creation_was_not_confirmed_is_deleted(cluster, launcher):
    cluster.answers_late = True
    cluster.script = lambda job: cluster.add_pod(job["metadata"]["name"], 0, "Running")
    with pytest.raises(ServiceError, match="could not answer in time"):
        launcher.run(JOB, lambda: False)
    assert (len(cluster.deleted), cluster.jobs) == (1, {})
    assert not list(open_storage(launcher.place).list())


def test_a_job_that_another_launcher_has_created_is_not_deleted_with_ones_own(cluster, launcher):
    left = _left_behind(cluster, launcher)
    cluster.hidden = True
    cluster.refuse["POST", "trainjobs$"] = Refused(503, "no answer")
    with pytest.raises(ServiceError, match="no answer"):
        launcher.run(JOB, lambda: False)
    assert [*cluster.jobs] == [left["metadata"]["name"]]


def test_nothing_is_created_without_a_lease(cluster, launcher, monkeypatch):
    def away(_):
        raise Unreachable("the server is away")

    monkeypatch.setattr(lease.Lease, "renew", away)
    with pytest.raises(Unreachable):
        launcher.run(JOB, lambda: False)
    assert cluster.created == []


@pytest.mark.parametrize(
    ("status", "expected"),
    [(403, "cannot be read: no.*\nHave the role kubeflow-edit"), (503, "cannot be read: no")],
)
def test_a_runtime_that_may_not_be_read_is_not_called_absent(cluster, launcher, status, expected):
    cluster.refuse["GET", "trainingruntimes/"] = Refused(status, "no")
    with pytest.raises(ServiceError, match=expected):
        launcher.run(JOB, lambda: False)


def test_a_runtime_that_is_absent_is_named_to_an_account_of_the_namespace(cluster, s3_root):
    text = 'clustertrainingruntimes.trainer.kubeflow.org "absent" is forbidden: User "x" cannot get resource'
    cluster.refuse["GET", "/clustertrainingruntimes/"] = Refused(403, text)
    launcher = TrainJobLauncher(f"{s3_root}/jobs", runtime="absent", namespace=NAMESPACE)
    expected = (
        "Unknown TrainingRuntime absent in the namespace science, and this account may not read "
        "ClusterTrainingRuntimes\nApply the runtimes with: kubectl apply -n science -k infra/trainer"
    )
    with pytest.raises(UsageError, match=expected):
        launcher.run(JOB, lambda: False)


def test_a_cluster_that_cannot_be_reached_is_named(cluster, launcher, tmp_path, monkeypatch):
    text = (tmp_path / "kubeconfig").read_text()
    (tmp_path / "elsewhere").write_text(re.sub(r"127.0.0.1:\d+", "127.0.0.1:9", text))
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "elsewhere"))
    with pytest.raises(ServiceError, match="the cluster does not answer"):
        launcher.run(JOB, lambda: False)


def test_a_cluster_that_is_away_for_a_while_is_waited_for(cluster, launcher):
    def script(job):
        cluster.add_pod(job["metadata"]["name"], 0, "Running")
        cluster.refuse["GET", f"trainjobs/{job['metadata']['name']}"] = Refused(503, "apiserver is shutting down")
        threading.Timer(0.3, lambda: (complete(cluster, job), cluster.refuse.clear())).start()

    cluster.script = script
    launcher.run(JOB, lambda: False)
    assert cluster.jobs == {}


@pytest.mark.parametrize("status", [401, 403])
def test_credentials_that_are_refused_for_a_while_do_not_end_a_training(cluster, launcher, caplog, status):
    def script(job):
        for index in range(2):
            cluster.add_pod(job["metadata"]["name"], index, "Running")
        threading.Timer(0.4, refuse, args=(job,)).start()

    def refuse(job):
        cluster.refuse["GET", "trainjobs/"] = Refused(status, "not now")
        threading.Timer(0.4, lambda: (complete(cluster, job), cluster.refuse.clear())).start()

    cluster.script = script
    launcher.run(JOB, lambda: False)
    warnings = [text for text in caplog.messages if "not now; asking again for 10 minutes" in text]
    assert (len(warnings), cluster.jobs) == (1, {})


def test_rights_that_were_never_there_are_an_error_at_once(cluster, launcher):
    cluster.refuse["GET", "pods$"] = Refused(403, "pods is forbidden")
    cluster.script = lambda job: None
    with pytest.raises(ServiceError, match="pods is forbidden\nHave the role kubeflow-edit"):
        launcher.run(JOB, lambda: False)


@pytest.mark.parametrize(("method", "status"), [("GET", 503), ("DELETE", 401), ("DELETE", 503)])
def test_a_deletion_that_is_refused_once_is_tried_again(cluster, launcher, monkeypatch, method, status):
    monkeypatch.setattr(trainjob_deletion, "DELETE_SECONDS", 0.5)

    def stop():
        if not cluster.created:
            return False
        cluster.refuse[method, "trainjobs/"] = Refused(status, "not now")
        threading.Timer(0.2, cluster.refuse.clear).start()
        raise KeyboardInterrupt

    cluster.script = lambda job: None
    with pytest.raises(KeyboardInterrupt):
        launcher.run(JOB, stop)
    assert cluster.jobs == {}


def test_a_cluster_that_stays_away_is_an_error_and_the_lease_ends_the_job(cluster, launcher, monkeypatch):
    monkeypatch.setattr(trainjob_watch, "ANSWER_SECONDS", 0.2)

    def script(job):
        cluster.refuse["GET", "trainjobs/"] = Refused(503, "apiserver is shutting down")
        cluster.refuse["DELETE", "trainjobs/"] = Refused(503, "apiserver is shutting down")

    cluster.script = script
    with pytest.raises(ServiceError, match="apiserver is shutting down"):
        launcher.run(JOB, lambda: False)
    place, _, key = variable(cluster.created[0], LEASE).rpartition("/")
    assert open_storage(place).read_json(key)["state"] == "stop"


def test_a_job_that_someone_deletes_is_an_error(cluster, launcher):
    cluster.script = lambda job: threading.Timer(0.2, lambda: cluster.jobs.clear()).start()
    with pytest.raises(ServiceError, match="was deleted while it ran\nRun the same command again"):
        launcher.run(JOB, lambda: False)


def test_without_a_cluster_the_error_says_so(cluster, launcher, monkeypatch, tmp_path):
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "absent"))
    with pytest.raises(UsageError, match="No cluster is configured.*\nSet KUBECONFIG"):
        launcher.run(JOB, lambda: False)


# How it is stopped


def test_a_stop_is_written_into_the_lease_and_the_job_waited_for(cluster, launcher):
    def script(job):
        for index in range(2):
            cluster.add_pod(job["metadata"]["name"], index, "Running")
        place, _, key = variable(job, LEASE).rpartition("/")
        threading.Thread(target=obey, args=(job, open_storage(place), key), daemon=True).start()

    def obey(job, storage, key):
        assert storage.read_json(key)["state"] == "run"
        cluster.stop_asked = True
        until(lambda: storage.read_json(key)["state"] == "stop")
        leave_error(job, "Interrupted", "Stopped by SIGTERM after step 3; the state is saved")
        fail(cluster, job)

    cluster.stop_asked, cluster.script = False, script
    with pytest.raises(Interrupted, match="after step 3; the state is saved"):
        launcher.run(JOB, lambda: cluster.stop_asked)
    assert cluster.jobs == {}
    assert not list(open_storage(launcher.place).list())


def test_a_stop_of_a_job_that_was_suspended_does_not_wait(cluster, launcher):
    def script(job):
        for index in range(2):
            cluster.add_pod(job["metadata"]["name"], index, "Running")

    cluster.script, stopping = script, threading.Event()
    end = in_a_thread(launcher, JOB, stopping.is_set)
    until(lambda: ("GET", f"/api/v1/namespaces/{NAMESPACE}/pods") in cluster.requests)
    time.sleep(0.3)  # it has seen them run
    (name,) = cluster.jobs
    cluster.pods[name].clear()
    cluster.set_condition(name, "Suspended", "Suspended")
    stopping.set()
    with pytest.raises(Interrupted, match="^Stopped\n.*resumes from its newest checkpoint"):
        end()
    assert cluster.jobs == {}


def test_a_stop_while_the_cluster_is_away_does_not_delete_a_job_that_runs(cluster, launcher):
    left = _left_behind(cluster, launcher)
    for index in range(2):
        cluster.add_pod(left["metadata"]["name"], index, "Running")
    cluster.refuse["GET", "trainjobs/"] = Refused(503, "no answer")
    place, _, key = variable(left, LEASE).rpartition("/")
    end = in_a_thread(launcher, JOB, lambda: True)
    until(lambda: any(open_storage(place).list()) and open_storage(place).read_json(key)["state"] == "stop")
    time.sleep(0.3)
    assert cluster.deleted == []
    leave_error(left, "Interrupted", "Stopped by SIGTERM after step 3")
    fail(cluster, left)
    cluster.refuse.clear()
    with pytest.raises(Interrupted, match="after step 3"):
        end()


def test_a_stop_before_all_nodes_have_started_does_not_wait(cluster, launcher):
    def script(job):
        cluster.add_pod(job["metadata"]["name"], 0, "Running")
        cluster.add_pod(job["metadata"]["name"], 1, "Pending")

    cluster.script = script
    with pytest.raises(Interrupted, match="Stopped before there was anything to save"):
        launcher.run(JOB, lambda: bool(cluster.created))
    assert cluster.jobs == {}


def test_ctrl_c_twice_deletes_the_job(cluster, launcher):
    def stop():
        if cluster.created:
            raise KeyboardInterrupt
        return False

    cluster.script = lambda job: cluster.add_pod(job["metadata"]["name"], 0, "Running")
    with pytest.raises(KeyboardInterrupt):
        launcher.run(JOB, stop)
    assert cluster.jobs == {}


def test_ctrl_c_right_after_the_creation_deletes_the_job(cluster, launcher, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    # The creation is logged next, before anything waits for the job.
    cluster.script = lambda job: monkeypatch.setattr(trainjob.logger, "info", interrupted)
    with pytest.raises(KeyboardInterrupt):
        launcher.run(JOB, lambda: False)
    assert (len(cluster.created), cluster.jobs) == (1, {})


def test_a_job_whose_lease_ran_out_is_to_be_started_again(cluster, launcher):
    def script(job):
        pod = cluster.add_pod(job["metadata"]["name"], 0, "Failed")
        cluster.logs[pod["metadata"]["name"]] = "S3 does not answer: the socket has timed out\n"
        leave_error(job, "Interrupted", "Stopped by SIGTERM after step 3; the state is saved")
        fail(cluster, job)

    cluster.script = script
    with pytest.raises(Interrupted, match="after step 3"):
        launcher.run(JOB, lambda: False)


# Its log


@pytest.mark.parametrize("burst", [1, 3])
def test_a_log_that_breaks_is_taken_up_again_and_no_line_comes_twice(cluster, launcher, caplog, burst):
    cluster.burst = burst
    lines = [f"Training: {step}/8 steps · größer" for step in range(8)]

    def script(job):
        pod = cluster.add_pod(job["metadata"]["name"], 0, "Running")
        cluster.logs[pod["metadata"]["name"]] = "\n".join(lines)  # the last line has no end
        threading.Timer(0.8, lambda: complete(cluster, job)).start()

    cluster.script, cluster.cuts = script, [3, 5]
    with caplog.at_level(logging.INFO, "lesiongen"):
        launcher.run(JOB, lambda: False)
    assert [message for message in caplog.messages if message.startswith("Training")] == lines
    assert cluster.cuts == [], "no connection has broken"
    assert [method for method, _ in cluster.requests].count("LOG") >= 3


def test_a_log_that_was_rotated_while_the_connection_was_broken_goes_on_where_it_was(cluster, launcher, caplog):
    """The kubelet keeps 10 MiB of a log; a count of lines would leave out as many as were lost."""
    lines = [f"Training: {step}/8 steps" for step in range(8)]

    def script(job):
        pod = cluster.add_pod(job["metadata"]["name"], 0, "Running")["metadata"]["name"]
        cluster.logs[pod], cluster.rotated[pod] = "".join(f"{line}\n" for line in lines), 3
        threading.Timer(0.8, lambda: complete(cluster, job)).start()

    cluster.script, cluster.cuts = script, [5]
    with caplog.at_level(logging.INFO, "lesiongen"):
        launcher.run(JOB, lambda: False)
    assert [message for message in caplog.messages if message.startswith("Training")] == lines
    assert cluster.cuts == [], "the connection has not broken"


def test_the_log_of_a_pod_that_replaces_another_is_followed_too(cluster, launcher, caplog):
    """Kueue deletes the pods of a job that it suspends, and resumes it with new ones."""

    def script(job):
        name = job["metadata"]["name"]
        cluster.add_pod(name, 0, "Running")
        cluster.logs[f"{name}-node-0"] = "first\nsecond\n"
        threading.Timer(0.4, replace, args=(job, name)).start()

    def replace(job, name):
        cluster.pods[name].clear()
        cluster.add_pod(name, 0, "Running")["metadata"]["name"] = "later-node-0"
        cluster.logs["later-node-0"] = "third\n"
        threading.Timer(0.4, cluster.set_condition, args=(name, "Complete", "AllJobsCompleted")).start()

    cluster.script = script
    with caplog.at_level(logging.INFO, "lesiongen"):
        launcher.run(JOB, lambda: False)
    assert [each for each in caplog.messages if each in ("first", "second", "third")] == ["first", "second", "third"]
