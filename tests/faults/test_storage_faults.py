"""A server that goes away while a training saves to it, and checkpoints that were damaged there."""

import time

import psutil
import pytest

from lesiongen.stack import running_stack
from lesiongen.storage import open_storage
from tests.faults.runs import FAILED

pytestmark = pytest.mark.faults

GONE_SECONDS = 20.0


@pytest.fixture
def passing_stack(tmp_path):
    """Servers that are stopped at the end, though `Stack.up` has started them to stay."""
    with running_stack(tmp_path / "stack") as stack:
        yield stack
    stack.down()


def test_the_server_is_gone_for_a_while(make_runs, passing_stack):
    runs = make_runs(passing_stack)
    run = runs.make("full", steps=40)
    process = run.start()
    run.await_step(process)
    server = psutil.Process(passing_stack.status().pids["s3"])
    server.kill()
    server.wait(timeout=10)
    process.join(timeout=GONE_SECONDS)
    assert process.is_alive(), run.said()
    passing_stack.up()
    process.join(timeout=120)
    assert process.exitcode == 0, run.said()
    assert "cannot be reached" in run.said()
    assert "Resuming" not in run.said()
    assert run.saved() == {39, 40}
    runs.assert_undisturbed(run)


@pytest.mark.parametrize("damage", ["cut", "changed", "lost file", "lost manifest"])
@pytest.mark.usefixtures("stack_environment")
def test_a_damaged_checkpoint_is_named_and_the_one_before_taken(runs, damage):
    run = runs.make("full", steps=12)
    process = run.start()
    while len(run.saved()) < 2:
        run.await_step(process)
    process.kill()
    process.join()
    newest = max(run.saved())
    place = open_storage(run.checkpoints)
    (weights,) = [item.key for item in place.list() if item.key.endswith(f"step-{newest:08d}/weights.safetensors")]
    content = place.read_bytes(weights)
    if damage == "cut":
        place.write_bytes(weights, content[: len(content) // 2])
    elif damage == "changed":
        place.write_bytes(weights, content[:-1] + bytes([content[-1] ^ 1]))
    else:
        place.delete(weights if damage == "lost file" else weights.replace("weights.safetensors", "manifest.json"))
    run.finish()
    assert f"step-{newest:08d} is passed over" in run.said()
    assert f"Resuming from the checkpoint of step {newest - 1}" in run.said()
    runs.assert_undisturbed(run)


@pytest.mark.usefixtures("stack_environment")
def test_a_server_that_stays_away_ends_the_training_with_a_reason(make_runs, tmp_path):
    with running_stack(tmp_path / "stack") as stack:
        run = make_runs(stack).make("lora", steps=40, storage_patience=2.0)
        process = run.start()
        run.await_step(process)
        psutil.Process(stack.status().pids["s3"]).kill()
        began = time.monotonic()
        process.join(timeout=120)
        assert process.exitcode == FAILED, run.said()
        assert time.monotonic() - began < 60
        assert "the S3 server at" in run.said().splitlines()[-2]
