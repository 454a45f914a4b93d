import os
import time

import pytest

from lesiongen.diffusion.latents.cache_place import FINISHED, MANIFEST, CachePlace
from lesiongen.errors import StorageError, Unreachable
from lesiongen.storage import LocalStorage

KEY = "0123456789abcdef" * 2


class Builds:
    """Counts how often an entry is built."""

    def __init__(self):
        self.count = 0

    def __call__(self, folder):
        self.count += 1
        (folder / "mean.npy").write_bytes(bytes(100))
        (folder / FINISHED).write_text("{}")


@pytest.fixture
def build():
    return Builds()


@pytest.fixture
def shared(tmp_path):
    return LocalStorage(str(tmp_path / "shared"))


def _read(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != MANIFEST}


WHOLE = {"mean.npy": bytes(100), FINISHED: b"{}"}


def _flip(path):
    content = path.read_bytes()
    path.write_bytes(bytes([content[0] ^ 1]) + content[1:])


DAMAGE = {
    "listing that is no JSON": lambda entry: (entry / MANIFEST).write_bytes(b"\xff{"),
    "listing of another form": lambda entry: (entry / MANIFEST).write_text("[1]"),
    "listing of other values": lambda entry: (entry / MANIFEST).write_text(f'{{"{FINISHED}": "some digest"}}'),
    "empty listing": lambda entry: (entry / MANIFEST).write_text("{}"),
    "no listing": lambda entry: (entry / MANIFEST).unlink(),
    "cut file": lambda entry: (entry / "mean.npy").write_bytes(bytes(99)),
    "lost file": lambda entry: (entry / "mean.npy").unlink(),
    "flipped bit": lambda entry: _flip(entry / "mean.npy"),
    "lost end": lambda entry: (entry / FINISHED).unlink(),
}


def test_an_entry_that_others_have_kept_is_fetched(tmp_path, shared, build):
    CachePlace(tmp_path / "one", shared).entry(KEY, build)
    two = CachePlace(tmp_path / "two", shared)
    assert _read(two.entry(KEY, build)) == _read(two.entry(KEY, build)) == WHOLE
    assert build.count == 1


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_entry_of_the_shared_storage_is_built_again_and_healed(tmp_path, shared, build, damage):
    CachePlace(tmp_path / "one", shared).entry(KEY, build)
    DAMAGE[damage](shared.root / KEY)
    assert _read(CachePlace(tmp_path / "two", shared).entry(KEY, build)) == WHOLE
    assert build.count == 2
    assert _read(CachePlace(tmp_path / "three", shared).entry(KEY, build)) == WHOLE
    assert build.count == 2


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_local_entry_is_built_again(tmp_path, build, damage, caplog):
    place = CachePlace(tmp_path)
    DAMAGE[damage](place.entry(KEY, build))
    assert _read(place.entry(KEY, build)) == WHOLE
    assert build.count == 2
    assert "is damaged or of an earlier release" in caplog.text
    place.entry(KEY, build)
    assert build.count == 2


def test_a_damaged_file_is_named(tmp_path, build, caplog):
    entry = CachePlace(tmp_path).entry(KEY, build)
    _flip(entry / "mean.npy")
    CachePlace(tmp_path).entry(KEY, build)
    assert f"{entry} is damaged" in caplog.text
    assert f"mean.npy differs from what {MANIFEST} says" in caplog.text


def test_a_damaged_entry_is_fetched_where_others_have_kept_it(tmp_path, shared, build):
    _flip(CachePlace(tmp_path / "one", shared).entry(KEY, build) / "mean.npy")
    assert _read(CachePlace(tmp_path / "one", shared).entry(KEY, build)) == WHOLE
    assert build.count == 1
    assert [path.name for path in (tmp_path / "one").iterdir()] == [KEY]


def test_what_another_run_has_finished_first_is_used(tmp_path, build):
    """It may read it already: its training must not find the files gone."""
    place, theirs = CachePlace(tmp_path), []

    def build_too(folder):
        theirs.append(CachePlace(tmp_path).entry(KEY, build).stat().st_ino)
        build(folder)

    assert [place.entry(KEY, build_too).stat().st_ino] == theirs
    assert [path.name for path in tmp_path.iterdir()] == [KEY]


@pytest.mark.parametrize("operation", ["exists", "download_file"])
@pytest.mark.parametrize("kind", [StorageError, Unreachable])
def test_what_cannot_be_fetched_is_built(tmp_path, shared, build, monkeypatch, caplog, operation, kind):
    def refuse(self, *_):
        raise kind("the server is away")

    CachePlace(tmp_path / "one", shared).entry(KEY, build)
    monkeypatch.setattr(LocalStorage, operation, refuse)
    assert _read(CachePlace(tmp_path / "two", shared).entry(KEY, build)) == WHOLE
    assert build.count == 2
    assert "is encoded again: the server is away" in caplog.text


@pytest.mark.parametrize("operation", ["delete", "upload_file", "write_bytes"])
def test_what_cannot_be_kept_is_used_all_the_same(tmp_path, shared, build, monkeypatch, caplog, operation):
    def refuse(self, *_):
        raise Unreachable("the server is away")

    with monkeypatch.context() as patch:
        patch.setattr(LocalStorage, operation, refuse)
        assert _read(CachePlace(tmp_path / "one", shared).entry(KEY, build)) == WHOLE
    assert "cannot be kept" in caplog.text
    assert not shared.exists(f"{KEY}/{MANIFEST}")
    assert _read(CachePlace(tmp_path / "two", shared).entry(KEY, build)) == WHOLE
    assert shared.exists(f"{KEY}/{MANIFEST}")


def test_what_killed_builds_left_is_removed_after_a_day(tmp_path, build):
    old, alive, other = (tmp_path / name for name in (f"{KEY}.0123abcd", f"{KEY}.4567abcd", "notes.2024"))
    for folder in (old, alive, other):
        folder.mkdir()
        (folder / "mean.npy").write_bytes(b"half")
    two_days_ago = time.time() - 2 * 24 * 3600
    for path in (old / "mean.npy", old, alive, other / "mean.npy", other):
        os.utime(path, (two_days_ago, two_days_ago))
    CachePlace(tmp_path).entry(KEY, build)
    assert {path.name for path in tmp_path.iterdir()} == {KEY, alive.name, other.name}
