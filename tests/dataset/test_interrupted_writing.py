"""A dataset whose writing ends early: what is being written ends first, what waits is dropped."""

import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lesiongen.dataset import DatasetWriter, Sample, writer


def rows(count: int) -> list[Sample]:
    return [Sample(image=b"x" * 10, image_id=f"i{number}", diagnosis="nv", split="train") for number in range(count)]


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many rows each group has that is written."""
    counts: list[int] = []
    write = pq.ParquetWriter.write_table

    def counted(self: pq.ParquetWriter, table: pa.Table) -> None:
        counts.append(table.num_rows)
        write(self, table)

    monkeypatch.setattr(pq.ParquetWriter, "write_table", counted)
    return counts


@pytest.fixture
def _ctrl_c_interrupts() -> Iterator[None]:
    """Has it interrupt also where the tests run in the background, whose shell has it ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("_ctrl_c_interrupts")
def test_an_interrupt_closes_no_file_that_is_being_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write, close = pq.ParquetWriter.write_table, pq.ParquetWriter.close
    wait, waits = writer._ShardFile._wait, threading.Event()
    busy, busy_when_closed = threading.Event(), []
    main = threading.main_thread().ident
    assert main is not None

    def slow(self: pq.ParquetWriter, table: pa.Table) -> None:
        busy.set()
        assert waits.wait(60)
        time.sleep(0.1)  # the main thread is within the wait by now
        signal.pthread_kill(main, signal.SIGINT)
        time.sleep(0.3)
        write(self, table)
        busy.clear()

    def waiting(self: writer._ShardFile) -> None:
        if self._written:
            waits.set()
        wait(self)

    def seen(self: pq.ParquetWriter) -> None:
        busy_when_closed.append(busy.is_set())
        close(self)

    monkeypatch.setattr(pq.ParquetWriter, "write_table", slow)
    monkeypatch.setattr(pq.ParquetWriter, "close", seen)
    monkeypatch.setattr(writer._ShardFile, "_wait", waiting)
    with pytest.raises(KeyboardInterrupt), DatasetWriter(str(tmp_path / "out"), name="x") as dataset:
        dataset.add(rows(1)[0])
    assert busy_when_closed
    assert not any(busy_when_closed)
    assert not (tmp_path / "out").exists()


def test_after_an_error_collected_rows_are_not_written(tmp_path: Path, written: list[int]) -> None:
    def fail(dataset: DatasetWriter) -> None:
        for row in rows(3):
            dataset.add(row)
        raise RuntimeError("the reader failed")

    with pytest.raises(RuntimeError), DatasetWriter(str(tmp_path / "out"), name="x") as dataset:
        fail(dataset)
    assert written == []
    assert not (tmp_path / "out").exists()


def test_after_an_error_shards_that_wait_are_not_hashed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hashed: list[Path] = []

    def slow(path: Path) -> tuple[str, str]:
        hashed.append(path)
        time.sleep(0.5)
        return "0", "0"

    def fail(dataset: DatasetWriter) -> None:
        for row in rows(4):
            dataset.add(row)
        raise RuntimeError("the reader failed")

    monkeypatch.setattr(writer, "_digests", slow)
    with pytest.raises(RuntimeError), DatasetWriter(str(tmp_path / "out"), name="x", shard_rows=1) as dataset:
        fail(dataset)
    assert len(hashed) <= 1
