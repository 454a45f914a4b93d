"""One writer at a time for a place, in whichever order two of them come, and after one that was killed."""

import json
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from types import SimpleNamespace

import pytest

from lesiongen.dataset import Dataset, DatasetWriter, Sample
from lesiongen.errors import StorageError, UsageError
from lesiongen.imaging import encode_png
from lesiongen.phantoms import PhantomConfig, draw_concepts, render
from lesiongen.storage import Claim, claim_objects, claimed, open_storage
from lesiongen.storage.s3 import S3Storage

HOLDER = """
import sys
from lesiongen.storage import claimed, open_storage
with claimed(open_storage(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture(params=["folder", "s3"])
def place(request, tmp_path):
    """A new folder, or a new prefix on a real S3 server."""
    return str(tmp_path / "new" / "out") if request.param == "folder" else request.getfixturevalue("s3_root")


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(claim_objects, "LOOK_SECONDS", (0.01, 0.05))


@contextmanager
def held(place):
    """Another process that holds a place until the block ends."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, place], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout.readline() == "held\n"
        yield process
    finally:
        process.kill()
        process.wait()
        process.stdin.close()
        process.stdout.close()


def write(place, name):
    concepts = draw_concepts(PhantomConfig(seed=1), 0)
    image = encode_png(render(concepts, 16))
    with DatasetWriter(place, name=name) as writer:
        writer.add(Sample(image=image, image_id=name, diagnosis="nv", split="train"))


def test_a_second_process_is_refused_with_the_name_of_the_first(place, quick):
    with held(place) as process:
        with pytest.raises(UsageError, match=rf"is being written by another process \(host .+, pid {process.pid}, "):
            write(place, "second")
        process.communicate()
    write(place, "second")
    assert Dataset.open(place).manifest.name == "second"


def test_the_claim_of_a_killed_process_is_taken_over_at_once_and_leaves_nothing(place, tmp_path, quick):
    with held(place) as process:
        process.send_signal(signal.SIGKILL)
        process.wait()
    with claimed(open_storage(place)) as claim:
        assert claim.taken_over
    with claimed(open_storage(place)) as claim:
        assert not claim.taken_over
    assert not list(open_storage(place).list())
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_a_writer_may_claim_its_place_again_and_another_thread_may_not(place, quick):
    with claimed(open_storage(place)), ThreadPoolExecutor(1) as pool:
        with claimed(open_storage(place)):
            pass
        with pytest.raises(UsageError, match="is being written"):
            pool.submit(write, place, "other").result()


@pytest.mark.parametrize("step", ["move_file", "create_bytes"])
def test_a_writer_that_begins_while_another_publishes_is_refused_and_the_other_ends_well(
    place, step, quick, monkeypatch
):
    first, refusals = open_writer(place, "first"), []
    monkeypatch.setattr(*meanwhile(place, step, lambda: refusals.append(refused(place))))
    first.__exit__(None, None, None)
    assert all("is being written by another process" in words for words in refusals)
    assert len(refusals) == 1
    assert [sample.image_id for sample in Dataset.open(place).samples()] == ["first"]


@pytest.mark.parametrize("step", ["move_file", "create_bytes"])
def test_where_folders_have_no_locks_the_last_step_lets_one_through(tmp_path, step, monkeypatch):
    monkeypatch.setattr("lesiongen.dataset.writer.claimed", claimless)
    place = str(tmp_path / "out")
    first, second = open_writer(place, "first"), open_writer(place, "second")
    monkeypatch.setattr(*meanwhile(place, step, lambda: second.__exit__(None, None, None)))
    with pytest.raises(UsageError, match="is being written by another process|already holds a dataset"):
        first.__exit__(None, None, None)
    assert [sample.image_id for sample in Dataset.open(place).samples()] == ["second"]
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def meanwhile(place, step, act):
    """Returns what to patch, and by what, so that something happens once within a step of publishing."""
    kind, pending = type(open_storage(place)), [act]
    plain = getattr(kind, step)

    def stepped(*arguments):
        if pending:
            pending.pop()()
        return plain(*arguments)

    return kind, step, stepped


def refused(place):
    with ThreadPoolExecutor(1) as pool, pytest.raises(UsageError) as caught:
        pool.submit(write, place, "second").result()
    return str(caught.value)


@contextmanager
def claimless(storage):
    yield Claim()


def open_writer(place, name):
    writer = DatasetWriter(place, name=name).__enter__()
    image = encode_png(render(draw_concepts(PhantomConfig(seed=1), 0), 16))
    writer.add(Sample(image=image, image_id=name, diagnosis="nv", split="train"))
    return writer


def test_writers_that_began_at_the_same_moment_on_s3_are_told_apart(s3_root, quick):
    """Both see each other's claim, both give way, and one of them is first the next time."""
    program = "import sys\nfrom lesiongen.storage import claim_objects\nclaim_objects.LOOK_SECONDS = (0.05, 0.5)\n"
    program += HOLDER.split("\n", 2)[2].replace("sys.stdin.read()", "import time; time.sleep(3)")
    program = program.replace("with claimed", "from lesiongen.storage import claimed, open_storage\nwith claimed")
    processes = [
        subprocess.Popen([sys.executable, "-c", program, s3_root], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for _ in range(3)
    ]
    ended = [process.communicate(timeout=120) for process in processes]
    assert sorted(process.returncode for process in processes) == [0, 1, 1]
    assert sum(b"is being written by another process" in error for _, error in ended) == 2
    assert not list(open_storage(s3_root).list())


def foreign(storage, **changes):
    """Writes the claim of a process on a machine of which nothing is known here."""
    owner = {"host": "elsewhere", "system": "other", "pid": 1, "ticks": 1, "since": "2026-01-01T00:00:00+00:00"}
    storage.child(claim_objects.CLAIMS).write_json("ffff.json", owner | changes)


def test_a_claim_of_another_machine_counts_while_it_is_renewed_and_no_longer(s3_root, quick, monkeypatch):
    storage = open_storage(s3_root)
    foreign(storage)
    monkeypatch.setattr(claim_objects, "LOOK_SECONDS", (1.1, 1.2))
    with monkeypatch.context() as patch:
        # Not the sleep of the whole process: other threads have theirs.
        looks = SimpleNamespace(monotonic=time.monotonic, sleep=lambda seconds: (time.sleep(seconds), foreign(storage)))
        patch.setattr(claim_objects, "time", looks)
        with pytest.raises(UsageError, match=r"is being written by another process \(host elsewhere, pid 1, "):
            write(s3_root, "refused")
    monkeypatch.setattr(claim_objects, "STALE_SECONDS", 0.5)
    write(s3_root, "after")
    assert Dataset.open(s3_root).manifest.name == "after"


def test_who_has_lost_its_claim_publishes_nothing(s3_root, quick):
    writer = open_writer(s3_root, "late")
    open_storage(s3_root).child(claim_objects.CLAIMS).delete_all()
    with pytest.raises(StorageError, match="no longer claimed by this process"):
        writer.__exit__(None, None, None)
    assert not list(open_storage(s3_root).list())


def test_a_claim_that_could_not_be_given_back_does_not_stop_its_own_process(s3_root, quick, monkeypatch):
    with monkeypatch.context() as patch, claimed(open_storage(s3_root)):
        patch.setattr(S3Storage, "delete", unreachable)
    assert len(list(open_storage(s3_root).list())) == 1
    write(s3_root, "again")
    assert Dataset.open(s3_root).manifest.name == "again"


def unreachable(*_):
    raise StorageError("the server is gone")


def test_a_claim_is_renewed_while_its_writer_lives(s3_root, monkeypatch):
    monkeypatch.setattr(claim_objects, "RENEW_SECONDS", 0.05)
    place = open_storage(s3_root)
    with claimed(place):
        (first,) = place.list(claim_objects.CLAIMS)
        until = time.monotonic() + 30
        while next(place.list(claim_objects.CLAIMS)).modified == first.modified:
            assert time.monotonic() < until
            time.sleep(0.1)


def test_only_hidden_files_of_killed_writers_are_removed(tmp_path):
    stale, others = f".out.{'0' * 16}.partial", [f".out.1.{'0' * 16}.partial", ".out.notes"]  # the first one of `out.1`
    for folder in (tmp_path / name for name in (stale, *others)):
        folder.mkdir()
        (folder / "file").write_bytes(b"")
    with held(str(tmp_path / "out")):
        pass
    write(str(tmp_path / "out"), "new")
    assert sorted(path.name for path in tmp_path.iterdir()) == [*others, "out"]


def test_a_folder_that_cannot_be_locked_from_beside_is_locked_within(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: path != tmp_path)
    place = tmp_path / "out"
    place.mkdir()
    with claimed(open_storage(str(place))):
        (lock,) = place.iterdir()
        assert json.loads(lock.read_text())["pid"] == os.getpid()
    assert not list(place.iterdir())
