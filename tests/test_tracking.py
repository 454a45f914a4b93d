"""Runs of stages, on a real MLflow server."""

import json
import os
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from mlflow.store.tracking.rest_store import RestStore
from PIL import Image

from lesiongen import parent_runs, tracking
from lesiongen.errors import Interrupted, ServiceError, UsageError
from lesiongen.mlflow_server import mlflow_client, service_errors
from lesiongen.owner import this_process
from lesiongen.tracking import finish_pipeline_run, stage_run


@pytest.fixture
def server(stack, monkeypatch):
    for name, value in stack.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("LESIONGEN_EXPERIMENT", "tracking-tests")
    monkeypatch.delenv("LESIONGEN_PIPELINE_RUN", raising=False)
    return mlflow_client()


@pytest.fixture
def dead_server(monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://someone:hidden@127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


def test_without_a_server_nothing_happens_and_mlflow_is_not_imported():
    code = (
        "import sys; from lesiongen.tracking import stage_run\n"
        "with stage_run('ingest', {'seed': 1}) as run:\n"
        "    run.log_metrics({'rows': 3.0}); run.log_json({}, 'a.json'); run.set_tags({'a': 1})\n"
        "print(run.run_id, 'mlflow' in sys.modules)"
    )
    environment = {name: value for name, value in os.environ.items() if name != "MLFLOW_TRACKING_URI"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert done.stdout.split() == ["None", "False"], done.stderr


def test_a_stage_logs_parameters_numbers_and_pictures(server, tmp_path):
    params = {
        "seed": 3,
        "writers": ("metadata", "measured"),
        "denoiser": {"rank": 64, "deeper": {"none": None}},
        "long": "x" * 7000,
        "odd key!": 1,
        "api_key": "hunter2",
        **{f"many_{index}": index for index in range(120)},
    }
    (tmp_path / "report.html").write_text("<p>report</p>")
    with stage_run("caption", params) as run:
        run.log_metrics({"loss": 0.5}, step=1)
        run.log_metrics({"loss": 0.25}, step=2)
        run.log_metrics({"rows": 12})
        run.log_image(Image.new("RGB", (4, 4)), "sheet.png")
        run.log_file(tmp_path / "report.html", "report")
        run.log_json({"path": Path("a")}, "result.json")
        run.set_tags({"dataset": "v1"})

    logged = server.get_run(run.run_id)
    assert logged.info.status == "FINISHED"
    assert logged.info.run_name == "caption"
    expected = {
        "seed": "3",
        "writers": '["metadata", "measured"]',
        "denoiser.rank": "64",
        "denoiser.deeper.none": "None",
    }
    assert expected.items() <= logged.data.params.items()
    assert len(logged.data.params["long"]) == 6000
    assert logged.data.params["odd key_"] == "1"
    assert logged.data.params["api_key"] == "(not shown)"
    assert logged.data.params["many_119"] == "119"
    assert [(point.step, point.value) for point in server.get_metric_history(run.run_id, "loss")] == [
        (1, 0.5),
        (2, 0.25),
    ]
    assert logged.data.tags["dataset"] == "v1"
    assert [item.path for item in server.list_artifacts(run.run_id)] == ["pictures", "report", "result.json"]
    picture = server.download_artifacts(run.run_id, "pictures/sheet.png", str(tmp_path))
    with Image.open(picture) as loaded:
        assert loaded.size == (4, 4)


def test_stages_of_one_pipeline_run_nest_in_one_parent(server, monkeypatch):
    monkeypatch.setenv("LESIONGEN_PIPELINE_RUN", "release-nested")
    with stage_run("ingest", {}) as first:
        pass
    with stage_run("validate", {}) as second:
        pass
    parents = {server.get_run(run.run_id).data.tags["mlflow.parentRunId"] for run in (first, second)}
    assert len(parents) == 1
    parent = server.get_run(parents.pop())
    assert parent.info.run_name == "release-nested"
    assert parent.data.tags["lesiongen.pipeline_run"] == "release-nested"
    assert parent.info.status == "RUNNING"
    finish_pipeline_run("release-nested", "SUCCEEDED", last="promote")
    assert server.get_run(parent.info.run_id).info.status == "FINISHED"


@pytest.mark.parametrize(
    ("state", "status"),
    [
        ("SUCCEEDED", "FINISHED"), ("COMPLETE", "FINISHED"), ("CACHED", "FINISHED"), ("FAILED", "FAILED"),
        ("CANCELED", "KILLED"), ("RUNNING", "FAILED"),
    ],
)  # fmt: skip
def test_a_pipeline_run_ends_as_kubeflow_says(server, monkeypatch, state, status):
    pipeline_run = f"release-{state.lower()}"
    monkeypatch.setenv("LESIONGEN_PIPELINE_RUN", pipeline_run)
    with stage_run("ingest", {}):
        pass
    killed = stage_run("finetune", {})
    left_open = killed.__enter__()
    finish_pipeline_run(pipeline_run, state, last="promote")
    [parent] = parent_runs.parent_runs(server, tracking._experiment(server), pipeline_run)
    assert server.get_run(parent).info.status == status
    assert server.get_run(left_open.run_id).info.status == "KILLED"


@pytest.mark.parametrize(
    ("ends", "status"), [(["FAILED", "FINISHED"], "FINISHED"), (["FINISHED", "FAILED"], "FAILED"), ([], "FAILED")]
)
def test_where_kubeflow_does_not_know_the_last_stage_s_newest_run_decides(server, monkeypatch, ends, status):
    pipeline_run = f"merge-{len(ends)}-{status.lower()}"
    monkeypatch.setenv("LESIONGEN_PIPELINE_RUN", pipeline_run)
    for end in ends:
        with suppress(ValueError), stage_run("require-passed", {}):
            if end == "FAILED":
                raise ValueError("not passed")
        time.sleep(0.01)  # times are in milliseconds
    with stage_run("validate", {}):
        pass
    finish_pipeline_run(pipeline_run, "RUNNING", last="require-passed")
    [parent] = parent_runs.parent_runs(server, tracking._experiment(server), pipeline_run)
    assert server.get_run(parent).info.status == status


def test_a_run_that_the_process_was_given_is_logged_into_and_left_open(server, monkeypatch):
    given = server.create_run(server.create_experiment("of Kubeflow"), run_name="finetune")
    monkeypatch.setenv("MLFLOW_RUN_ID", given.info.run_id)
    monkeypatch.setenv("LESIONGEN_PIPELINE_RUN", "release-given")
    for error in (ValueError("memory"), None):  # the second is another try of the step
        with suppress(ValueError), stage_run("finetune", {"name": "lesions"}, run_id="0" * 32) as run:
            run.log_metrics({"loss": 0.5})
            if error:
                raise error
    finish_pipeline_run("release-given", "FAILED", last="promote")
    server.log_param(given.info.run_id, "name", '"lesions"')  # as the plugin does at the end
    logged = server.get_run(given.info.run_id)
    assert run.run_id == given.info.run_id
    assert (logged.info.status, logged.data.metrics) == ("RUNNING", {"loss": 0.5})
    assert logged.data.params == {"lesiongen.name": "lesions", "name": '"lesions"'}
    assert logged.data.tags["lesiongen.stage"] == "finetune"
    assert "lesiongen.error" not in logged.data.tags
    assert len(server.search_runs([given.info.experiment_id])) == 1


def test_a_second_stage_of_a_process_does_not_mix_with_the_first_in_the_run_that_it_was_given(server, monkeypatch):
    given = server.create_run(server.create_experiment("of a notebook"))
    monkeypatch.setenv("MLFLOW_RUN_ID", given.info.run_id)
    with stage_run("ingest", {"name": "own"}):
        pass
    with stage_run("validate", {"name": "other"}) as second:
        pass
    nested = server.get_run(second.run_id)
    assert nested.data.tags["mlflow.parentRunId"] == given.info.run_id
    assert (nested.info.status, nested.data.params) == ("FINISHED", {"name": "other"})
    assert nested.info.experiment_id == given.info.experiment_id
    assert server.get_run(given.info.run_id).data.params == {"lesiongen.name": "own"}


def test_the_server_of_a_pod_is_named_by_a_variable_of_our_own_unless_kubeflow_names_one(server, monkeypatch):
    address, user, password = (os.environ[f"MLFLOW_TRACKING_{name}"] for name in ("URI", "USERNAME", "PASSWORD"))
    for name in ("URI", "USERNAME", "PASSWORD"):
        monkeypatch.delenv(f"MLFLOW_TRACKING_{name}")
    monkeypatch.setenv("LESIONGEN_MLFLOW_URI", address)
    monkeypatch.setenv("LESIONGEN_MLFLOW_USERNAME", user)
    with pytest.raises(UsageError, match="LESIONGEN_MLFLOW_PASSWORD is not set"):
        mlflow_client()
    monkeypatch.setenv("LESIONGEN_MLFLOW_PASSWORD", password)
    with stage_run("ingest", {}) as run:
        pass
    assert server.get_run(run.run_id).info.status == "FINISHED"
    monkeypatch.setenv("LESIONGEN_MLFLOW_URI", "mlflow.example")
    with pytest.raises(UsageError, match="LESIONGEN_MLFLOW_URI = 'mlflow.example' is not the address of a server"):
        mlflow_client()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    mlflow_client()


def test_stages_that_start_at_the_same_moment_end_up_in_one_parent(server, monkeypatch):
    monkeypatch.setenv("LESIONGEN_PIPELINE_RUN", "release-race")
    search, all_looked = parent_runs.parent_runs, threading.Barrier(4)
    looked = threading.local()

    def search_and_wait(*arguments):
        found = search(*arguments)
        if not hasattr(looked, "once"):
            looked.once = all_looked.wait(30)
        return found

    monkeypatch.setattr(parent_runs, "parent_runs", search_and_wait)
    runs = []

    def open_stage():
        with stage_run("ingest", {}) as run:
            runs.append(run.run_id)

    threads = [threading.Thread(target=open_stage) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    parents = {server.get_run(run_id).data.tags["mlflow.parentRunId"] for run_id in runs}
    assert len(runs) == 4
    assert parents == set(search(server, tracking._experiment(server), "release-race"))
    assert len(parents) == 1


def test_a_parent_whose_creation_is_slow_takes_over_the_stages_that_began_meanwhile(server, monkeypatch):
    monkeypatch.setenv("LESIONGEN_PIPELINE_RUN", "release-slow")
    create, sent, others_are_done = RestStore.create_run, threading.Event(), threading.Event()

    def create_slowly(store, *arguments, **options):
        if threading.current_thread().name == "slow" and not sent.is_set():
            sent.set()  # the time of its start is in the request by now
            assert others_are_done.wait(30)
        return create(store, *arguments, **options)

    monkeypatch.setattr(RestStore, "create_run", create_slowly)
    runs = {}

    def open_stage(name):
        with stage_run(name, {}) as run:
            runs[name] = run.run_id

    slow = threading.Thread(target=open_stage, args=["ingest"], name="slow")
    slow.start()
    assert sent.wait(30)
    open_stage("validate")
    before = server.get_run(runs["validate"]).data.tags["mlflow.parentRunId"]
    others_are_done.set()
    slow.join()
    open_stage("caption")
    [parent] = parent_runs.parent_runs(server, tracking._experiment(server), "release-slow")
    assert parent != before, "the slow one began first"
    assert server.get_run(before).info.lifecycle_stage == "deleted"
    assert {server.get_run(run_id).data.tags["mlflow.parentRunId"] for run_id in runs.values()} == {parent}
    finish_pipeline_run("release-slow", "COMPLETE", last="promote")
    assert server.get_run(parent).info.status == "FINISHED"


@pytest.mark.parametrize(
    ("error", "status"), [(ValueError("loss is nan\nand more"), "FAILED"), (Interrupted("state saved"), "KILLED")]
)
def test_a_stage_that_fails_says_so_in_its_run(server, error, status):
    with pytest.raises(type(error)), stage_run("finetune", {}) as run:
        raise error
    logged = server.get_run(run.run_id)
    assert logged.info.status == status
    assert logged.data.tags["lesiongen.error"] == f"{type(error).__name__}: {str(error).splitlines()[0]}"


def test_a_resumed_stage_goes_on_in_its_run(server):
    with pytest.raises(Interrupted), stage_run("finetune", {"steps": 4}) as first:
        first.log_metrics({"loss": 1.0}, step=1)
        raise Interrupted("stopped")
    with stage_run("finetune", {"steps": 8, "added": 1}, run_id=first.run_id) as second:
        second.log_metrics({"loss": 0.5}, step=2)
    logged = server.get_run(first.run_id)
    assert second.run_id == first.run_id
    assert logged.info.status == "FINISHED"
    assert logged.data.params == {"steps": "4", "added": "1"}
    assert len(server.get_metric_history(first.run_id, "loss")) == 2
    with stage_run("finetune", {}, run_id="0" * 32) as third:
        assert third.run_id not in (None, "0" * 32)


def test_a_server_that_does_not_answer_is_a_clear_error_within_seconds(dead_server, caplog):
    began = time.monotonic()
    with pytest.raises(ServiceError, match="does not answer") as caught, stage_run("ingest", {}):
        raise AssertionError("the stage must not start")
    assert time.monotonic() - began < 30
    assert "hidden" not in str(caught.value)
    assert "lesiongen up" in caught.value.hint
    assert "Retrying" not in caplog.text


def test_a_server_lost_in_mid_run_costs_points_of_a_curve_but_never_a_result(server, dead_server, caplog):
    run = tracking._TrackedRun(mlflow_client(), "0" * 32)
    run.log_metrics({"loss": 1.0}, step=1)
    assert "lost" in caplog.text
    began = time.monotonic()
    run.log_metrics({"loss": 1.0}, step=2)  # asks nobody for a while, so that training does not wait
    assert time.monotonic() - began < 0.1
    with pytest.raises(ServiceError, match="does not answer"):
        run.log_metrics({"rows": 3})


def test_names_that_a_query_would_misread_are_refused(server, monkeypatch):
    monkeypatch.setenv("LESIONGEN_PIPELINE_RUN", "x' or 1=1")
    with pytest.raises(UsageError, match="LESIONGEN_PIPELINE_RUN"), stage_run("ingest", {}):
        raise AssertionError("the stage must not start")


def test_a_deleted_experiment_is_named(server, monkeypatch):
    monkeypatch.setenv("LESIONGEN_EXPERIMENT", f"gone-{os.getpid()}-{time.time_ns()}")
    with stage_run("ingest", {}) as run:
        pass
    server.delete_experiment(server.get_run(run.run_id).info.experiment_id)
    with pytest.raises(ServiceError, match="was deleted"), stage_run("ingest", {}):
        raise AssertionError("the stage must not start")


def test_json_of_a_run_is_readable(server, tmp_path):
    with stage_run("evaluate", {}) as run:
        run.log_json({"accuracy": 0.5}, "numbers.json")
    path = server.download_artifacts(run.run_id, "numbers.json", str(tmp_path))
    assert json.loads(Path(path).read_text()) == {"accuracy": 0.5}


def test_neither_tags_nor_parameters_nor_texts_hold_a_secret(server, monkeypatch, tmp_path):
    secret = "made/up " + "0aB1" * 4
    monkeypatch.setenv("LESIONGEN_VLM_API_KEY", secret)
    with pytest.raises(ValueError, match="made"), stage_run("caption", {"note": secret, "api_key": "x"}) as run:
        run.set_tags({"said": secret.upper()})
        run.log_text(f"<p>{secret}</p>", "page.html")
        run.log_json({"said": [secret]}, "said.json")
        raise ValueError("." * 480 + secret)  # the tag is cut in the middle of it
    kept = server.get_run(run.run_id).data
    texts = [*kept.tags.values(), *kept.params.values()]
    for name in ("page.html", "said.json"):
        texts.append(Path(server.download_artifacts(run.run_id, name, str(tmp_path))).read_text())
    assert kept.params["api_key"] == "(not shown)"
    assert not [text for text in texts if "0ab1" in text.lower() or "made/up" in text.lower()]


@pytest.mark.parametrize("address", ["https://me:p@ss@host:5000/x", "postgresql+psycopg2://me:secret@host:5000/x"])
def test_passwords_in_addresses_are_taken_out(address, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    with pytest.raises(ServiceError, match="refuses") as caught, service_errors():
        raise MlflowException(f"No such table at {address}")
    assert "me:" not in str(caught.value)


def test_a_run_that_is_resumed_is_not_closed_by_a_stage_that_begins_meanwhile(server, monkeypatch):
    with stage_run("finetune", {}) as first:
        pass
    server.set_tag(first.run_id, tracking.OWNER_TAG, json.dumps(this_process().plain() | {"ticks": 1}))  # was killed
    update = MlflowClient.update_run

    def update_and_meet_another(client, *arguments, **options):
        update(client, *arguments, **options)
        tracking._close_abandoned(client)

    monkeypatch.setattr(MlflowClient, "update_run", update_and_meet_another)
    with stage_run("finetune", {}, first.run_id):
        assert server.get_run(first.run_id).info.status == "RUNNING"


def test_only_runs_of_dead_processes_are_closed_by_the_next_stage(server, stack_environment):
    program = """
import sys
from lesiongen.tracking import stage_run
with stage_run("sample", {}) as run:
    print(run.run_id, flush=True)
    sys.stdin.read()
"""
    started = [
        subprocess.Popen(
            [sys.executable, "-c", program], env={**os.environ, **stack_environment},
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )
        for _ in range(2)
    ]  # fmt: skip
    killed, living = (process.stdout.readline().strip() for process in started)
    started[0].kill()
    started[0].wait()
    try:
        with stage_run("evaluate", {}):
            assert server.get_run(killed).info.status == "KILLED"
            assert server.get_run(living).info.status == "RUNNING"
    finally:
        for process in started:
            process.kill()
            process.communicate()


@pytest.mark.parametrize(
    ("address", "what"),
    [
        ("localhost:5000", "'localhost:5000' is not the address of a server"),
        ("./mlruns", "'./mlruns' is not the address of a server"),
        ("file:///data/mlruns", "is not the address of a server"),
        ("htps://mlflow.example", "is not the address of a server"),
        ("http://", "is not the address of a server"),
        ("http://mlflow.example:port", "is not the address of a server"),
        ("postgresql+psycopg2://me:hidden-word@host/x", "'postgresql[+]psycopg2://host/x' is a database"),
        ("sqlite:///mlflow.db", "is a database"),
    ],
)
def test_an_address_that_is_none_of_a_server_is_refused_before_it_is_used(monkeypatch, address, what):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    for use in (
        mlflow_client,
        lambda: stage_run("ingest", {}).__enter__(),
        lambda: finish_pipeline_run("r", "COMPLETE", last="promote"),
    ):
        with pytest.raises(UsageError, match=f"MLFLOW_TRACKING_URI = {what}|MLFLOW_TRACKING_URI = .*{what}") as refused:
            use()
        assert "http://127.0.0.1:5000" in str(refused.value)
        assert "hidden-word" not in str(refused.value)


def test_a_proxy_that_does_not_answer_is_named(monkeypatch, unused_endpoint):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://mlflow.example:5000")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("http_proxy", unused_endpoint.replace("http://", "http://me:pr0xy-passw0rd@"))
    with pytest.raises(ServiceError, match="does not answer") as failed, stage_run("ingest", {}):
        pass
    assert f"the proxy {unused_endpoint.removeprefix('http://')} (http_proxy)" in str(failed.value)
    assert "add mlflow.example to NO_PROXY" in str(failed.value)


def test_a_refusal_through_a_proxy_names_the_proxy(monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://mlflow.example:5000")
    monkeypatch.setenv("http_proxy", "http://me:pr0xy-passw0rd@proxy.example:3128")
    with pytest.raises(ServiceError, match="refuses: 403 Forbidden") as failed, service_errors():
        raise MlflowException("403 Forbidden")
    assert "the proxy proxy.example:3128 (http_proxy)" in str(failed.value)
    assert "pr0xy" not in str(failed.value)
