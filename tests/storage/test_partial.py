"""What killed writers leave in a folder, and what live ones hold there."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from lesiongen.diffusion.checkpoints.store import CheckpointStore
from lesiongen.storage import LocalStorage, partial

WRITER = """
import sys, time
from lesiongen.storage import LocalStorage
with LocalStorage(sys.argv[1]).replacing("big") as temporary, temporary.open("wb") as file:
    file.write(b"half")
    file.flush()
    sys.stdin.read()
    file.write(b" and half")
"""


@pytest.fixture
def writer(tmp_path):
    """Another process in the middle of writing a file; it goes on when its input ends."""
    with subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path)], stdin=subprocess.PIPE) as process:
        until = time.monotonic() + 60
        while not any(path.stat().st_size for path in _hidden(tmp_path)):
            assert process.poll() is None
            assert time.monotonic() < until
            time.sleep(0.02)
        yield process
        process.kill()


def _hidden(folder: Path) -> list[Path]:
    return [path for path in folder.rglob(".*") if path.is_file()]


def _grow_old(folder: Path) -> None:
    for path in _hidden(folder):
        os.utime(path, (time.time() - 3600, time.time() - 3600))


def test_what_a_killed_writer_has_left_is_removed_by_the_next_write(tmp_path, writer):
    writer.send_signal(signal.SIGKILL)
    writer.wait()
    _grow_old(tmp_path)
    LocalStorage(str(tmp_path)).write_bytes("other", b"")
    assert [path.name for path in tmp_path.iterdir()] == ["other"]


def test_what_a_live_writer_holds_stays_however_long_it_has_been_still(tmp_path, writer):
    _grow_old(tmp_path)
    LocalStorage(str(tmp_path)).write_bytes("big", b"of another process")
    assert len(_hidden(tmp_path)) == 1
    writer.communicate()
    assert writer.returncode == 0
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"big": b"half and half"}


def test_what_was_written_a_moment_ago_stays_where_locks_are_not_passed_on(tmp_path, writer):
    writer.send_signal(signal.SIGKILL)
    writer.wait()
    LocalStorage(str(tmp_path)).write_bytes("other", b"")
    assert len(_hidden(tmp_path)) == 1


def test_a_file_of_somebody_else_stays(tmp_path):
    (tmp_path / ".notes.0123456789abcdef").write_text("mine")
    _grow_old(tmp_path)
    LocalStorage(str(tmp_path)).write_bytes("other", b"")
    assert len(_hidden(tmp_path)) == 1


def test_a_folder_of_many_files_is_not_looked_through_for_each_of_them(tmp_path, monkeypatch):
    looked = []
    monkeypatch.setattr(partial, "remove_abandoned", looked.append)
    for number in range(5):
        LocalStorage(str(tmp_path)).write_bytes(f"{number}", b"")
    assert looked == [tmp_path]


def test_checkpoints_that_are_never_written_again_leave_nothing(tmp_path):
    """A killed training may have been at a step that no later one ends at."""
    half = tmp_path / "step-00000007" / f".weights.safetensors.{'0' * 16}.partial"
    half.parent.mkdir()
    half.write_bytes(b"half")
    _grow_old(tmp_path)
    CheckpointStore(LocalStorage(str(tmp_path)), keep=1).save(8, {"weights": {"w": torch.ones(1)}}, {})
    assert not half.exists()
