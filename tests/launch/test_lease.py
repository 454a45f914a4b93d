"""The lease of a job: what its launcher writes, and when the first process takes it for a stop."""

import json
import os
import subprocess
import sys
import threading
import time

import pytest

from lesiongen.errors import Unreachable
from lesiongen.launch import lease
from lesiongen.launch.lease import Lease, follow_lease, held_lease
from lesiongen.storage.local import LocalStorage

JOB = """
import signal, sys, time
from lesiongen.errors import Interrupted
from lesiongen.launch import lease, worker

lease.LOOK_SECONDS, lease.SILENT_SECONDS = 0.05, float(sys.argv[1])
stopped = []
signal.signal(signal.SIGTERM, lambda *_: stopped.append(True))
with worker() as rank:
    print("started", flush=True)
    while not stopped:
        time.sleep(0.02)
    raise Interrupted("the state is saved")
"""


FOLLOWING = []


@pytest.fixture(autouse=True)
def _no_thread_is_left(monkeypatch):
    """Ends the threads that follow a lease: they would meet what other tests do to the clock."""
    yield
    monkeypatch.setattr(lease, "SILENT_SECONDS", -1.0)
    for thread in FOLLOWING:
        thread.join(10)
        assert not thread.is_alive()
    FOLLOWING.clear()


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(lease, "LOOK_SECONDS", 0.02)
    monkeypatch.setattr(lease, "SILENT_SECONDS", 0.5)
    monkeypatch.setattr(lease, "RENEW_SECONDS", 0.1)


@pytest.fixture
def address(tmp_path):
    return f"{tmp_path}/jobs/lease.json"


def _followed(address):
    """Follows a lease in a thread; returns the reasons for which it has asked to stop, and the thread."""
    reasons = []
    thread = threading.Thread(target=follow_lease, args=(address, reasons.append), daemon=True)
    thread.start()
    FOLLOWING.append(thread)
    return reasons, thread


def test_a_lease_that_is_renewed_stops_nothing(quick, address):
    with held_lease(address):
        reasons, _ = _followed(address)
        time.sleep(1.2)
        assert reasons == []


def test_a_stop_is_obeyed_once_and_is_not_renewed_away(quick, address):
    with held_lease(address) as held:
        reasons, thread = _followed(address)
        held.ask_to_stop()
        thread.join(5)
        assert reasons == ["The launcher asks the job to stop"]
        time.sleep(0.3)
        assert held.storage.read_json("lease.json")["state"] == "stop"


def test_a_lease_whose_launcher_has_died_runs_out(quick, address):
    with held_lease(address):
        pass
    began = time.monotonic()
    reasons, thread = _followed(address)
    thread.join(5)
    assert [reason[:36] for reason in reasons] == ["The launcher has not renewed the lea"]
    assert time.monotonic() - began >= 0.5


@pytest.mark.parametrize("year", ["1999", "2099"])
def test_the_clock_of_the_launcher_does_not_matter(quick, address, year):
    held = Lease(address)
    held.renew()
    reasons, thread = _followed(address)
    for second in range(10):
        held.storage.write_json("lease.json", {"state": "run", "time": f"{year}-01-01T00:00:{second:02}"})
        time.sleep(0.1)
    assert reasons == []
    thread.join(5)  # and the same old content again and again is silence
    assert len(reasons) == 1


def test_a_lease_that_is_not_there_runs_out_too(quick, address):
    reasons, thread = _followed(address)
    thread.join(5)
    assert len(reasons) == 1


def test_a_stop_that_could_not_be_written_is_written_later(address, monkeypatch):
    held = Lease(address)
    held.renew()
    write = held.storage.write_json

    def away(*_):
        raise Unreachable("the server is away")

    monkeypatch.setattr(held.storage, "write_json", away)
    held.ask_to_stop()
    monkeypatch.setattr(held.storage, "write_json", write)
    assert held.storage.read_json("lease.json")["state"] == "run"
    held.ask_to_stop()
    assert held.storage.read_json("lease.json")["state"] == "stop"


def test_an_error_of_any_kind_does_not_end_the_renewals(quick, address, monkeypatch, caplog):
    with held_lease(address) as held:
        write = held.storage.write_json
        failed = threading.Event()

        def fail(*_):
            failed.set()
            raise ValueError("a response that nobody expected")

        monkeypatch.setattr(held.storage, "write_json", fail)
        assert failed.wait(5)
        before = held.storage.read_json("lease.json")["time"]
        monkeypatch.setattr(held.storage, "write_json", write)
        end = time.monotonic() + 5
        while held.storage.read_json("lease.json")["time"] == before:
            assert time.monotonic() < end
            time.sleep(0.02)
    assert "The lease of the job cannot be renewed: a response that nobody expected" in caplog.messages


@pytest.mark.parametrize("what", ["open_storage", "read_bytes"])
def test_a_lease_that_cannot_be_read_ends_the_job_with_that_reason(quick, address, monkeypatch, caplog, what):
    Lease(address).renew()

    def fail(*_):
        raise ValueError("a response that nobody expected")

    if what == "open_storage":
        monkeypatch.setattr(lease, "open_storage", fail)
    else:
        monkeypatch.setattr(LocalStorage, "read_bytes", fail)
    reasons, thread = _followed(address)
    thread.join(5)
    assert reasons == ["The lease of the job has not been readable for 0 minutes (a response that nobody expected)"]
    assert caplog.messages.count("The lease of the job cannot be read: a response that nobody expected") == 1


def test_a_stop_is_read_after_a_time_without_an_answer(quick, address, monkeypatch):
    held = Lease(address)
    held.renew()
    with monkeypatch.context() as away:
        away.setattr(lease, "open_storage", lambda _: 1 / 0)
        reasons, thread = _followed(address)
        time.sleep(0.1)
    held.ask_to_stop()
    thread.join(5)
    assert reasons == ["The launcher asks the job to stop"]


def _started(tmp_path, address, rank, silent):
    variables = {
        "RANK": str(rank), "LESIONGEN_JOB_ERRORS": str(tmp_path / "errors"), "LESIONGEN_JOB_LEASE": address,
    }  # fmt: skip
    job = subprocess.Popen(
        [sys.executable, "-c", JOB, str(silent)], env={**os.environ, **variables}, stdout=subprocess.PIPE, text=True
    )
    assert job.stdout.readline() == "started\n"
    return job


@pytest.mark.parametrize("how", ["asked", "run out"])
def test_the_first_process_saves_its_state_as_after_a_sigterm(tmp_path, address, how):
    held = Lease(address)
    held.renew()
    with _started(tmp_path, address, 0, 0.5 if how == "run out" else 60) as job:
        if how == "asked":
            held.ask_to_stop()
        assert job.wait(20) == 75
    assert json.loads((tmp_path / "errors/error-0.json").read_text())["message"] == "the state is saved"


def test_the_other_processes_look_at_no_lease(tmp_path, address):
    Lease(address).ask_to_stop()
    with _started(tmp_path, address, 1, 0.1) as job:
        with pytest.raises(subprocess.TimeoutExpired):
            job.wait(1)
        job.kill()


def test_of_processes_that_share_a_log_one_reports_the_progress(tmp_path):
    program = (
        "import logging; from lesiongen.launch import worker\nwith worker(): logging.getLogger('lesiongen').info('x')"
    )
    for place, said in (("0", "x\n"), ("1", "")):
        variables = {"RANK": "3", "LOCAL_RANK": place, "LESIONGEN_JOB_ERRORS": str(tmp_path)}
        done = subprocess.run(
            [sys.executable, "-c", program], env={**os.environ, **variables}, capture_output=True, text=True
        )
        assert done.stderr == said
