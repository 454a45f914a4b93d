"""HDF5 files that nobody vouches for: only bytes that lie in the file as they are can be read."""

import errno
import os

import pytest

from lesiongen import limits
from lesiongen.errors import DataError, StorageError
from lesiongen.ingestion.sources.hdf5_images import open_hdf5_images
from lesiongen.storage import LocalStorage

h5py = pytest.importorskip("h5py")
import numpy as np  # noqa: E402

JPEG = bytes(range(256)) * 3 + b"\xff\xd9"


@pytest.fixture
def folder(tmp_path):
    with h5py.File(tmp_path / "images.h5", "w") as file:
        file.create_dataset("text", data=np.bytes_(JPEG))
        file.create_dataset("opaque", data=np.void(JPEG))
        file.create_dataset("row", data=np.frombuffer(JPEG, np.uint8))
    return tmp_path


def changed(folder, change):
    with h5py.File(folder / "images.h5", "a") as file:
        change(file)


def opened(folder):
    return open_hdf5_images(LocalStorage(str(folder)), "images.h5")


def test_bytes_are_read_in_each_of_their_forms(folder, tmp_path):
    with opened(folder) as images:
        assert [(item.key, item.size) for item in images.list()] == [
            (f"{name}.jpg", len(JPEG)) for name in ("opaque", "row", "text")
        ]
        assert {images.read_bytes(item.key) for item in images.list()} == {JPEG}
        assert images.open("row.jpg").read() == JPEG
        images.download_file("text.jpg", tmp_path / "copy.jpg")
        assert (tmp_path / "copy.jpg").read_bytes() == JPEG
        assert images.exists("row.jpg")
        assert not images.exists("gone.jpg")
        with pytest.raises(StorageError, match="contains no dataset 'gone'"):
            images.read_bytes("gone.jpg")


def of_text(file, name, data, padding):
    kind = h5py.h5t.C_S1.copy()
    kind.set_size(len(data))
    kind.set_strpad(padding)
    dataset = h5py.h5d.create(file.id, name.encode(), kind, h5py.h5s.create(h5py.h5s.SCALAR))
    dataset.write(h5py.h5s.ALL, h5py.h5s.ALL, np.frombuffer(data, np.uint8), kind)


@pytest.mark.parametrize("padding", [h5py.h5t.STR_NULLTERM, h5py.h5t.STR_NULLPAD, h5py.h5t.STR_SPACEPAD])
@pytest.mark.parametrize("data", [JPEG, JPEG + b"\0\0", b"\0" + JPEG, JPEG + b"  "])
def test_text_keeps_every_byte(folder, padding, data):
    changed(folder, lambda file: of_text(file, "padded", data, padding))
    with opened(folder) as images:
        assert images.read_bytes("padded.jpg") == data


@pytest.mark.parametrize("form", [np.bytes_, np.void, lambda data: np.frombuffer(data, np.int8)])
def test_zero_bytes_at_the_end_are_kept(folder, form):
    data = JPEG + b"\0\0\0"
    changed(folder, lambda file: file.create_dataset("ends", data=form(data)))
    with opened(folder) as images:
        assert {item.key: item.size for item in images.list()}["ends.jpg"] == len(data)
        assert images.read_bytes("ends.jpg") == data


def test_a_dataset_larger_than_an_image_may_be_is_left_alone(folder, monkeypatch):
    monkeypatch.setattr(limits, "MAX_FILE_BYTES", len(JPEG))
    changed(folder, lambda file: file.create_dataset("large", data=np.ones(len(JPEG) + 1, np.uint8)))
    with opened(folder) as images:
        assert images.unreadable == {"large.jpg": "has 771 bytes, more than the 770 allowed (MAX_FILE_BYTES)"}


@pytest.mark.parametrize("number", [errno.EACCES, errno.EIO, errno.ENOSPC, errno.EMFILE])
def test_an_error_of_the_system_is_not_called_damage(folder, monkeypatch, number):
    def fail(*_, **__):
        raise OSError(number, "not now")

    with opened(folder) as images:
        monkeypatch.setattr("lesiongen.ingestion.sources.hdf5_images._opened", fail)
        with pytest.raises(StorageError, match=f"images.h5 cannot be read: {os.strerror(number)}"):
            images.read_bytes("text.jpg")
    monkeypatch.setattr(h5py, "File", fail)
    with pytest.raises(StorageError, match=f"images.h5 cannot be read: {os.strerror(number)}"), opened(folder):
        pass


def test_too_little_memory_is_not_called_damage(folder, monkeypatch):
    def fail(*_, **__):
        raise MemoryError

    with opened(folder) as images:
        monkeypatch.setattr("lesiongen.ingestion.sources.hdf5_images._opened", fail)
        with pytest.raises(MemoryError):
            images.read_bytes("text.jpg")


def links(file):
    file["soft"] = h5py.SoftLink("/text")
    file["external"] = h5py.ExternalLink("secret.h5", "/password")


def groups(file):
    file.create_group("group").create_dataset("deep", data=np.bytes_(JPEG))


def elsewhere(file):
    file.create_dataset("outside", (len(JPEG),), "u1", external=[("secret.bin", 0, len(JPEG))])
    layout = h5py.VirtualLayout((4,), "u1")
    layout[:] = h5py.VirtualSource("secret.h5", "password", (4,))
    file.create_virtual_dataset("virtual", layout)


def in_pieces(file):
    file.create_dataset("pressed", data=np.zeros(1_000_000, np.uint8), compression="gzip")


def other_values(file):
    file.create_dataset("numbers", data=np.zeros((4, 4)))
    file.create_dataset("varying", data="text of any length")
    file.create_dataset("none", data=h5py.Empty("u1"))


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (links, {"soft.jpg": "is a link, which is not followed", "external.jpg": "is a link, which is not followed"}),
        (groups, {"group.jpg": "is not a dataset"}),
        (
            elsewhere,
            {
                "outside.jpg": "has its bytes in another file, which is not opened",
                "virtual.jpg": "is virtual, compressed or stored in pieces, which is not read",
            },
        ),
        (in_pieces, {"pressed.jpg": "is virtual, compressed or stored in pieces, which is not read"}),
        (
            other_values,
            dict.fromkeys(("numbers.jpg", "varying.jpg"), "does not hold the bytes of an image file")
            | {"none.jpg": "does not hold the bytes of an image file"},
        ),
    ],
)
def test_what_is_not_bytes_in_the_file_is_left_alone_and_named(folder, change, expected):
    (folder / "secret.bin").write_bytes(b"x" * len(JPEG))
    with h5py.File(folder / "secret.h5", "w") as file:
        file.create_dataset("password", data=np.frombuffer(b"open", np.uint8))
    changed(folder, change)
    with opened(folder) as images:
        assert images.unreadable == expected
        assert [item.key for item in images.list()] == ["opaque.jpg", "row.jpg", "text.jpg"]


def test_a_dataset_that_was_never_written_cannot_claim_to_be_large(folder):
    changed(folder, lambda file: file.create_dataset("claim", (1 << 40,), "u1"))
    with opened(folder) as images:
        assert images.unreadable == {"claim.jpg": "holds less than it says"}


@pytest.mark.parametrize("name", ["..x", "a\nb", "a" * 300, "Ä"])
def test_a_name_that_no_image_has_is_left_alone(folder, name):
    changed(folder, lambda file: file.create_dataset(name, data=np.bytes_(JPEG)))
    with opened(folder) as images:
        assert list(images.unreadable.values()) == ["has a name that is not one of an image"]
        assert all(key.isprintable() and len(key) < 300 for key in images.unreadable)


def test_too_many_datasets_are_refused(folder, monkeypatch):
    monkeypatch.setattr(limits, "MAX_MEMBERS", 2)
    with pytest.raises(DataError, match=r"images.h5 holds more than 2 datasets \(MAX_MEMBERS\)"), opened(folder):
        pass


@pytest.mark.parametrize("seed", range(60))
def test_flipped_bytes_end_in_words(folder, seed):
    path = folder / "images.h5"
    data = bytearray(path.read_bytes())
    rng = np.random.default_rng(seed)
    for place in rng.integers(0, len(data), 20):
        data[place] = rng.integers(0, 256)
    path.write_bytes(data)
    try:
        with opened(folder) as images:
            for item in images.list():
                assert len(images.read_bytes(item.key)) == item.size
    except DataError as error:
        assert "images.h5" in str(error)
