import logging
import threading

import pytest
import torch

from lesiongen.diffusion.checkpoints.store import CheckpointStore
from lesiongen.diffusion.checkpoints.writer import CheckpointWriter
from lesiongen.errors import DataError, StorageError, Unreachable
from lesiongen.storage import LocalStorage


class SlowStorage(LocalStorage):
    """A folder whose files arrive only once the gate is open."""

    def __init__(self, folder):
        super().__init__(folder)
        self.gate = threading.Event()
        self.refusal = None

    def child(self, *parts):
        child = SlowStorage("/".join([self.uri, *parts]))
        child.gate, child.refusal = self.gate, self.refusal
        return child

    def upload_file(self, path, key):
        assert self.gate.wait(timeout=30)
        if self.refusal is not None:
            raise self.refusal
        super().upload_file(path, key)


@pytest.fixture
def storage(tmp_path):
    return SlowStorage(str(tmp_path))


@pytest.fixture
def writer(storage):
    return CheckpointWriter(CheckpointStore(storage, keep=2))


def _save(writer, step, weight):
    writer.save(step, {"weights": {"w": weight}}, {"note": step})


def test_the_training_goes_on_while_a_checkpoint_is_written(writer, storage):
    weight = torch.ones(3)
    _save(writer, 1, weight)
    assert writer.store.newest() is None
    weight.zero_()  # the next step
    storage.gate.set()
    writer.wait()
    assert torch.equal(writer.store.newest().tensors["weights"]["w"], torch.ones(3))


def test_the_next_checkpoint_waits_for_the_one_before(writer, storage):
    _save(writer, 1, torch.ones(3))
    second = threading.Thread(target=_save, args=(writer, 2, torch.zeros(3)), daemon=True)
    second.start()
    second.join(timeout=0.2)
    assert second.is_alive()
    storage.gate.set()
    second.join()
    writer.wait()
    assert writer.store.newest().step == 2


@pytest.mark.parametrize("ending", ["the next checkpoint", "the end"])
def test_a_checkpoint_that_is_lost_ends_the_training(writer, storage, ending):
    storage.gate.set()
    storage.refusal = StorageError("the bucket is full")
    with pytest.raises(StorageError, match="the bucket is full"), writer:
        _save(writer, 1, torch.ones(3))
        if ending == "the next checkpoint":
            _save(writer, 2, torch.ones(3))


def test_whatever_ends_the_writing_ends_the_wait(writer, monkeypatch):
    class Panic(BaseException):
        """As of a library in Rust."""

    def panic(*_):
        raise Panic("out of range")

    monkeypatch.setattr(CheckpointStore, "save", panic)
    _save(writer, 1, torch.ones(3))
    ended = []

    def wait():
        try:
            writer.wait()
        except Panic as error:
            ended.append(str(error))

    waiting = threading.Thread(target=wait, daemon=True)
    waiting.start()
    waiting.join(timeout=10)
    assert ended == ["out of range"]


def test_the_trainings_own_error_is_not_hidden_by_a_lost_checkpoint(writer, storage, caplog):
    storage.gate.set()
    storage.refusal = StorageError("the bucket is full")
    with caplog.at_level(logging.WARNING), pytest.raises(DataError), writer:
        _save(writer, 1, torch.ones(3))
        raise DataError("it diverged")
    assert "could not be written: the bucket is full" in caplog.text


def test_an_error_waits_for_the_checkpoint_on_its_way(writer, storage):
    threading.Timer(0.2, storage.gate.set).start()
    with pytest.raises(DataError), writer:
        _save(writer, 1, torch.ones(3))
        raise DataError("it diverged")
    assert writer.store.newest().step == 1


def test_a_second_interrupt_waits_for_nothing(writer):
    with pytest.raises(KeyboardInterrupt), writer:
        _save(writer, 1, torch.ones(3))
        raise KeyboardInterrupt
    assert writer.store.newest() is None


def test_a_storage_that_is_away_for_a_while_is_outlasted(tmp_path, monkeypatch, caplog):
    away = [Unreachable("the S3 server cannot be reached")] * 2
    plain = LocalStorage.write_bytes

    def write_bytes(self, key, data):
        if away:
            raise away.pop()
        plain(self, key, data)

    monkeypatch.setattr(LocalStorage, "write_bytes", write_bytes)
    monkeypatch.setattr("tenacity.nap.time.sleep", lambda seconds: None)
    store = CheckpointStore(LocalStorage(str(tmp_path)), keep=2, patience=60)
    with caplog.at_level(logging.WARNING):
        store.save(1, {"weights": {"w": torch.ones(3)}}, {})
    assert store.newest().step == 1
    assert caplog.text.count("cannot be reached; trying again") == 1


def test_patience_ends(tmp_path, monkeypatch):
    def write_bytes(self, key, data):
        raise Unreachable("the S3 server cannot be reached")

    monkeypatch.setattr(LocalStorage, "write_bytes", write_bytes)
    store = CheckpointStore(LocalStorage(str(tmp_path)), keep=2)
    with pytest.raises(Unreachable):
        store.save(1, {"weights": {"w": torch.ones(3)}}, {})
