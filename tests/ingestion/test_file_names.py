"""Names of files: what systems leave beside photographs is never read, and every name becomes text."""

import tarfile
import zipfile

import pytest

from lesiongen.ingestion import IngestConfig, ingest
from lesiongen.ingestion.sources.file_names import is_system_file, readable_name, readable_path
from lesiongen.ingestion.sources.source import open_source
from lesiongen.storage import open_storage

from .miniatures import write_picture
from .test_sources import packed

LITTER = [
    "._a.png",
    ".DS_Store",
    "nv/._a.png",
    "nv/.ipynb_checkpoints/a-checkpoint.png",
    ".Trash-1000/files/a.png",
    "@eaDir/a.png/SYNOPHOTO_THUMB_M.jpg",
    "__MACOSX/nv/a.png",
    "nv/__MACOSX/a.png",
    "Thumbs.db",
    "nv/desktop.ini",
    "$RECYCLE.BIN/a.png",
    "#recycle/a.png",
    "lost+found/a.png",
    ".cache/huggingface/a.png",
]


@pytest.mark.parametrize("key", [*LITTER, "THUMBS.DB", "Icon\r"])
def test_what_systems_leave_is_known(key):
    assert is_system_file(key)


@pytest.mark.parametrize("key", ["a.png", "nv/a.b.png", "macosx/a.png", "thumbs.db.png", "../a.png", "a../b.png"])
def test_what_people_name_is_not_taken_for_it(key):
    assert not is_system_file(key)


@pytest.mark.parametrize("kind", ["folder", "zip", "tar", "tgz", "s3", "nested"])
def test_one_rule_holds_for_every_store(tmp_path, request, kind):
    folder = tmp_path / "source" / "photos"
    for number, name in enumerate([*LITTER, *(f"{label}/{n}.png" for label in ("nv", "mel") for n in range(3))]):
        write_picture((folder / name).with_suffix(".png"), seed=number)
        (folder / name).with_suffix(".png").rename(folder / name)
    source = str(folder)
    if kind in ("zip", "tar", "tgz", "nested"):
        source = str(packed(folder, tmp_path / f"photos.{kind.replace('nested', 'zip')}"))
    if kind == "nested":
        (tmp_path / "outer").mkdir()
        (tmp_path / "photos.zip").rename(tmp_path / "outer" / "photos.zip")
        (tmp_path / "outer" / "Thumbs.db").write_bytes(b"")
        source = str(tmp_path / "outer")
    if kind == "s3":
        source = f"{request.getfixturevalue('s3_root')}/litter"
        open_storage(source).upload_folder(folder)
    with open_source(source) as opened:
        assert [item.key for item in opened.list()] == [f"{label}/{n}.png" for label in ("mel", "nv") for n in range(3)]
    config = IngestConfig(format="image_folder", unknown_diagnosis="keep")
    assert ingest(config, source, str(tmp_path / "out")).dataset.classes == {"mel": 3, "nv": 3}


def test_names_are_utf_8_or_else_windows_1252():
    assert readable_name("lésion 皮.png".encode()) == "lésion 皮.png"
    assert readable_name(b"l\xe9sion \x93x\x94") == "lésion “x”"
    assert readable_name(b"\x81.png") == "\ufffd.png"
    assert readable_path("/m\udce9lanome/皮/a.png") == "/mélanome/皮/a.png"
    assert readable_path("皮/é.png") == "皮/é.png"


def test_members_of_archives_with_names_in_latin_1_are_read(tmp_path):
    name = "mélanome/lésion.png"
    with tarfile.open(tmp_path / "latin.tar", "w", format=tarfile.GNU_FORMAT, encoding="latin-1") as archive:
        archive.addfile(tarfile.TarInfo(name))
        archive.addfile(tarfile.TarInfo("nv/1.png"))
    with zipfile.ZipFile(tmp_path / "latin.zip", "w") as archive:
        for member in ("mQlanome/lQsion.png", "nv/1.png"):
            archive.writestr(member, b"")
    data = (tmp_path / "latin.zip").read_bytes().replace(b"Q", b"\xe9")
    (tmp_path / "latin.zip").write_bytes(data)
    for kind in ("tar", "zip"):
        with open_source(str(tmp_path / f"latin.{kind}")) as source:
            assert [item.key for item in source.list()] == [name, "nv/1.png"]
            assert source.read_bytes(name) == b""


def test_a_zip_of_windows_has_its_names_in_code_page_437(tmp_path):
    with zipfile.ZipFile(tmp_path / "windows.zip", "w") as archive:
        for member in ("lQsion.png", "1.png"):
            info = zipfile.ZipInfo(member)
            info.create_system = 0
            archive.writestr(info, b"")
    data = (tmp_path / "windows.zip").read_bytes().replace(b"Q", "é".encode("cp437"))
    (tmp_path / "windows.zip").write_bytes(data)
    with open_source(str(tmp_path / "windows.zip")) as source:
        assert [item.key for item in source.list()] == ["1.png", "lésion.png"]
