import json
import logging
import subprocess
import sys

import pytest
import torch

from lesiongen.diffusion.checkpoints.store import CheckpointStore
from lesiongen.errors import StorageError
from lesiongen.storage import LocalStorage, open_storage


@pytest.fixture
def store(tmp_path):
    return CheckpointStore(open_storage(str(tmp_path)), keep=2)


def _save(store, step):
    store.save(step, {"weights": {"w": torch.full((3,), float(step))}}, {"note": step})


def test_what_was_saved_is_read_back(store):
    assert store.newest() is None
    _save(store, 2)
    found = store.newest()
    assert found.step == 2
    assert found.state == {"note": 2}
    assert torch.equal(found.tensors["weights"]["w"], torch.full((3,), 2.0))


def test_only_the_newest_are_kept_and_only_plain_files_are_written(store, tmp_path):
    for step in (2, 4, 10, 12):
        _save(store, step)
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {path.parent.name for path in files} == {"step-00000010", "step-00000012"}
    assert {path.suffix for path in files} == {".json", ".safetensors"}


@pytest.mark.parametrize(
    "damage", ["flip a byte", "cut the file", "lose a file", "lose the manifest", "bad manifest", "other manifest"]
)
def test_a_damaged_checkpoint_is_named_and_passed_over(store, tmp_path, caplog, damage):
    _save(store, 2)
    _save(store, 4)
    weights, manifest = (tmp_path / "step-00000004" / name for name in ("weights.safetensors", "manifest.json"))
    content = weights.read_bytes()
    if damage == "flip a byte":
        weights.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    elif damage == "cut the file":
        weights.write_bytes(content[:20])
    elif damage == "lose a file":
        weights.unlink()
    elif damage == "lose the manifest":
        manifest.unlink()
    else:
        manifest.write_text("{" if damage == "bad manifest" else "[]")
    with caplog.at_level(logging.WARNING):
        assert store.newest().step == 2
    assert "step-00000004 is passed over" in caplog.text


@pytest.mark.parametrize("operation", ["exists", "read_bytes", "fetch"])
def test_a_storage_that_does_not_answer_is_no_damage(store, monkeypatch, operation):
    _save(store, 2)

    def refuse(self, key):
        raise StorageError("the server cannot be reached")

    with monkeypatch.context() as patch, pytest.raises(StorageError, match="cannot be reached"):
        patch.setattr(LocalStorage, operation, refuse)
        store.newest()
    assert store.newest().step == 2


def test_a_damaged_checkpoint_of_a_later_step_takes_no_place(tmp_path):
    store = CheckpointStore(open_storage(str(tmp_path)), keep=1)
    _save(store, 8)
    (tmp_path / "step-00000008" / "weights.safetensors").write_bytes(b"")
    _save(store, 2)
    assert store.newest().step == 2


@pytest.mark.slow
def test_a_full_disk_is_told(store, tmp_path):
    """In a process of its own, whose files may be no larger than a disk that is full would let them be."""
    program = f"""
import resource, signal, torch
from lesiongen.diffusion.checkpoints.store import CheckpointStore
from lesiongen.errors import StorageError
from lesiongen.storage import open_storage
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    CheckpointStore(open_storage({str(tmp_path)!r}), keep=2).save(4, {{"weights": {{"w": torch.ones(1000)}}}}, {{}})
except StorageError as error:
    print(error)
"""
    _save(store, 2)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert "weights.safetensors of a checkpoint cannot be written to" in done.stdout
    assert "TMPDIR" in done.stdout
    assert store.newest().step == 2


def _steps(folder):
    return {path.parent.name for path in folder.rglob("*") if path.is_file()}


def test_what_a_killed_run_left_unfinished_is_deleted_after_the_next_checkpoint(store, tmp_path):
    for step in (2, 4, 6):
        _save(store, step)
    (tmp_path / "step-00000004" / "manifest.json").unlink()
    assert _steps(tmp_path) == {"step-00000004", "step-00000006"}
    _save(store, 8)
    assert _steps(tmp_path) == {"step-00000006", "step-00000008"}


@pytest.mark.parametrize("keep", [1, 2])
def test_a_damaged_checkpoint_takes_no_place_from_a_good_one(tmp_path, keep):
    """The store that finds the damage is not the one that saves."""
    place = open_storage(str(tmp_path))
    for step in (2, 4):
        _save(CheckpointStore(place, keep=2), step)
    (tmp_path / "step-00000004" / "weights.safetensors").write_bytes(b"")
    assert CheckpointStore(place, keep).newest().step == 2
    _save(CheckpointStore(open_storage(str(tmp_path)), keep), 5)
    assert _steps(tmp_path) == ({"step-00000005"} if keep == 1 else {"step-00000002", "step-00000005"})


def test_a_damaged_checkpoint_that_was_written_anew_is_kept(store, tmp_path):
    for step in (2, 4):
        _save(store, step)
    (tmp_path / "step-00000004" / "weights.safetensors").write_bytes(b"")
    assert store.newest().step == 2
    for step in (4, 6):
        _save(store, step)
    assert _steps(tmp_path) == {"step-00000004", "step-00000006"}


def test_nothing_is_deleted_where_a_checkpoint_cannot_be_written(store, tmp_path, monkeypatch):
    def refuse(self, key, data):
        raise StorageError("the disk is full")

    _save(store, 2)
    (tmp_path / "step-00000001").mkdir()
    (tmp_path / "step-00000001" / "weights.safetensors").write_bytes(b"")
    monkeypatch.setattr(LocalStorage, "write_bytes", refuse)
    with pytest.raises(StorageError, match="disk is full"):
        _save(store, 4)
    assert {"step-00000001", "step-00000002"} < _steps(tmp_path)
    assert store.newest().step == 2


def test_a_state_that_is_no_json_number_is_refused(store, tmp_path):
    with pytest.raises(ValueError, match="not JSON compliant"):
        store.save(2, {"weights": {"w": torch.zeros(1)}}, {"loss": float("nan")})
    assert store.newest() is None


def test_writing_over_a_damaged_checkpoint_heals_it(store, tmp_path):
    _save(store, 2)
    (tmp_path / "step-00000002" / "weights.safetensors").write_bytes(b"")
    _save(store, 2)
    assert store.newest().step == 2


def test_clearing_leaves_what_is_not_a_checkpoint(store, tmp_path):
    _save(store, 2)
    (tmp_path / "base").mkdir()
    (tmp_path / "base" / "kept.json").write_text(json.dumps({}))
    store.clear()
    assert store.newest() is None
    assert (tmp_path / "base" / "kept.json").is_file()
