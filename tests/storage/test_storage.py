import errno
import io
from pathlib import Path

import boto3
import pytest

from lesiongen.errors import StorageError, UsageError
from lesiongen.redaction import redact
from lesiongen.storage import StoredObject, file_digest, open_storage, unique_prefix
from lesiongen.storage.s3 import s3_client


@pytest.fixture(params=["folder", "s3"])
def root(request, tmp_path):
    return str(tmp_path / "store") if request.param == "folder" else request.getfixturevalue("s3_root")


def test_objects_are_written_listed_read_and_deleted(root):
    storage = open_storage(root)
    storage.write_bytes("b/two.bin", b"22")
    storage.write_text("a.txt", "Größe")
    storage.write_json("c.json", {"n": 1})

    assert [(item.key, item.size) for item in storage.list()] == [("a.txt", 7), ("b/two.bin", 2), ("c.json", 13)]
    assert [item.key for item in storage.list("b/")] == ["b/two.bin"]
    assert storage.child("b").read_bytes("two.bin") == b"22"
    assert storage.read_text("a.txt") == "Größe"
    assert storage.read_json("c.json") == {"n": 1}
    storage.delete("a.txt")
    assert not storage.exists("a.txt")
    assert storage.exists("c.json")
    storage.delete_all()
    assert list(storage.list()) == []


def test_an_open_object_is_read_in_parts(root):
    storage = open_storage(root)
    storage.write_bytes("big", bytes(range(256)) * 4096)
    with storage.open("big") as stream:
        assert stream.seek(-3, io.SEEK_END) == 256 * 4096 - 3
        assert stream.read() == b"\xfd\xfe\xff"
        stream.seek(256 * 7 + 5)
        assert stream.read(2) == b"\x05\x06"


def test_only_what_is_read_is_transferred(s3_root):
    storage = open_storage(s3_root)
    storage.write_bytes("big", b"x" * 5_000_000)
    with storage.open("big") as stream:
        stream.seek(-100, io.SEEK_END)
        stream.read(100)
        assert stream.raw.transferred < 200_000


def test_folders_travel_whole(tmp_path, s3_root):
    source = tmp_path / "source"
    (source / "deep").mkdir(parents=True)
    for number in range(40):
        (source / "deep" / f"{number}.bin").write_bytes(bytes([number]) * 1000)
    open_storage(s3_root).upload_folder(source)
    open_storage(s3_root).download_folder(tmp_path / "back")

    for path in (source / "deep").iterdir():
        assert (tmp_path / "back" / "deep" / path.name).read_bytes() == path.read_bytes()


def test_a_large_file_survives_the_parts_that_it_is_sent_in(tmp_path, s3_root):
    big = tmp_path / "big"
    big.write_bytes(bytes(range(251)) * 80_000)
    storage = open_storage(s3_root)
    storage.upload_file(big, "big")
    with storage.fetch("big") as path, path.open("rb") as copy, big.open("rb") as original:
        assert file_digest(copy) == file_digest(original)


def test_a_file_is_moved_in_over_an_older_one(root, tmp_path):
    storage = open_storage(root)
    storage.write_bytes("deep/file", b"old")
    (tmp_path / "file").write_bytes(b"new")
    storage.move_file(tmp_path / "file", "deep/file")
    assert storage.read_bytes("deep/file") == b"new"
    assert not (tmp_path / "file").exists()


def test_a_file_of_another_file_system_is_moved_in(tmp_path, monkeypatch):
    def refuse(path, target):
        if path.name == "file":
            raise OSError(errno.EXDEV, "Invalid cross-device link")
        return rename(path, target)

    rename = Path.replace
    monkeypatch.setattr(Path, "replace", refuse)
    (tmp_path / "file").write_bytes(b"new")
    storage = open_storage(str(tmp_path / "there"))
    storage.move_file(tmp_path / "file", "moved")
    assert storage.read_bytes("moved") == b"new"
    assert [item.key for item in storage.list()] == ["moved"]
    assert not (tmp_path / "file").exists()


def test_a_missing_object_is_named(root):
    with pytest.raises(StorageError, match="nothing.json does not exist"):
        open_storage(root).read_json("nothing.json")


def test_a_missing_bucket_is_named(stack_environment):
    storage = open_storage("s3://no-such-bucket/prefix")
    for use in (lambda: storage.read_bytes("a"), lambda: storage.write_bytes("a", b""), lambda: storage.exists("a")):
        with pytest.raises(StorageError, match="bucket 'no-such-bucket' does not exist"):
            use()
    with pytest.raises(StorageError, match="bucket 'no-such-bucket' does not exist"):
        list(storage.list())


def test_a_refused_key_is_said_without_the_secret(stack_environment, monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong-on-purpose")
    with pytest.raises(StorageError, match="refused the access key") as caught:
        open_storage("s3://lesiongen/x").read_bytes("a")
    assert "wrong-on-purpose" not in str(caught.value)


def test_an_unreachable_endpoint_is_named(stack_environment, monkeypatch, unused_endpoint):
    monkeypatch.setenv("AWS_ENDPOINT_URL", unused_endpoint)
    with pytest.raises(StorageError, match=f"{unused_endpoint} cannot be reached"):
        open_storage("s3://lesiongen/x").read_bytes("a")


def test_absent_credentials_are_said(monkeypatch, tmp_path, unused_endpoint):
    monkeypatch.setenv("AWS_ENDPOINT_URL", unused_endpoint)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with pytest.raises(StorageError, match="no S3 credentials"):
        open_storage("s3://lesiongen/x").read_bytes("a")


def test_keys_cannot_leave_their_storage(root):
    with pytest.raises(UsageError, match="would leave"):
        open_storage(root).write_bytes("../outside", b"")


def test_a_planted_key_cannot_leave_the_download_folder(tmp_path, stack_environment, s3_root):
    bucket, _, prefix = s3_root.removeprefix("s3://").partition("/")
    client = boto3.client("s3", endpoint_url=stack_environment["AWS_ENDPOINT_URL"])
    client.put_object(Bucket=bucket, Key=f"{prefix}/a/b", Body=b"")
    storage = open_storage(s3_root)
    storage.list = lambda prefix="": iter([StoredObject("../../planted", 1)])
    with pytest.raises(StorageError, match="would leave the folder"):
        storage.download_folder(tmp_path / "down")


def test_an_interrupted_write_leaves_nothing(tmp_path):
    storage = open_storage(str(tmp_path))
    storage.write_bytes("kept", b"old")
    with pytest.raises(KeyboardInterrupt), storage.replacing("kept") as temporary:
        temporary.write_bytes(b"half")
        raise KeyboardInterrupt
    assert storage.read_bytes("kept") == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]


def test_a_folder_that_cannot_be_is_told_by_name(tmp_path):
    (tmp_path / "file").write_text("in the way")
    for folder in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(StorageError, match=f"The folder {folder} cannot be made: [\\s\\S]*another output"):
            open_storage(str(folder)).write_bytes("key", b"x")


def test_a_full_disk_is_told_with_the_file(tmp_path):
    def full():
        raise OSError(errno.ENOSPC, "No space left on device")

    with (
        pytest.raises(StorageError, match="key cannot be written: No space left on device\nFree some space"),
        open_storage(str(tmp_path)).replacing("key"),
    ):
        full()
    assert not list(tmp_path.iterdir())


def test_a_new_folder_appears_whole_or_not_at_all(tmp_path):
    storage = open_storage(str(tmp_path / "new"))
    with pytest.raises(KeyboardInterrupt), storage.publishing() as target:
        target.write_bytes("rejected.csv", b"row")
        raise KeyboardInterrupt
    assert not list(tmp_path.iterdir())
    with storage.publishing() as target:
        target.write_bytes("rejected.csv", b"row")
        assert not (tmp_path / "new").exists()
    assert [path.name for path in tmp_path.rglob("*")] == ["new", "rejected.csv"]
    with storage.publishing() as target:
        target.write_bytes("second", b"")
    assert [item.key for item in storage.list()] == ["rejected.csv", "second"]


@pytest.mark.parametrize("kind", ["empty", "link"])
def test_a_folder_that_is_there_and_empty_is_published_to(tmp_path, kind):
    folder, real = tmp_path / "folder", tmp_path / "real"
    (real if kind == "link" else folder).mkdir()
    if kind == "link":
        folder.symlink_to(real, target_is_directory=True)
    with open_storage(str(folder)).publishing() as target:
        target.write_bytes("key", b"x")
    assert (folder / "key").read_bytes() == b"x"
    assert folder.is_symlink() == (kind == "link")


def test_a_prefix_is_never_given_twice():
    assert len({unique_prefix("s3://b", "datasets", "x") for _ in range(200)}) == 200


def keys_of(client):
    keys = client._request_signer._credentials
    return keys.access_key, keys.secret_key, keys.token


def test_a_session_token_is_used_and_its_renewal_seen(monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    for token in ("first", "second"):
        monkeypatch.setenv("AWS_SESSION_TOKEN", token)
        assert keys_of(s3_client()) == ("key", "secret", token)
        assert s3_client() is s3_client()


def test_a_profile_gives_keys_and_region(monkeypatch, tmp_path):
    (tmp_path / "config").write_text(
        "[profile clinic]\nregion = eu-central-1\naws_access_key_id = theirs\naws_secret_access_key = hidden\n"
    )
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_PROFILE", "clinic")
    assert keys_of(s3_client()) == ("theirs", "hidden", None)
    assert s3_client().meta.region_name == "eu-central-1"
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    with pytest.raises(StorageError, match=r"credentials cannot be used .*nobody"):
        open_storage("s3://lesiongen/x").read_bytes("a")


def test_variables_of_our_own_go_before_those_of_aws(monkeypatch):
    for name, value in (("ENDPOINT_URL", "http://127.0.0.1:7"), ("REGION", "eu-west-3")):
        monkeypatch.setenv(f"LESIONGEN_S3_{name}", value)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:8")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "of the artifact store")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "its secret")
    assert keys_of(s3_client())[0] == "of the artifact store"
    monkeypatch.setenv("LESIONGEN_S3_ACCESS_KEY_ID", "ours")
    with pytest.raises(UsageError, match="_ACCESS_KEY_ID is set, and LESIONGEN_S3_SECRET_ACCESS_KEY is not"):
        s3_client()
    monkeypatch.setenv("LESIONGEN_S3_SECRET_ACCESS_KEY", "Hx7pQ2w9sK4d")
    assert keys_of(s3_client()) == ("ours", "Hx7pQ2w9sK4d", None)
    assert s3_client().meta.endpoint_url == "http://127.0.0.1:7"
    assert s3_client().meta.region_name == "eu-west-3"
    assert redact("Hx7pQ2w9sK4d") == "***"
    monkeypatch.setenv("LESIONGEN_S3_ENDPOINT_URL", "minio:9000")
    with pytest.raises(UsageError, match="LESIONGEN_S3_ENDPOINT_URL = 'minio:9000' is not the address of a server"):
        s3_client()


def test_a_source_that_is_missing_is_named_not_the_target(root, tmp_path):
    with pytest.raises(StorageError, match="absent.bin does not exist"):
        open_storage(root).upload_file(tmp_path / "absent.bin", "target.bin")
    with pytest.raises(StorageError, match="gone.bin"):
        open_storage(root).download_file("gone.bin", tmp_path / "copy.bin")


def test_a_place_that_can_never_be_written_is_refused_and_none_is_made(root, tmp_path, monkeypatch):
    open_storage(root).child("a/b").require_writable()
    assert not list(open_storage(root).list())
    (tmp_path / "file").touch()
    for place in ("file", "file/below/it"):
        with pytest.raises(StorageError, match=f"{place} cannot be written: {tmp_path}/file is not a folder"):
            open_storage(str(tmp_path / place)).require_writable()
    monkeypatch.setattr("os.access", lambda path, mode: False)  # root may write anywhere
    with pytest.raises(StorageError, match=f"new cannot be written: {tmp_path} may not be changed"):
        open_storage(str(tmp_path / "new")).require_writable()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file"]
