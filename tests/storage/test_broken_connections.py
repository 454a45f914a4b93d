"""Requests to S3 that a proxy breaks: once, and what is read or written is right; always, and a sentence says why."""

import itertools
import os
from contextlib import suppress
from unittest.mock import Mock

import pytest

from lesiongen.errors import StorageError, Unreachable, UsageError
from lesiongen.storage import Creation, StoredObject, open_storage, unique_prefix
from lesiongen.storage.parts import PART_BYTES
from lesiongen.storage.s3 import s3_client
from tests.fault_proxy import Fault

BROKEN = ("busy", "reset", "lost answer", "reset body", "cut body", "stalled body", "stall")


@pytest.fixture
def storage(proxy):
    return open_storage(unique_prefix("s3://lesiongen/tests"))


@pytest.fixture
def quick(monkeypatch):
    """Waits little between attempts."""
    monkeypatch.setattr("lesiongen.storage.s3_object.FIRST_WAIT", 0.01)
    monkeypatch.setattr("botocore.retries.standard.ExponentialBackoff.delay_amount", lambda self, context: 0)


@pytest.mark.parametrize("kind", [*BROKEN, "flipped answer"])
def test_an_object_is_read_though_an_answer_breaks(storage, proxy, kind):
    storage.write_bytes("key", b"0123456789" * 1000)
    proxy.set(Fault(kind, where="GET"))
    assert storage.read_bytes("key") == b"0123456789" * 1000
    assert (proxy.struck, len(proxy.requests)) == (1, 2)


@pytest.mark.parametrize("kind", ["reset body", "cut body", "busy"])
def test_a_part_is_read_though_an_answer_breaks(storage, proxy, kind):
    storage.write_bytes("key", bytes(range(256)) * 1000)
    with storage.open("key") as stream:
        proxy.set(Fault(kind, where="GET"))
        stream.seek(256 * 7 + 5)
        assert stream.read(3) == b"\x05\x06\x07"
    assert proxy.struck == 1


@pytest.mark.parametrize(
    ("kind", "error", "words"),
    [
        ("cut body", Unreachable, "key: the S3 server broke off while sending it"),
        ("reset body", Unreachable, "key: the S3 server broke off while sending it"),
        ("flipped answer", StorageError, "key: what arrives is not what is stored: .*\nCheck the network"),
        ("lost answer", Unreachable, "key: the S3 server at .* broke off the connection"),
        ("busy", Unreachable, "key: the S3 server at .* answered SlowDown"),
        ("stall", Unreachable, "key: the S3 server at .* did not answer in time"),
    ],
)
def test_an_object_that_never_arrives_is_told_in_one_sentence(storage, proxy, quick, kind, error, words):
    storage.write_bytes("key", b"0123456789")
    proxy.set(Fault(kind, times=99, where="GET"))
    with pytest.raises(error, match=words) as caught:
        storage.read_bytes("key")
    assert len(str(caught.value).splitlines()) <= 2
    assert 2 < len(proxy.requests) < 10


def test_an_object_that_is_replaced_between_two_reads_is_told(storage):
    storage.write_bytes("key", b"old" * 100_000)
    with storage.open("key") as stream:
        assert stream.read(3) == b"old"
        storage.write_bytes("key", b"new" * 100_000)
        stream.seek(200_000)
        with pytest.raises(StorageError, match="key was replaced while it was read"):
            stream.read(3)


@pytest.mark.parametrize("kind", ["lost answer", "reset", "flipped request"])
def test_an_object_is_created_once_though_the_answer_is_lost(storage, proxy, kind):
    proxy.set(Fault(kind, where="PUT"))
    assert storage.create_bytes("key", b"ours") is Creation.CREATED
    assert proxy.struck == 1
    assert storage.create_bytes("key", b"theirs") is Creation.TAKEN


@pytest.mark.parametrize("kind", ["lost answer", "flipped request"])
@pytest.mark.parametrize("where", ["PUT", r"POST .*uploadId", r"POST .*uploads"])
def test_a_large_file_is_sent_though_an_answer_is_lost(storage, proxy, tmp_path, kind, where):
    path = tmp_path / "big"
    path.write_bytes(os.urandom(PART_BYTES + 5))
    proxy.set(Fault(kind, where=where))
    storage.upload_file(path, "big")
    assert proxy.struck == 1
    storage.download_file("big", tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == path.read_bytes()


@pytest.mark.parametrize("kind", ["flipped answer", "cut body"])
def test_a_large_file_is_fetched_though_an_answer_breaks(storage, proxy, tmp_path, kind):
    path = tmp_path / "big"
    path.write_bytes(os.urandom(PART_BYTES + 5))
    storage.upload_file(path, "big")
    proxy.set(Fault(kind, where="GET"))
    storage.download_file("big", tmp_path / "copy")
    assert proxy.struck == 1
    assert (tmp_path / "copy").read_bytes() == path.read_bytes()


def test_a_large_file_that_another_program_has_sent_is_compared_too(storage, proxy, tmp_path):
    client, place = s3_client(), {"Bucket": storage.bucket, "Key": storage.prefix + "big"}
    upload = client.create_multipart_upload(**place)["UploadId"]
    content = [os.urandom(6 << 20), os.urandom(5 << 20), b"end"]
    sent = [client.upload_part(**place, UploadId=upload, PartNumber=n, Body=part) for n, part in enumerate(content, 1)]
    parts = [{"PartNumber": number, "ETag": part["ETag"]} for number, part in enumerate(sent, 1)]
    client.complete_multipart_upload(**place, UploadId=upload, MultipartUpload={"Parts": parts})
    proxy.set(Fault("flipped answer", where="GET"))
    storage.download_file("big", tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == b"".join(content)
    proxy.set(Fault("flipped answer", where="GET", times=99))
    with pytest.raises(StorageError, match="big: what arrives is not what is stored: its ETag is another"):
        storage.download_file("big", tmp_path / "again")
    assert not (tmp_path / "again").exists()


def test_a_list_that_arrives_changed_is_no_bug_of_ours(storage, proxy):
    storage.write_bytes("key", b"0123456789")
    for place in range(40):
        proxy.set(Fault("flipped answer", place=place / 40))
        try:
            assert len(list(storage.list())) <= 1
        except StorageError as error:
            assert "gave an answer that cannot be understood" in str(error)


def test_a_time_that_is_none_is_refused(storage, monkeypatch):
    monkeypatch.setenv("LESIONGEN_S3_TIMEOUT", "soon")
    with pytest.raises(UsageError, match="LESIONGEN_S3_TIMEOUT = 'soon' is not a number of seconds"):
        storage.exists("key")


def test_a_changed_byte_in_a_list_is_found_where_names_decide(storage, proxy, quick):
    for key in ("mel/1.png", "nv/1.png"):
        storage.write_bytes(key, b"x")
    right, wrong = list(storage.list()), 0
    assert storage.checked_list() == right
    for place in range(0, 400, 8):
        proxy.set(Fault("flipped answer", place=place / 400, where="list-type=2"))
        try:
            assert storage.checked_list() == right
        except StorageError:
            assert proxy.struck == 1
        proxy.set(Fault("flipped answer", place=place / 400, where="list-type=2"))
        with suppress(StorageError):
            wrong += list(storage.list()) != right
    assert wrong > 5, "without the check"


def test_lists_that_never_agree_are_an_error(storage, proxy, monkeypatch):
    lists = itertools.count()
    monkeypatch.setattr(type(storage), "list", lambda self, prefix="": iter([StoredObject(f"{next(lists)}", 1)]))
    with pytest.raises(StorageError, match="listed differently from one time to the next"):
        storage.checked_list()


def test_over_https_one_list_is_enough(storage, proxy, monkeypatch):
    monkeypatch.setattr("lesiongen.storage.s3.s3_client", https := Mock())
    https.return_value.meta.endpoint_url = "https://s3.example"
    monkeypatch.setattr(type(storage), "list", Mock(return_value=[StoredObject("a", 1)]))
    assert storage.checked_list() == [StoredObject("a", 1)]
    assert storage.list.call_count == 1


def test_a_name_outside_the_prefix_is_no_answer(storage, monkeypatch):
    storage.write_bytes("key", b"x")
    page = {"Contents": [{"Key": storage._name("key").replace("tests/", "tesus/")}]}
    paginator = Mock(**{"paginate.return_value": [page]})
    monkeypatch.setattr(s3_client(), "get_paginator", lambda operation: paginator)
    with pytest.raises(StorageError, match="does not begin with"):
        list(storage.list())


def test_everything_is_deleted_though_a_list_is_wrong(storage, proxy, quick):
    for place in range(0, 60, 4):
        for number in range(3):
            storage.write_bytes(f"key-{number}", b"x")
        proxy.set(Fault("flipped answer", place=place / 60, where="list-type=2"))
        with suppress(StorageError):
            storage.delete_all()
            assert proxy.struck
            proxy.set(None)
            assert list(storage.list()) == []


def test_what_never_goes_away_is_an_error(storage, monkeypatch):
    storage.write_bytes("key", b"x")
    monkeypatch.setattr(type(storage), "delete", lambda self, key: None)
    with pytest.raises(StorageError, match="still holds objects after 5 rounds of deleting, key for example"):
        storage.delete_all()
