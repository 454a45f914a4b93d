"""Objects that are created only where there is none, by many writers at once and on servers that do not guard them."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from lesiongen.errors import StorageError
from lesiongen.storage import Creation, creation, open_storage
from lesiongen.storage.s3 import s3_client


@pytest.fixture(params=["folder", "s3"])
def storage(request, tmp_path):
    return open_storage(str(tmp_path / "store") if request.param == "folder" else request.getfixturevalue("s3_root"))


def test_what_is_there_is_never_replaced_and_a_repeated_call_finds_its_own(storage):
    assert storage.create_bytes("deep/key", b"mine") is Creation.CREATED
    assert storage.create_bytes("deep/key", b"mine") is Creation.CREATED
    assert storage.create_bytes("deep/key", b"another's") is Creation.TAKEN
    assert storage.read_bytes("deep/key") == b"mine"
    assert [item.key for item in storage.list()] == ["deep/key"]


def test_of_many_writers_at_once_one_creates(storage):
    for key in ("first", "second", "third"):
        with ThreadPoolExecutor(8) as pool:
            results = list(pool.map(lambda number, key=key: storage.create_bytes(key, bytes([number])), range(8)))
        assert sorted(results) == [Creation.CREATED, *[Creation.TAKEN] * 7]
        assert storage.read_bytes(key) == bytes([results.index(Creation.CREATED)])


def test_a_server_that_ignores_the_condition_is_found_out(s3_root, monkeypatch):
    monkeypatch.setattr(creation, "_guards", {})
    events, storage = s3_client().meta.events, open_storage(s3_root)

    def ignore(request, **_):
        del request.headers["If-None-Match"]

    events.register("before-sign.s3.PutObject", ignore, unique_id="ignore")
    try:
        assert storage.create_bytes("key", b"mine") is Creation.UNGUARDED
        assert storage.create_bytes("key", b"another's") is Creation.TAKEN
        assert storage.read_bytes("key") == b"mine"
    finally:
        events.unregister("before-sign.s3.PutObject", unique_id="ignore")


def test_a_folder_without_links_refuses_a_second_file_too(tmp_path, monkeypatch):
    monkeypatch.setattr("pathlib.Path.hardlink_to", lambda self, target: (_ for _ in ()).throw(PermissionError))
    storage = open_storage(str(tmp_path))
    assert storage.create_bytes("key", b"mine") is Creation.CREATED
    assert storage.create_bytes("key", b"another's") is Creation.TAKEN
    assert storage.read_bytes("key") == b"mine"


def test_a_folder_in_the_way_of_a_file_is_told(tmp_path):
    (tmp_path / "key").mkdir()
    with pytest.raises(StorageError, match="key: Is a directory"):
        open_storage(str(tmp_path)).create_bytes("key", b"mine")
