"""The lease on a registered model: one holder at a time, and none that died keeps the others waiting."""

import json
import os
import subprocess
import threading
import time
from contextlib import nullcontext

import pytest
from mlflow.exceptions import MlflowException

from lesiongen.errors import ServiceError
from lesiongen.owner import this_process
from lesiongen.registry import lease as leases
from lesiongen.registry.lease import lease
from lesiongen.registry.tags import LEASE_TAG, LOCK_SUFFIX


@pytest.fixture
def model(client, name):
    client.create_registered_model(name)
    return name


@pytest.fixture
def hasty(monkeypatch):
    """Heartbeats and patience of tenths of a second."""
    monkeypatch.setattr(leases, "BEAT_SECONDS", 0.1)
    monkeypatch.setattr(leases, "POLL_SECONDS", 0.05)
    monkeypatch.setattr(leases, "DEAD_SECONDS", 2.0)


def leave_dead_lease(client, name, number=1, **owner):
    """Leaves the lease of a process that died, on another machine unless the owner says otherwise."""
    process = {"host": "elsewhere", "system": "another", "pid": 12, "ticks": 1, "since": "2026-01-01"}
    owner = {"who": "alice", "command": "promote", **process, **owner}
    client.create_registered_model(f"{name}{LOCK_SUFFIX}.{number}", tags={leases.OWNER_TAG: json.dumps(owner)})


def left_over(client, name):
    return [each.name for each in client.search_registered_models(f"name LIKE '{name}{LOCK_SUFFIX}%'")]


def race(client, name, count):
    """Takes the lease from several threads at once; returns the numbers, and how many ever held it at a time."""
    start, numbers, inside, most = threading.Barrier(count), [], [], []

    def take():
        start.wait()
        with lease(client, name, "test") as held:
            inside.append(held.number)
            most.append(len(inside))
            numbers.append(held.number)
            time.sleep(0.05)
            inside.remove(held.number)

    threads = [threading.Thread(target=take) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return numbers, max(most)


def test_of_many_at_once_one_holds_the_lease(client, model, monkeypatch):
    monkeypatch.setattr(leases, "WAIT_SECONDS", 120.0)
    assert race(client, model, 8) == (list(range(1, 9)), 1)
    assert left_over(client, model) == []


def test_a_dead_holder_is_replaced_by_one_of_those_who_watch_it(client, model, hasty):
    leave_dead_lease(client, model)
    assert race(client, model, 3) == ([2, 3, 4], 1)
    assert left_over(client, model) == []


def test_a_dead_process_of_this_machine_is_replaced_at_once(client, model):
    process = subprocess.Popen(["true"])
    process.wait()
    leave_dead_lease(client, model, **{**this_process().plain(), "pid": process.pid})
    began = time.monotonic()
    with lease(client, model, "test") as held:
        assert (held.number, held.left_behind) == (2, (1,))
    assert time.monotonic() - began < leases.DEAD_SECONDS


def test_a_living_holder_is_waited_for_and_named(client, model, hasty, monkeypatch):
    monkeypatch.setattr(leases, "WAIT_SECONDS", 4.0)  # twice as long as a holder without a heartbeat would live
    with lease(client, model, "rollback") as held:
        with pytest.raises(ServiceError, match=f"rollback by .*process {os.getpid()}"), lease(client, model, "promote"):
            raise AssertionError("two hold the lease")
        assert left_over(client, model) == [f"{model}{LOCK_SUFFIX}.{held.number}"]


def test_a_late_process_takes_no_lease_away(client, model, monkeypatch):
    before = client.get_registered_model(model)
    with lease(client, model, "test"):
        pass
    monkeypatch.setattr(leases, "WAIT_SECONDS", 0.3)
    with lease(client, model, "test") as held:
        seen = iter([before])  # what the late one read before the first lease
        current = leases._model
        monkeypatch.setattr(leases, "_model", lambda *arguments: next(seen, None) or current(*arguments))
        with pytest.raises(ServiceError, match="at work"), lease(client, model, "late"):
            raise AssertionError("two hold the lease")
        assert left_over(client, model) == [f"{model}{LOCK_SUFFIX}.{held.number}"]


def test_a_holder_that_was_replaced_writes_no_more(client, model, monkeypatch):
    monkeypatch.setattr(leases, "UNSURE_SECONDS", 0.0)
    with lease(client, model, "test") as held:
        held.confirm()
        client.set_registered_model_tag(model, f"{LEASE_TAG}{held.number:08d}", "ended")
        with pytest.raises(ServiceError, match="took .* over"):
            held.confirm()


def test_a_late_heartbeat_does_not_give_a_lost_lease_back(client, model, monkeypatch):
    """A suspended process beats first when it goes on, and the one that replaced it may still be at work."""
    monkeypatch.setattr(leases, "BEAT_SECONDS", 0.05)
    with lease(client, model, "test") as held:
        awake = leases._awake
        monkeypatch.setattr(leases, "_awake", lambda: awake() + 2 * leases.DEAD_SECONDS)
        client.set_registered_model_tag(model, f"{LEASE_TAG}{held.number:08d}", "ended")
        beats = {client.get_registered_model(f"{model}{LOCK_SUFFIX}.{held.number}").tags.get(leases.BEAT_TAG)}
        while len(beats) < 4:
            beats.add(client.get_registered_model(f"{model}{LOCK_SUFFIX}.{held.number}").tags.get(leases.BEAT_TAG))
        with pytest.raises(ServiceError, match="took .* over"):
            held.confirm()


def test_a_process_is_gone_only_where_that_is_certain():
    here = this_process().plain()
    assert not leases._process_is_gone(here)
    assert leases._process_is_gone(here | {"ticks": 1})  # the number was given to another process
    assert not leases._process_is_gone(here | {"ticks": 1, "system": "another container"})
    for damaged in ({}, {"pid": "x"}, here | {"pid": -1}, here | {"pid": 10**30}):
        assert not leases._process_is_gone(damaged)


@pytest.mark.parametrize("written", [True, False])
def test_of_two_that_end_a_dead_lease_at_once_the_store_may_refuse_one(client, model, monkeypatch, written):
    """MLflow looks for the tag and then adds it: of two at once, SQLite refuses the second."""
    set_tag = client.set_registered_model_tag

    def refused(name, key, value):
        if written:
            set_tag(name, key, value)
        raise MlflowException("(sqlite3.IntegrityError) UNIQUE constraint failed")

    monkeypatch.setattr(client, "set_registered_model_tag", refused)
    with nullcontext() if written else pytest.raises(ServiceError, match="UNIQUE"):
        leases._set_ended(client, client.get_registered_model(model), 1)
    assert (f"{LEASE_TAG}00000001" in client.get_registered_model(model).tags) is written
