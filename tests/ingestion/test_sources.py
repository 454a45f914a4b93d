"""Archives are read like folders, and those that would do harm are not read at all."""

import dataclasses
import io
import itertools
import os
import tarfile
import zipfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lesiongen import limits
from lesiongen.errors import DataError, StorageError, UsageError
from lesiongen.ingestion import IngestConfig, ingest
from lesiongen.ingestion.sources.source import name_of, open_source
from lesiongen.storage import open_storage
from lesiongen.storage.s3 import S3Storage

from .miniatures import picture

HAM = IngestConfig(format="ham10000")
KINDS = ("zip", "tar", "tar.gz", "tgz", "tar.bz2", "tar.xz")


def packed(folder: Path, target: Path, *, top: str = "") -> Path:
    """Packs a folder, its files below ``top``."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    names = [(path, f"{top}{path.relative_to(folder).as_posix()}") for path in files]
    if target.suffix == ".zip":
        with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
            for path, name in names:
                archive.write(path, name)
    else:
        mode = {".tar": "w", ".gz": "w:gz", ".tgz": "w:gz", ".bz2": "w:bz2", ".xz": "w:xz"}[target.suffix]
        with tarfile.open(target, mode) as archive:
            for path, name in names:
                archive.add(path, name)
    return target


@pytest.mark.parametrize("format", ["image_folder", "ham10000", "isic", "isic2016", "isic2024"])
@pytest.mark.parametrize("name", ["photos.7z", "Photos.RAR"])
def test_an_archive_in_another_format_is_named_with_the_way_out(tmp_path, name, format):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / name).write_bytes(b"7z")
    with pytest.raises(DataError) as caught:
        ingest(IngestConfig(format=format), str(tmp_path / "in"), str(tmp_path / "out"))
    assert f"{name}: archives of this format are not read (.zip, .tar, .tar.gz" in caught.value.hint
    assert "unpack it." in caught.value.hint
    with pytest.raises(UsageError, match="is not an archive of a known kind") as caught:
        ingest(IngestConfig(format=format), str(tmp_path / "in" / name), str(tmp_path / "out"))
    assert caught.value.hint == "Unpack it, and give the folder."


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("data/HAM10000/", "HAM10000"),
        ("photos.v2.zip", "photos.v2"),
        ("set.tar.gz", "set"),
        ("s3://bucket/clinic/", "clinic"),
        ("/", "dataset"),
    ],
)
def test_a_source_has_the_name_of_its_folder_or_archive(source, name):
    assert name_of(source) == name


def a_zip(path: Path, members: dict[str, bytes], **attributes: int) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            info = zipfile.ZipInfo(name)
            for attribute, value in attributes.items():
                setattr(info, attribute, value)
            archive.writestr(info, data)
    return path


def a_tar(path: Path, *members: tuple[str, bytes | bytes]) -> Path:
    with tarfile.open(path, "w") as archive:
        for name, kind in members:
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, "/etc/passwd"
            archive.addfile(info, io.BytesIO())
    return path


@pytest.mark.parametrize("kind", KINDS)
def test_an_archive_gives_the_dataset_of_its_folder(make_ham, tmp_path, kind):
    folder = make_ham()
    expected = ingest(HAM, str(folder), str(tmp_path / "expected")).dataset.version
    archive = packed(folder, tmp_path / f"ham.{kind}", top="./")
    assert ingest(HAM, str(archive), str(tmp_path / "out")).dataset.version == expected


@pytest.mark.parametrize("kind", ["zip", "tar.gz"])
def test_the_folder_around_everything_does_not_count_but_a_split_does(make_folder, tmp_path, kind):
    folder = make_folder("file_name,label\na/1.png,nv\n", ["a/1.png"])
    with open_source(str(packed(folder, tmp_path / f"one.{kind}", top="photos-main/"))) as source:
        assert [item.key for item in source.list()] == ["a/1.png", "metadata.csv"]
    with open_source(str(packed(folder, tmp_path / f"two.{kind}", top="train/"))) as source:
        assert [item.key for item in source.list()] == ["train/a/1.png", "train/metadata.csv"]


@pytest.mark.parametrize("kind", ["zip", "tar", "tgz"])
def test_an_archive_on_s3_is_read_where_it_lies(make_ham, tmp_path, s3_root, kind):
    folder = make_ham()
    expected = ingest(HAM, str(folder), str(tmp_path / "expected")).dataset.version
    open_storage(s3_root).upload_file(packed(folder, tmp_path / f"ham.{kind}"), f"in/ham.{kind}")
    assert ingest(HAM, f"{s3_root}/in/ham.{kind}", str(tmp_path / "out")).dataset.version == expected


def test_what_systems_put_into_archives_is_no_image(tmp_path):
    members = {"photos/a.png": b"1", "photos/.DS_Store": b"2", "__MACOSX/photos/._a.png": b"3"}
    with open_source(str(a_zip(tmp_path / "mac.zip", members))) as source:
        assert [item.key for item in source.list()] == ["a.png"]


def test_names_are_unicode_even_where_macos_does_not_say_so(tmp_path):
    path = a_zip(tmp_path / "mac.zip", {"läsion.png": b"1", "b.png": b"2"})
    flagged = path.read_bytes()
    with open_source(str(path)) as source:
        assert source.exists("läsion.png")
    # the flag "this is UTF-8" taken away in both of the member's headers, as macOS's archiver leaves it
    path.write_bytes(flagged.replace(b"\x00\x08\x00\x00", b"\x00\x00\x00\x00"))
    assert path.read_bytes() != flagged
    with open_source(str(path)) as source:
        assert source.read_bytes("läsion.png") == b"1"


@pytest.mark.parametrize("name", ["../a.png", "x/../../a.png", "/etc/passwd", "..\\a.png", "\\a.png", "C:a.png"])
@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_an_archive_that_climbs_out_is_not_read(tmp_path, name, kind):
    path = tmp_path / f"bad.{kind}"
    path = a_zip(path, {"ok.png": b"1", name: b"2"}) if kind == "zip" else a_tar(path, (name, tarfile.REGTYPE))
    with pytest.raises(DataError, match="would leave the folder") as caught, open_source(str(path)):
        pass
    assert f"bad.{kind}" in str(caught.value)
    assert repr(name) in str(caught.value)


def test_backslashes_between_folders_are_told_as_what_they_are(tmp_path):
    path = a_zip(tmp_path / "windows.zip", {"x\\a.png": b"1"})
    with pytest.raises(DataError, match="has backslashes between its folders, as some archivers of Windows"):
        open_source(str(path)).__enter__()


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE])
def test_links_and_devices_are_refused(tmp_path, kind):
    with (
        pytest.raises(DataError, match=r"'a.png' is a link, a device"),
        open_source(str(a_tar(tmp_path / "bad.tar", ("a.png", kind)))),
    ):
        pass


def test_a_link_in_a_zip_and_an_encrypted_member_are_refused(tmp_path):
    link = a_zip(tmp_path / "link.zip", {"a.png": b"/etc/passwd"}, external_attr=0o120777 << 16)
    with pytest.raises(DataError, match=r"link\.zip: the member 'a\.png' is a link"), open_source(str(link)):
        pass
    path = a_zip(tmp_path / "locked.zip", {"a.png": b"1"})
    data = bytearray(path.read_bytes())
    data[data.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(data)
    with pytest.raises(DataError, match=r"'a\.png' is encrypted\nUnpack it with its password"), open_source(str(path)):
        pass


def test_one_name_in_two_spellings_is_refused(tmp_path):
    path = a_zip(tmp_path / "twice.zip", {"a.png": b"1", "./a.png": b"2"})
    with pytest.raises(DataError, match=r"'\./a\.png' is there twice"), open_source(str(path)):
        pass


def test_one_name_twice_is_refused(tmp_path):
    with pytest.warns(UserWarning, match="Duplicate name"), zipfile.ZipFile(tmp_path / "twice.zip", "w") as archive:
        for data in (b"1", b"2"):
            archive.writestr("a.png", data)
    with pytest.raises(DataError, match=r"'a\.png' is there twice"), open_source(str(tmp_path / "twice.zip")):
        pass


@pytest.mark.parametrize("kind", ["zip", "tgz"])
def test_a_decompression_bomb_is_refused_before_it_fills_the_disk(tmp_path, monkeypatch, kind):
    monkeypatch.setattr(limits, "UNQUESTIONED_BYTES", 1 << 20)
    (tmp_path / "zeros").mkdir()
    with (tmp_path / "zeros" / "a.png").open("wb") as file:
        file.truncate(64 << 20)
    path = packed(tmp_path / "zeros", tmp_path / f"bomb.{kind}")
    written = []
    monkeypatch.setattr("tempfile.TemporaryFile", lambda **_: CountingFile(written))
    with pytest.raises(DataError, match=rf"bomb\.{kind} unpacks from .* more than 100 times"), open_source(str(path)):
        pass
    assert sum(written) < 10 << 20


class CountingFile(io.BytesIO):
    def __init__(self, written: list[int]) -> None:
        super().__init__()
        self.written = written

    def write(self, data) -> int:
        self.written.append(len(data))
        return super().write(data)


def test_a_member_that_inflates_to_more_than_it_says_gives_no_more(tmp_path):
    path = tmp_path / "lies.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.png", bytes(5 << 20))
    data = path.read_bytes()
    path.write_bytes(data.replace((5 << 20).to_bytes(4, "little"), (10).to_bytes(4, "little")))
    with open_source(str(path)) as source, pytest.raises(DataError, match=r"lies\.zip: the member 'a\.png'"):
        source.read_bytes("a.png")


def test_too_many_members_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(limits, "MAX_MEMBERS", 2)
    path = a_zip(tmp_path / "many.zip", {f"{number}.png": b"" for number in range(3)})
    with pytest.raises(DataError, match="holds more than 2 members"), open_source(str(path)):
        pass


def test_a_damaged_member_is_a_rejected_row_and_the_rest_is_kept(make_ham, tmp_path):
    path = packed(make_ham(), tmp_path / "ham.zip")
    with zipfile.ZipFile(path) as archive:
        info = archive.getinfo("HAM10000_images_part_1/ISIC_3.jpg")
    data = bytearray(path.read_bytes())
    data[info.header_offset + 200] ^= 0xFF
    path.write_bytes(data)
    config = IngestConfig(format="ham10000", on_error="reject", max_rejected=0.1)
    result = ingest(config, str(path), str(tmp_path / "out"))
    assert result.accepted == 35
    assert "the member 'HAM10000_images_part_1/ISIC_3.jpg' cannot be read" in result.rejected[0].reason


@pytest.mark.parametrize("kind", KINDS)
def test_a_cut_archive_is_named(make_ham, tmp_path, kind):
    path = packed(make_ham(), tmp_path / f"ham.{kind}")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(DataError, match=rf"ham\.{kind} is damaged"):
        ingest(HAM, str(path), str(tmp_path / "out"))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("ham.zip", None, "does not exist"),
        ("ham", None, "does not exist"),
        ("ham.rar", b"R", r"not an archive of a known"),
    ],
)
def test_a_source_that_is_not_there_or_of_another_kind(tmp_path, name, data, words):
    if data is not None:
        (tmp_path / name).write_bytes(data)
    with pytest.raises(UsageError, match=words), open_source(str(tmp_path / name)):
        pass


def test_an_archive_is_never_written_to(make_ham, tmp_path):
    with open_source(str(packed(make_ham(), tmp_path / "ham.zip"))) as source:
        for refuse in (lambda: source.write_text("a", "b"), lambda: source.delete("a")):
            with pytest.raises(UsageError, match="nothing can be written"):
                refuse()


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_any_damage_to_an_archive_is_named(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("fuzz")
    kind = data.draw(st.sampled_from(["zip", "tar", "tgz"]))
    (folder / "in").mkdir()
    (folder / "in" / "a.png").write_bytes(bytes(range(256)))
    os.utime(folder / "in" / "a.png", (1e9, 1e9))
    path = packed(folder / "in", folder / f"x.{kind}")
    content = bytearray(path.read_bytes()[: data.draw(st.integers(1, 12_000))])
    for _ in range(data.draw(st.integers(0, 5))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content)
    try:
        with open_source(str(path)) as source:
            for item in source.list():
                assert len(source.read_bytes(item.key)) == item.size
    except DataError as error:
        assert f"x.{kind}" in str(error)


@pytest.mark.parametrize("wrong_list", [1, 2])
@pytest.mark.parametrize("change", [("mel/0", "lel/0"), ("0.png", "0.qng")])
def test_a_changed_byte_in_the_list_of_a_prefix_makes_no_class_and_loses_no_image(
    tmp_path, s3_root, monkeypatch, wrong_list, change
):
    storage = open_storage(f"{s3_root}/in")
    for number, folder in enumerate(("mel", "nv", "mel", "nv")):
        buffer = io.BytesIO()
        picture(number, (48, 48)).save(buffer, "PNG")
        storage.write_bytes(f"{folder}/{number}.png", buffer.getvalue())
    listed, lists = S3Storage.list, itertools.count()

    def list_wrongly(self, prefix=""):
        wrong = next(lists) == wrong_list
        for item in listed(self, prefix):
            yield dataclasses.replace(item, key=item.key.replace(*change)) if wrong else item

    monkeypatch.setattr(S3Storage, "list", list_wrongly)
    config = IngestConfig(format="image_folder", unknown_diagnosis="keep")
    result = ingest(config, storage.uri, str(tmp_path / "out"))
    assert result.dataset.classes == {"mel": 2, "nv": 2}
    assert next(lists) > wrong_list


def test_a_file_of_another_size_than_was_listed_is_an_error(tmp_path, s3_root):
    storage = open_storage(s3_root)
    storage.write_bytes("a.png", b"1234")
    with open_source(s3_root) as source:
        storage.write_bytes("a.png", b"12345")
        with pytest.raises(StorageError, match="a.png has 5 bytes, and had 4 when the source was listed"):
            source.read_bytes("a.png")
        storage.delete("a.png")
        with pytest.raises(StorageError, match="a.png"):
            source.read_bytes("a.png")
