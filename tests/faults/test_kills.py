"""A training killed anywhere and started again ends with the very weights and losses of one that nothing disturbed."""

import os
import random
import signal
import time
from contextlib import suppress

import psutil
import pytest

from lesiongen.launch.worker import FOLDER
from tests.fault_points import points
from tests.faults.runs import FAILED

pytestmark = [pytest.mark.faults, pytest.mark.usefixtures("stack_environment")]

METHODS = ("lora", "full")


def _workers(children):
    found = []
    for child in children:
        with suppress(psutil.NoSuchProcess):
            found += [child] if "RANK" in child.environ() else []
    return found


def _kill_at_random(run, instants):
    """Kills a run at an instant, for half of them after a step of its own; tells whether it came to its end before."""
    process = run.start()
    if instants.random() < 0.5:
        run.await_step(process)
        process.join(timeout=instants.uniform(0.0, 1.0))
    else:
        process.join(timeout=instants.uniform(0.0, 3.0))
    # It may come to its end at any moment until the signal reaches it.
    process.kill()
    process.join()
    assert process.exitcode in (0, -signal.SIGKILL), run.said()
    return process.exitcode == 0


@pytest.mark.parametrize("method", METHODS)
def test_killed_ten_times_at_random_instants(runs, method):
    instants = random.Random(f"one process, {method}")
    run, kills = runs.make(method, steps=12), 0
    while kills < 10:
        if _kill_at_random(run, instants):
            runs.assert_undisturbed(run)
            run = runs.make(method, steps=12)
        else:
            kills += 1
    run.finish()
    runs.assert_undisturbed(run)


@pytest.mark.parametrize("method", METHODS)
def test_killed_five_times_with_two_processes(runs, method):
    random_instants = random.Random(f"two processes, {method}")
    run = runs.make(method, steps=60, processes=2)
    for number in range(5):
        process = run.start()
        run.await_step(process)
        time.sleep(random_instants.uniform(0.0, 0.5))
        children = psutil.Process(process.pid).children(recursive=True)
        workers = _workers(children)
        assert len(workers) == 2
        if number % 2:
            random_instants.choice(workers).kill()
            process.join(timeout=60)
            assert process.exitcode == FAILED
        else:
            process.kill()
            process.join()
        _, alive = psutil.wait_procs(children, timeout=20)
        assert not alive, "what was launched goes on without its launcher"
    run.finish()
    runs.assert_undisturbed(run)


@pytest.mark.parametrize("method", METHODS)
def test_killed_before_any_write_of_a_checkpoint(runs, method):
    """Every change of the storage in turn: files, state, manifest, and the deletion of the checkpoint before."""
    # Two checkpoints of some files and a manifest, whose old one is deleted first; then the files of the first.
    files, newest = {"lora": 4, "full": 5}[method], 0
    writes = 2 * (files + 1) + files
    for number in points(range(1, writes + 1), step=2):
        run = runs.make(method, steps=2, keep_checkpoints=1)
        process = run.start(kill_before_write=number)
        process.join(timeout=120)
        assert process.exitcode == -signal.SIGKILL, run.said()
        assert run.newest() >= newest, "what was once whole is not followed by something whole"
        newest = run.newest()
        run.finish()
        runs.assert_undisturbed(run)
    assert newest == 2
    run = runs.make(method, steps=2, keep_checkpoints=1)
    process = run.start(kill_before_write=writes + 1)
    process.join(timeout=120)
    assert process.exitcode == 0, "there are more writes than these"


def test_terminated_with_two_processes(runs):
    run = runs.make("lora", steps=60, processes=2)
    process = run.start()
    run.await_step(process)
    process.terminate()
    process.join(timeout=60)
    assert process.exitcode == 75
    assert "the state is saved in" in run.said()
    before = max(run.saved())
    assert 0 < before < 60
    run.finish()
    runs.assert_undisturbed(run)


def _works_on_a_run(process):
    try:
        return FOLDER in process.environ()
    except psutil.Error:  # it has ended; a zombie has no environment
        return False


def test_nothing_is_left_running():
    mine = psutil.Process(os.getpid())
    assert not [child for child in mine.children(recursive=True) if _works_on_a_run(child)]
