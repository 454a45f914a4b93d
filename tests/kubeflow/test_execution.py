"""Packages that the double executes with kfp.local: submit, run, logs and cancel as one path."""

import os
import time
from pathlib import Path

import psutil
import pytest
from kfp import dsl

from lesiongen.storage import open_storage
from pipelines.kubeflow import logs
from tests.kubeflow.conftest import course, package_of


@dsl.component(base_image="lesiongen:local", install_kfp_package=False)
def count(words: str, counted: dsl.Output[dsl.Artifact], note: bool = True):
    """Counts the words of a text."""
    print("counting", len(words.split()))
    with open(counted.path, "w") as file:
        file.write(str(len(words.split())))
    counted.metadata["words"] = len(words.split()) if note else None


@dsl.component(base_image="lesiongen:local", install_kfp_package=False)
def check(counted: dsl.Input[dsl.Artifact], at_least: int, pid: str = ""):
    """Fails where there are too few words; waits where a file for its process id is named."""
    import os
    import time

    with open(counted.path) as file:
        number = int(file.read())
    if pid:
        with open(pid + ".part", "w") as file:
            file.write(str(os.getpid()))
        os.rename(pid + ".part", pid)
        time.sleep(60)
    if number < at_least:
        raise SystemExit(f"ERROR [check] {number} words, {at_least} are needed")


@dsl.pipeline(name="words")
def words(words: str, at_least: int = 2, note: bool = True, pid: str = ""):
    """Counts words and checks their number."""
    check(counted=count(words=words, note=note).output, at_least=at_least, pid=pid).set_caching_options(False)


@pytest.fixture
def submit_words(server, profile, lesiongen, tmp_path):
    server.executes = True
    package = package_of(tmp_path / "words.yaml", words)

    def run(*flags, **parameters):
        given = [f"--set={name}={value}" for name, value in parameters.items()]
        return lesiongen("submit", "--package", package, *given, *flags)

    return run


def wait_until(met):
    deadline = time.monotonic() + 20
    while not met():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def alive(pid):
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_a_package_is_executed_and_its_logs_are_read(server, submit_words, lesiongen):
    result = submit_words("--wait", "--json", words="a b c")
    assert result.code == 0, result.err
    assert {step["step"]: step["state"] for step in result.json["steps"]} == {
        "count": "SUCCEEDED",
        "check": "SUCCEEDED",
    }
    assert "counting 3" in lesiongen("logs", "latest", "count").out
    assert [path.read_text() for path in server.folder.glob("*/words-*/count/counted")] == ["3"]


def test_a_step_that_fails_is_named_with_its_words(submit_words):
    result = submit_words("--wait", words="a")
    assert result.code == 1
    assert "failed at check: ERROR [check] 1 words, 2 are needed" in result.err


def test_a_null_in_the_metadata_of_an_output_fails_the_step_as_the_launcher_does(submit_words):
    result = submit_words("--wait", words="a b", note="false")
    assert result.code == 1
    assert "failed at count" in result.err
    assert "metadata value is null" in result.err


def test_a_cancelled_step_is_killed(server, submit_words, lesiongen, tmp_path):
    marker = tmp_path / "pid"
    submit_words(words="a b", pid=str(marker))
    wait_until(marker.exists)
    result = lesiongen("cancel", "latest")
    assert result.code == 0
    assert "has ended: CANCELED" in result.out
    assert "Finished steps, whose results are kept: count." in result.out
    assert "Unfinished steps: check." in result.out
    wait_until(lambda: not alive(int(marker.read_text())))


def test_logs_of_pods_that_are_gone_come_from_the_storage(
    server, write_profile, submit, lesiongen, tmp_path, monkeypatch
):
    write_profile(endpoint=server.address, pipeline_root="s3://bucket/kfp")
    monkeypatch.setattr(logs, "open_storage", lambda root: open_storage(tmp_path / Path(root).name))
    server.course, server.serves_pod_logs = course("ingest"), False
    run = submit("--wait", "--json").json["run"]
    missing = lesiongen("logs", run, "ingest")
    assert (missing.code, "pipeline_root" in missing.err) == (1, True)
    for attempt in (0, 1):
        path = tmp_path / "kfp" / "lesiongen-release" / run / "ingest" / f"salt{attempt}" / f"executor-logs-{attempt}"
        path.parent.mkdir(parents=True)
        path.write_text(f"attempt {attempt}\n", encoding="utf-8")
        os.utime(path, (attempt, attempt))
    assert lesiongen("logs", run, "ingest").out == "attempt 1\n"
