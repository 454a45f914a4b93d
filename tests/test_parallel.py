"""Work on several cores: in order, item by item, errors as they are."""

import errno
import os
import signal
import subprocess
import sys
import time

import joblib
import psutil
import pytest
import torch

from lesiongen.errors import DataError, LesionGenError
from lesiongen.parallel import in_processes, use_own_cores


def _square(number):
    return number * number, os.getpid()


def _slow_square(number):
    time.sleep(0.05)
    return _square(number)


def _threads(_):
    time.sleep(0.05)
    return os.getpid(), [os.environ.get(name) for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")]


def _refuse_three(number):
    if number == 3:
        raise DataError("three is refused")
    return number


@pytest.mark.parametrize("processes", [2, 3])
def test_results_come_in_order_from_this_process_and_others(processes):
    results = list(in_processes(_slow_square, range(60), processes=processes))
    assert [square for square, _ in results] == [number * number for number in range(60)]
    worked = {process for _, process in results}
    assert os.getpid() in worked
    assert len(worked) == processes


def test_one_process_starts_nothing():
    assert {process for _, process in in_processes(_square, range(3), processes=1)} == {os.getpid()}


def test_few_items_are_drawn_ahead():
    drawn = []
    results = in_processes(_square, (drawn.append(number) or number for number in range(50)), processes=2)
    next(results)
    assert len(drawn) < 20
    results.close()


def test_items_of_more_than_a_size_are_not_held_together():
    sizes = [40, 70, 30, *[10] * 12, 120, 60, 50]
    held, together = [], []

    def items():
        for number in sizes:
            yield number
            held.append(number)
            together.append(tuple(held))

    squares = []
    for square, _ in in_processes(_slow_square, items(), processes=3, size=lambda number: number, most=100):
        held.pop(0)
        squares.append(square)
    assert squares == [number * number for number in sizes]
    assert all(sum(numbers) <= 100 or numbers == (120,) for numbers in together)
    assert any(len(numbers) > 5 for numbers in together)


def test_processes_start_before_the_first_item_is_there():
    def items():
        deadline = time.monotonic() + 20
        while len(children()) == before and time.monotonic() < deadline:
            time.sleep(0.01)
        started.append(len(children()) - before)
        yield 1

    def children():
        return psutil.Process().children()

    list(in_processes(_square, range(2), processes=2))  # the tracker of resources stays
    before, started = len(children()), []
    assert [square for square, _ in in_processes(_square, items(), processes=2)] == [1]
    assert started == [1]


@pytest.mark.parametrize("processes", [1, 2])
def test_an_error_arrives_as_it_was_raised(processes):
    with pytest.raises(DataError, match="three is refused"):
        list(in_processes(_refuse_three, range(6), processes=processes))


@pytest.mark.parametrize("number", [errno.ENOMEM, errno.EMFILE, errno.EAGAIN])
def test_a_process_that_cannot_be_started_is_told(monkeypatch, number):
    def fail(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("multiprocessing.popen_spawn_posix.Popen", fail)
    with pytest.raises(LesionGenError, match=f"A worker process cannot be started: {os.strerror(number)}"):
        list(in_processes(_square, range(3), processes=2))


SLOW = """
import time
from lesiongen.parallel import in_processes, use_own_cores
if __name__ == "__main__":
    for _ in in_processes(time.sleep, [0.05] * 1000, processes=2):
        print("done", flush=True)
"""


def test_workers_end_with_a_killed_parent(tmp_path):
    program = tmp_path / "slow.py"
    program.write_text(SLOW)
    with subprocess.Popen([sys.executable, str(program)], stdout=subprocess.PIPE) as parent:
        parent.stdout.readline()
        workers = psutil.Process(parent.pid).children()
        parent.send_signal(signal.SIGKILL)
    assert len(workers) >= 2
    deadline = time.monotonic() + 20
    while any(worker.is_running() for worker in workers) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not [worker for worker in workers if worker.is_running()]


KILLED = """
import multiprocessing, os, signal, time
from lesiongen.errors import LesionGenError
from lesiongen.parallel import in_processes

def work(_):
    time.sleep(0.02)
    if multiprocessing.parent_process():
        os.kill(os.getpid(), signal.SIGKILL)

if __name__ == "__main__":
    try:
        list(in_processes(work, range(200), processes=3))
    except LesionGenError as error:
        print(error)
"""


def test_a_killed_worker_is_told_and_the_program_ends(tmp_path):
    program = tmp_path / "killed.py"
    program.write_text(KILLED)
    ended = subprocess.run([sys.executable, str(program)], capture_output=True, text=True, timeout=60, check=True)
    assert ended.stdout == (
        "A worker process was killed, probably out of memory\n"
        "Give the job more memory, or fewer cores: each has a process of its own.\n"
    )
    assert "InvalidStateError" not in ended.stderr


def test_the_others_compute_in_one_thread_unless_told_otherwise(monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "3")
    seen = dict(in_processes(_threads, range(40), processes=2))
    assert seen.pop(os.getpid()) == [None, "3"]
    assert list(seen.values()) == [["1", "3"]]


@pytest.mark.parametrize(("own", "expected"), [(2, [2]), (4, [4]), (64, [4])])
def test_torch_uses_no_more_cores_than_a_container_may(monkeypatch, own, expected):
    chosen = []
    monkeypatch.setattr(joblib, "cpu_count", lambda: own)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 4)
    monkeypatch.setattr(torch, "set_num_threads", chosen.append)
    use_own_cores()
    assert chosen == expected
