"""An address means the same wherever it comes from; what is not a folder or s3:// is refused by name."""

from pathlib import Path

import pytest

from lesiongen.diffusion.latents.cache_place import cache_place
from lesiongen.errors import UsageError
from lesiongen.stack import Stack, default_home
from lesiongen.storage import LocalStorage, local_path, normal_address, open_storage, overlap


@pytest.fixture(autouse=True)
def home(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize(
    ("address", "meant"),
    [
        ("~", "{home}"),
        ("~/data/x", "{home}/data/x"),
        ("file:///data/a%20b", "/data/a b"),
        ("FILE://localhost/data", "/data"),
        ("file:/data", "/data"),
        ("S3://Bucket/Prefix", "s3://Bucket/Prefix"),
        ("s3://bucket/~/x", "s3://bucket/~/x"),
        ("data/~", "data/~"),
        ("~backup", "~backup"),
        ("https://host/v1", "https://host/v1"),
    ],
)
def test_an_address_is_read_alike_everywhere(address, meant, home):
    assert normal_address(address) == meant.format(home=home)


def test_the_home_folder_is_never_a_folder_of_that_name(home, tmp_path):
    open_storage("~/out").write_text("a", "a")
    assert (home / "out" / "a").is_file()
    assert open_storage("s3://bucket/x").uri == open_storage("S3://bucket/x").uri
    assert isinstance(open_storage("file:///data"), LocalStorage)
    assert overlap("~/data", f"{home}/data/x")


@pytest.mark.parametrize("scheme", ["gs", "http", "https", "az", "hdfs", "GS"])
def test_other_storages_are_refused_by_name(scheme):
    with pytest.raises(UsageError, match=f"{scheme}:// is not supported as a storage") as refused:
        open_storage(f"{scheme}://bucket/x")
    assert "s3://bucket/prefix" in str(refused.value)


@pytest.mark.parametrize(
    "address",
    ["s3:/bucket/x", "S3:bucket", "s3//bucket/x", "S3//bucket/x", "gs:/bucket/x", "file://host/x", "file:x/../y://"],
)
def test_an_address_that_is_almost_one_is_no_folder(address):
    if address.startswith("file:x"):
        assert isinstance(open_storage(address), LocalStorage)
        return
    with pytest.raises(UsageError):
        open_storage(address)


@pytest.mark.parametrize(
    "address", ["s3://bucket/x", "gs://bucket/x", "s3:/bucket/x", "s3//bucket/x", Path("gs://b/x")]
)
def test_a_path_of_this_machine_is_no_address_of_another(address, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for take in (local_path, Stack):
        with pytest.raises(UsageError):
            take(address)
    assert not list(tmp_path.iterdir())


def test_a_path_of_this_machine(home, monkeypatch):
    monkeypatch.chdir(home)
    for address in ("~/x", f"file://{home}/x", Path(f"file://{home}/x"), "x", home / "x", "./s3:/../x", "./s3/../x"):
        assert local_path(address).resolve() == home / "x"


def test_variables_that_name_a_folder_know_the_home_folder(home, monkeypatch):
    monkeypatch.setenv("LESIONGEN_HOME", "~/h")
    monkeypatch.setenv("LESIONGEN_CACHE", "~/c")
    assert default_home() == home / "h"
    with cache_place(None) as place:
        assert place.folder == home / "c"
    monkeypatch.setenv("LESIONGEN_CACHE", "s3://bucket/c")
    with pytest.raises(UsageError, match="is not a path of this machine"), cache_place(None):
        pass
