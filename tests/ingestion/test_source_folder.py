"""A local folder as people have it: with links, closed subfolders and names in other encodings."""

import csv
import os
import shutil
import tempfile
import time
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from lesiongen.dataset import Dataset
from lesiongen.errors import DataError, StorageError
from lesiongen.ingestion import IngestConfig, IngestResult, ingest
from lesiongen.ingestion.output import check_output
from lesiongen.ingestion.rows import Field, FieldError
from lesiongen.ingestion.sources.images import ImageIndex
from lesiongen.ingestion.sources.source import name_of, open_source

from .miniatures import picture, write_csv, write_picture

NOBODY = 65534
KEEP = {"unknown_diagnosis": "keep"}


def taken(source: Path, output: Path, **config) -> IngestResult:
    return ingest(IngestConfig(format="image_folder", **config), str(source), str(output))


def ids(output: Path) -> set[str]:
    return {sample.image_id for sample in Dataset.open(str(output)).samples()}


def table(folder: Path, names: list[str]) -> None:
    rows = [{"file_name": name, "diagnosis": ("nv", "mel")[number % 2]} for number, name in enumerate(names)]
    write_csv(folder / "metadata.csv", ("file_name", "diagnosis"), rows)


def two_classes(folder: Path, count: int = 6) -> Path:
    for number in range(count):
        write_picture(folder / "nv" / f"{number}.png", seed=number)
        write_picture(folder / "mel" / f"{number}.png", seed=100 + number)
    return folder


def test_a_snapshot_of_a_hub_is_read_through_its_links(tmp_path):
    snapshot, blobs = tmp_path / "hub" / "snapshots" / "1f0c", tmp_path / "hub" / "blobs"
    names = [f"images/{number}.png" for number in range(6)]
    table(snapshot, names)
    for number, name in enumerate(names):
        write_picture(snapshot / name, seed=number)
    for number, path in enumerate([snapshot / name for name in (*names, "metadata.csv")]):
        blobs.mkdir(exist_ok=True)
        path.rename(blobs / str(number))
        path.symlink_to(os.path.relpath(blobs / str(number), path.parent))
    assert taken(snapshot, tmp_path / "out").accepted == 6


def test_a_link_to_a_folder_elsewhere_is_followed_and_one_in_a_circle_is_not(tmp_path):
    source = two_classes(tmp_path / "source")
    (source / "nv").rename(tmp_path / "elsewhere")
    (source / "nv").symlink_to("../elsewhere")
    (source / "mel" / "round").symlink_to("..")
    (source / "mel" / "itself").symlink_to(".")
    (tmp_path / "elsewhere" / "back").symlink_to(source)
    with open_source(str(source)) as opened:
        keys = [item.key for item in opened.list()]
        assert set(opened.closed) == {"mel/round", "mel/itself"}
    assert keys == sorted(f"{label}/{number}.png" for label in ("mel", "nv") for number in range(6))


def test_a_folder_with_two_names_is_read_once_and_a_table_may_use_either(tmp_path):
    source = tmp_path / "source"
    for number in range(6):
        write_picture(source / "photos" / "all" / f"{number}.png", seed=number)
    (source / "images").symlink_to("photos")
    table(source, [f"images/all/{number}.png" for number in range(6)])
    assert taken(source, tmp_path / "out").accepted == 6
    assert ids(tmp_path / "out") == {f"photos/all/{number}" for number in range(6)}


@pytest.mark.parametrize("name", ["../secret.png", "linked/../../secret.png", "..\\secret.png", "linked\\..\\1.png"])
def test_a_name_does_not_leave_the_folder_even_where_a_link_does(tmp_path, name):
    source = tmp_path / "source"
    write_picture(tmp_path / "elsewhere" / "1.png", seed=1)
    write_picture(tmp_path / "secret.png", seed=2)
    table(source, ["linked/1.png", name])
    (source / "linked").symlink_to("../elsewhere")
    with pytest.raises(DataError, match=r"row 3, file_name = .*: leaves the folder of its table"):
        taken(source, tmp_path / "out")


def test_dangling_links_are_named_and_count(tmp_path):
    source = two_classes(tmp_path / "source")
    (source / "nv" / "8.png").symlink_to("gone")
    (source / "nv" / "9.png").symlink_to("9.png")
    (source / "README.md").symlink_to("gone")
    with pytest.raises(DataError) as caught:
        taken(source, tmp_path / "out")
    message = str(caught.value)
    assert message.startswith(f"2 images of {source} cannot be used")
    assert "nv/8.png: is a link whose target does not exist (fetch it: dvc pull, git annex get)" in message
    assert "nv/9.png: is a link that leads to itself" in message
    assert taken(source, tmp_path / "most", on_error="reject", max_rejected=0.15).accepted == 12
    with (tmp_path / "most" / "rejected.csv").open(newline="") as file:
        assert [row["file"] for row in csv.DictReader(file)] == ["nv/8.png", "nv/9.png"]


@pytest.mark.parametrize("match", ["path", "name", "stem"])
def test_a_row_whose_image_is_a_dangling_link_says_so_and_counts_once(tmp_path, match):
    source = tmp_path / "source"
    names = [f"{number}" if match == "stem" else f"{number}.png" for number in range(3)]
    table(source, [*names, names[2]])
    for number in range(2):
        write_picture(source / f"{number}.png", seed=number)
    (source / "2.png").symlink_to("gone")
    with pytest.raises(DataError) as caught:
        taken(source, tmp_path / "out", options={"match": match})
    assert str(caught.value).startswith(f"2 of 4 rows of {source}")
    assert str(caught.value).count("the image 2.png is a link whose target does not exist") == 1
    assert "(fetch it: dvc pull, git annex get) (2 rows)\n" in str(caught.value)


def test_a_table_that_is_a_dangling_link_is_named(tmp_path):
    source = tmp_path / "source"
    write_picture(source / "images" / "1.png", seed=1)
    (source / "metadata.csv").symlink_to("gone")
    with pytest.raises(StorageError, match=r"metadata\.csv is a link whose target does not exist"):
        taken(source, tmp_path / "out")


def test_a_link_to_a_folder_that_is_gone_counts_too(tmp_path):
    source = two_classes(tmp_path / "source")
    shutil.rmtree(source / "nv")
    (source / "nv").symlink_to("/mnt/not-mounted/nv")
    with pytest.raises(DataError, match=r"\n  nv: is a link whose target does not exist"):
        taken(source, tmp_path / "out")


@contextmanager
def as_nobody() -> Iterator[None]:
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that other users can enter, as pytest's own cannot be."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    for path in folder.rglob("*"):
        if not path.is_symlink():
            path.chmod(0o755)
    shutil.rmtree(folder)


def found_by_nobody(source: Path) -> tuple[list[str], dict[str, str]]:
    with as_nobody(), open_source(str(source)) as opened:
        return [item.key for item in opened.list()], opened.unreadable


needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")


@needs_root
@pytest.mark.parametrize("mode", [0o000, 0o644, 0o711])
def test_a_closed_subfolder_is_found_out(open_folder, mode):
    source = two_classes(open_folder / "source")
    for folder in (source, source / "mel", source / "nv"):
        folder.chmod(0o755)
    (source / "nv").chmod(mode)
    keys, unreadable = found_by_nobody(source)
    assert keys == [f"mel/{number}.png" for number in range(6)]
    assert unreadable == {"nv/": "may not be read: check its permissions"}


@needs_root
def test_a_source_that_is_closed_itself_is_refused(open_folder):
    source = two_classes(open_folder / "source")
    source.chmod(0o700)
    with pytest.raises(StorageError, match=f"The folder {source} may not be read"):
        found_by_nobody(source)


@needs_root
def test_a_source_or_an_output_below_a_closed_folder_is_refused_in_words(open_folder):
    source = two_classes(open_folder / "closed" / "source")
    (open_folder / "closed").chmod(0o700)
    config = IngestConfig(format="image_folder")
    for place, output in ((source, open_folder / "out"), (open_folder / "none", source / "out")):
        with as_nobody(), pytest.raises(StorageError, match=r"/closed/source.* may not be read or written"):
            check_output(str(place), str(output))
            with open_source(str(place)):
                pass
    with pytest.raises(StorageError, match="File name too long"):
        ingest(config, str(source), str(open_folder / ("x" * 300)))


def closed(monkeypatch, *folders: Path) -> None:
    """Closes folders to whoever runs the tests, root included."""
    scan = os.scandir
    names = {str(folder) for folder in folders}

    def scandir(path):
        if str(path) in names:
            raise PermissionError(13, "Permission denied", path)
        return scan(path)

    monkeypatch.setattr("lesiongen.ingestion.sources.folder.os.scandir", scandir)


def test_a_closed_subfolder_counts_and_fails_the_run(tmp_path, monkeypatch):
    source = two_classes(tmp_path / "source")
    closed(monkeypatch, source / "nv")
    with pytest.raises(DataError) as caught:
        taken(source, tmp_path / "out")
    assert str(caught.value).startswith(f"1 folder of {source} cannot be used:\n  nv/: may not be read: check its")
    with pytest.raises(DataError, match="At most 5% may be rejected"):
        taken(source, tmp_path / "out", on_error="reject")
    assert taken(source, tmp_path / "most", on_error="reject", max_rejected=0.2).rejected[0].file == "nv/"


def test_a_source_of_closed_subfolders_alone_says_so(tmp_path, monkeypatch):
    source = two_classes(tmp_path / "source")
    closed(monkeypatch, source / "nv", source / "mel")
    with pytest.raises(DataError, match=r"It also holds mel/, which may not be read: check its permissions\."):
        taken(source, tmp_path / "out")


def test_a_row_of_a_closed_subfolder_names_it(tmp_path, monkeypatch):
    source = two_classes(tmp_path / "source", 2)
    table(source, ["mel/0.png", "mel/1.png", "nv/0.png", "nv/1.png"])
    closed(monkeypatch, source / "nv")
    with pytest.raises(DataError) as caught:
        taken(source, tmp_path / "out")
    assert str(caught.value).startswith(f"2 of 4 rows and 1 folder of {source}")
    assert "row 4, file_name = 'nv/0.png': the folder nv/ may not be read" in str(caught.value)


def test_an_image_that_may_not_be_read_is_named(tmp_path, monkeypatch):
    source = two_classes(tmp_path / "source")
    read = Path.read_bytes

    def read_bytes(path):
        if path.name == "3.png" and path.parent.name == "nv":
            raise PermissionError(13, "Permission denied", str(path))
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", read_bytes)
    with pytest.raises(DataError, match=r"1 image of .*\n  nv/3\.png.*nv/3\.png may not be read: check its perm"):
        taken(source, tmp_path / "out")
    assert taken(source, tmp_path / "most", on_error="reject", max_rejected=0.1).accepted == 11


def write_latin(folder: Path, name: bytes, seed: int) -> None:
    path = os.fsencode(folder) + b"/" + name
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as file:
        picture(seed).save(file, "PNG")


def test_names_in_latin_1_are_read_shown_and_stored_as_text(tmp_path):
    source = tmp_path / "source"
    for number in range(4):
        write_latin(source, b"m\xe9lanome/l\xe9sion %d.png" % number, number)
        write_picture(source / "nv" / f"{number}.png", seed=10 + number)
    assert taken(source, tmp_path / "out", **KEEP).accepted == 8
    assert {f"mélanome/lésion {number}" for number in range(4)} < ids(tmp_path / "out")
    write_latin(source, b"m\xe9lanome/\xe9.png", 0)
    (source / os.fsdecode(b"m\xe9lanome/\xe9.png")).write_bytes(b"no image")
    with pytest.raises(DataError, match=r"\n  mélanome/é\.png, file = 'é\.png': the image mélanome/é\.png cannot be"):
        taken(source, tmp_path / "again", **KEEP)


@pytest.mark.parametrize("stored", ["latin-1", "NFC", "NFD"])
def test_a_table_in_utf_8_names_files_of_any_encoding(tmp_path, stored):
    source = tmp_path / "source"
    names = [f"Läsion {number} é.png" for number in range(4)]
    table(source, names)
    for number, name in enumerate(names):
        raw = name.encode("latin-1") if stored == "latin-1" else unicodedata.normalize(stored, name).encode()
        write_latin(source, raw, number)
    assert taken(source, tmp_path / "out").accepted == 4
    assert ids(tmp_path / "out") == {name.removesuffix(".png") for name in names}


@pytest.mark.parametrize("other", [b"l\xe9sion.png", "lésion.png".encode()])
def test_two_files_that_have_one_name_as_text_are_both_named(tmp_path, other):
    source = two_classes(tmp_path / "source")
    decomposed = unicodedata.normalize("NFD", "lésion.png").encode()
    write_latin(source / "nv", "lésion.png".encode() if other.startswith(b"l\xe9") else decomposed, 50)
    write_latin(source / "nv", other, 51)
    with pytest.raises(DataError, match=r"1 image of .*\n  nv/lésion\.png: has the same name as another file"):
        taken(source, tmp_path / "out")


def test_a_source_and_an_output_with_names_in_other_encodings(tmp_path):
    source = Path(os.fsdecode(os.fsencode(tmp_path) + b"/K\xe4se und Haut"))
    two_classes(source)
    assert taken(source, tmp_path / "Aus gäbe").accepted == 12
    manifest = Dataset.open(str(tmp_path / "Aus gäbe")).manifest
    assert (manifest.name, manifest.origin.source) == ("Kase-und-Haut", f"{tmp_path}/Käse und Haut")


def test_a_link_to_a_folder_around_the_source_is_not_followed_from_elsewhere(tmp_path):
    source = two_classes(tmp_path / "home" / "source")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "up").symlink_to(tmp_path / "home")
    write_picture(tmp_path / "home" / "private" / "1.png", seed=50)
    (source / "out").symlink_to(tmp_path / "elsewhere")
    with open_source(str(source)) as opened:
        assert {item.key.split("/")[0] for item in opened.list()} == {"nv", "mel"}
        assert set(opened.closed) == {"out/up"}


def test_a_path_through_a_link_is_found_however_accents_are_stored(tmp_path):
    source = tmp_path / "source"
    for number in range(6):
        write_picture(source / unicodedata.normalize("NFD", "Häute") / f"{number}.png", seed=number)
    (source / unicodedata.normalize("NFD", "Läsionen")).symlink_to(unicodedata.normalize("NFD", "Häute"))
    table(source, [unicodedata.normalize("NFC", f"Läsionen/{number}.png") for number in range(6)])
    assert taken(source, tmp_path / "out").accepted == 6


def test_a_dataset_has_the_name_of_the_link_that_was_given(tmp_path):
    (tmp_path / "blobs").mkdir()
    (tmp_path / "blobs" / "0f3a").write_bytes(b"")
    (tmp_path / "skin.zip").symlink_to(tmp_path / "blobs" / "0f3a")
    assert name_of(str(tmp_path / "skin.zip")) == "skin"


@pytest.mark.parametrize("name", ["README", "LICENSE", "CITATION.cff"])
def test_a_document_that_is_a_broken_link_is_no_image(tmp_path, name):
    source = two_classes(tmp_path / "source")
    (source / name).symlink_to("nowhere")
    assert taken(source, tmp_path / "out").accepted == 12


def test_thousands_of_broken_links_are_told_in_no_time(tmp_path):
    source = tmp_path / "source"
    names = [f"{number}.png" for number in range(4_000)]
    table(source, ["good.png", *names])
    write_picture(source / "good.png", seed=1)
    for name in names:
        (source / name).symlink_to("nowhere")
    start = time.process_time()
    for match in ("name", "stem"):
        with open_source(str(source)) as opened:
            index = ImageIndex(opened)
            find = index.of_stem if match == "stem" else index.of_name
            for name in names:
                with pytest.raises(FieldError, match="target does not exist"):
                    find(Field("file_name", name.removesuffix(".png") if match == "stem" else name))
    assert time.process_time() - start < 10
