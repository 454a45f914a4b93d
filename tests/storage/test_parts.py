"""Transfers that are killed and started again, against the embedded S3 server."""

import fcntl
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lesiongen.dataset import Dataset, DatasetWriter, Sample
from lesiongen.storage import open_storage, parts
from lesiongen.storage.parts import PART_BYTES, etag_of
from lesiongen.storage.s3 import s3_client

SLOWLY = """
import sys, time
from pathlib import Path
from lesiongen.storage import open_storage
from lesiongen.storage.s3 import s3_client
s3_client().meta.events.register("before-call.s3", lambda **_: time.sleep(0.1))
"""


@pytest.fixture
def sent():
    """The requests of this process to S3, by operation."""
    seen: list[str] = []

    def note(model, **_):
        seen.append(model.name)

    events = s3_client().meta.events
    events.register("before-call.s3", note, unique_id="sent")
    yield seen
    events.unregister("before-call.s3", unique_id="sent")


def kill_when(condition, program: str, *arguments: str) -> None:
    """Starts a program and ends it with SIGKILL once the condition holds."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen([sys.executable, "-c", SLOWLY + program, *arguments], env=environment)
    try:
        deadline = time.monotonic() + 60
        while not condition():
            assert process.poll() is None, "it ended before it was killed"
            assert time.monotonic() < deadline
            time.sleep(0.02)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()


def parts_of(root: str) -> int:
    bucket, _, prefix = root.removeprefix("s3://").partition("/")
    uploads = s3_client().list_multipart_uploads(Bucket=bucket, Prefix=prefix).get("Uploads", [])
    listed = (s3_client().list_parts(Bucket=bucket, Key=item["Key"], UploadId=item["UploadId"]) for item in uploads)
    return sum(len(page.get("Parts", [])) for page in listed)


@pytest.fixture
def big(tmp_path) -> Path:
    """A file of thirteen parts, no two alike."""
    path = tmp_path / "big"
    with path.open("wb") as file:
        for number in range(12):
            file.write(bytes([number]) * PART_BYTES)
        file.write(b"tail")
    return path


@pytest.mark.parametrize("size", [0, 5, PART_BYTES, PART_BYTES + 1, 3 * PART_BYTES])
def test_the_etag_of_a_file_is_the_servers(size, tmp_path, s3_root):
    path = tmp_path / "file"
    path.write_bytes(os.urandom(size))
    storage = open_storage(s3_root)
    storage.upload_file(path, "file")
    (item,) = storage.list()
    assert item.etag == etag_of(path)
    assert storage.is_copy(item, path)
    assert storage.read_bytes("file") == path.read_bytes()


def test_a_killed_upload_of_a_large_file_sends_only_the_missing_parts(big, s3_root, sent):
    kill_when(
        lambda: parts_of(s3_root) >= 5,
        "open_storage(sys.argv[1]).upload_file(Path(sys.argv[2]), 'big')",
        s3_root, str(big),
    )  # fmt: skip
    there = parts_of(s3_root)
    storage = open_storage(s3_root)
    assert not storage.exists("big")
    sent.clear()
    storage.upload_file(big, "big")

    assert sent.count("UploadPart") <= 13 - there
    assert "CreateMultipartUpload" not in sent
    with storage.fetch("big") as copy:
        assert copy.read_bytes() == big.read_bytes()


def test_parts_of_another_content_are_sent_again(big, s3_root, sent):
    kill_when(
        lambda: parts_of(s3_root) >= 5,
        "open_storage(sys.argv[1]).upload_file(Path(sys.argv[2]), 'big')",
        s3_root, str(big),
    )  # fmt: skip
    big.write_bytes(big.read_bytes()[::-1])
    storage = open_storage(s3_root)
    storage.upload_file(big, "big")
    with storage.fetch("big") as copy:
        assert copy.read_bytes() == big.read_bytes()


def test_a_killed_upload_of_a_folder_sends_only_the_missing_files(tmp_path, s3_root, sent):
    folder = tmp_path / "folder"
    folder.mkdir()
    for number in range(100):
        (folder / f"{number:03d}").write_bytes(os.urandom(1000))
    storage = open_storage(s3_root)
    kill_when(
        lambda: sum(1 for _ in storage.list()) >= 40,
        "open_storage(sys.argv[1]).upload_folder(Path(sys.argv[2]))",
        s3_root, str(folder),
    )  # fmt: skip
    there = [item.key for item in storage.list()]
    assert len(there) < 100
    (folder / there[0]).write_bytes(os.urandom(1000))
    sent.clear()
    storage.upload_folder(folder)

    assert sent.count("PutObject") == 100 - len(there) + 1
    assert {item.key: storage.read_bytes(item.key) for item in storage.list()} == {
        path.name: path.read_bytes() for path in folder.iterdir()
    }


def test_a_killed_download_fetches_only_what_is_missing(big, tmp_path, s3_root, sent):
    storage = open_storage(s3_root)
    storage.upload_file(big, "big")
    storage.write_bytes("small", b"small")
    target = tmp_path / "target"

    def fetched() -> int:
        return sum(path.stat().st_size for path in target.glob(".big.*")) if target.exists() else 0

    kill_when(
        lambda: fetched() >= 3 * PART_BYTES,
        "open_storage(sys.argv[1]).download_folder(Path(sys.argv[2]))",
        s3_root, str(target),
    )  # fmt: skip
    assert not (target / "big").exists()
    whole = fetched() // PART_BYTES
    sent.clear()
    storage.download_folder(target)

    assert sent.count("GetObject") <= 13 - whole + 1
    # The small one may have been killed in the making: its hidden file is removed by a later write.
    visible = {path.name: path.read_bytes() for path in target.iterdir() if not path.name.endswith(".partial")}
    assert visible == {"big": big.read_bytes(), "small": b"small"}
    sent.clear()
    storage.download_folder(target)
    assert "GetObject" not in sent


def test_what_is_left_of_a_download_of_another_version_is_not_used(big, tmp_path, s3_root):
    storage = open_storage(s3_root)
    storage.upload_file(big, "big")
    (tmp_path / ".big.0123-13.part").write_bytes(b"another version")
    storage.download_file("big", tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == big.read_bytes()


def test_partial_downloads_of_older_versions_are_removed(big, tmp_path, s3_root):
    storage = open_storage(s3_root)
    storage.upload_file(big, "big")
    target = tmp_path / "target"
    target.mkdir()
    for name in (".big.0123-13.part", ".big.2.0123-13.part", ".big.4567-13.part"):
        (target / name).write_bytes(b"another version")
    with (target / ".big.4567-13.part").open("rb") as file:  # as another process that fetches it
        fcntl.flock(file, fcntl.LOCK_EX)
        storage.download_file("big", target / "big")
    assert {path.name for path in target.iterdir()} == {"big", ".big.2.0123-13.part", ".big.4567-13.part"}


def test_a_killed_publication_resumes_without_sending_whole_shards_again(s3_root, sent):
    program = """
import runpy; publish = runpy.run_path(sys.argv[2])["publish"]
publish(sys.argv[1])
"""
    kill_when(lambda: sum(1 for _ in open_storage(s3_root).list()) >= 3, program, s3_root, __file__)
    there = {item.key for item in open_storage(s3_root).list()}
    assert "_dataset.json" not in there
    shards = sum(key.endswith(".parquet") for key in there)
    open_storage(f"{s3_root}/other").create_bytes("first", b"x")  # asks once whether the server knows conditions
    sent.clear()
    dataset = publish(s3_root)

    assert sent.count("PutObject") == 10 - shards + 2  # the claim and the manifest
    assert len(list(dataset.samples())) == 40


def publish(output: str) -> Dataset:
    """Publishes ten shards of four images."""
    with DatasetWriter(output, name="killed", shard_rows=4) as writer:
        for number in range(40):
            writer.add(Sample(image=bytes([number]) * 1000, image_id=str(number), diagnosis="nv", split="train"))
    return Dataset.open(output)


@pytest.mark.parametrize("modes", [("when_supported", "when_required"), ("when_required", "when_supported")])
def test_an_upload_that_was_begun_for_other_checksums_is_sent(modes, big, s3_root, monkeypatch):
    storage = open_storage(s3_root)
    monkeypatch.setenv("AWS_REQUEST_CHECKSUM_CALCULATION", modes[0])
    place = (s3_client(), storage.bucket, f"{storage.prefix}big")
    parts._Upload(*place, big, parts._begin(*place), {}).send(1)
    monkeypatch.setenv("AWS_REQUEST_CHECKSUM_CALCULATION", modes[1])
    storage.upload_file(big, "big")
    with storage.fetch("big") as copy:
        assert copy.read_bytes() == big.read_bytes()
