"""Temporary folders: of killed processes they go, of living ones and of somebody else they stay."""

import signal
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path

import pytest

from lesiongen import temporary
from lesiongen.storage import claimed, open_storage
from lesiongen.temporary import hold_folder, remove_ownerless, temporary_folder

OWNER = """
import sys
from lesiongen.temporary import temporary_folder
with temporary_folder("model") as folder:
    (folder / "weights").write_bytes(b"large")
    print(folder, flush=True)
    sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def own_place(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(temporary, "_swept", set())


@contextmanager
def owner(tmp_path):
    """Another process that has a temporary folder."""
    process = subprocess.Popen(
        [sys.executable, "-c", OWNER],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={"TMPDIR": str(tmp_path)},
    )  # fmt: skip
    try:
        yield process, Path(process.stdout.readline().strip())
    finally:
        process.kill()
        process.communicate()


def test_only_folders_of_dead_processes_are_removed(tmp_path):
    kept = tmp_path / "lesiongen-experiments"
    kept.mkdir()
    with owner(tmp_path) as (killed, left), owner(tmp_path) as (_, used):
        killed.send_signal(signal.SIGKILL)
        killed.wait()
        assert (left / "weights").exists()
        with temporary_folder("base") as mine:
            assert mine.stat().st_mode & 0o777 == 0o700
            assert set(tmp_path.iterdir()) == {kept, used, mine}
        assert set(tmp_path.iterdir()) == {kept, used}


def test_a_writer_that_needs_no_temporary_folder_removes_those_of_killed_processes_too(tmp_path):
    """A repeated command may find that all was published before the first was killed."""
    with owner(tmp_path) as (killed, left):
        killed.kill()
        killed.wait()
        with claimed(open_storage(tmp_path / "output")):
            assert not left.exists()


def test_a_folder_that_another_process_uses_stays_after_its_owner(tmp_path):
    with owner(tmp_path) as (killed, left):
        with hold_folder(left):
            killed.kill()
            killed.wait()
            assert not remove_ownerless(left)
        assert remove_ownerless(left)


def test_a_link_is_left_alone(tmp_path):
    target, link = tmp_path / "target", tmp_path / f"lesiongen-model-{'0' * 16}"
    target.mkdir()
    link.symlink_to(target, target_is_directory=True)
    with temporary_folder("base"):
        assert link.is_symlink()
    assert target.is_dir()


def test_it_goes_after_an_error_too(tmp_path):
    with pytest.raises(KeyboardInterrupt), temporary_folder("base") as folder:
        (folder / "file").touch()
        raise KeyboardInterrupt
    assert not list(tmp_path.iterdir())
