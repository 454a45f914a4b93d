"""Collections that are handed out as archives beside a table, or within an archive, are read as they are."""

import random
import shutil
import zipfile
from pathlib import Path

import pytest

from lesiongen import limits
from lesiongen.dataset import Dataset
from lesiongen.errors import DataError
from lesiongen.ingestion import IngestConfig, ingest
from lesiongen.ingestion.sources.archives import check_expansion
from lesiongen.storage import CHUNK, open_storage

from . import miniatures
from .cases import CASES
from .miniatures import write_csv, write_picture
from .test_sources import packed

HAM = IngestConfig(format="ham10000")
IMAGES = (".jpg", ".png")


def pack_in_place(folder: Path, kind: str = "zip", **options) -> Path:
    """Replaces a folder by an archive of its name."""
    archive = packed(folder, folder.with_name(f"{folder.name}.{kind}"), **options)
    shutil.rmtree(folder)
    return archive


def pack_images(source: Path) -> None:
    """Replaces the folders of images by archives; images that lie beside the table go into one."""
    loose = [path for path in source.iterdir() if path.suffix in IMAGES]
    for path in loose:
        (source / "pictures").mkdir(exist_ok=True)
        path.rename(source / "pictures" / path.name)
    for folder in [path for path in source.iterdir() if path.is_dir()]:
        if any(path.suffix in IMAGES for path in folder.rglob("*")):
            pack_in_place(folder)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.format)
def test_images_may_lie_in_archives_beside_the_table(case, tmp_path):
    source = case.build(tmp_path / "source")
    config = IngestConfig(format=case.format, name="set")
    expected = ingest(config, str(source), str(tmp_path / "expected"))
    pack_images(source)
    assert not [path for path in source.rglob("*") if path.suffix in IMAGES]
    found = ingest(config, str(source), str(tmp_path / "found"))
    assert found.accepted == expected.accepted > 0
    assert found.dataset.version == expected.dataset.version


@pytest.mark.parametrize("top", ["photos/", "train/", ""])
def test_a_path_in_a_table_is_found_however_the_archive_was_packed(make_folder, tmp_path, top):
    rows = [f"{top}{number}.png,nv" for number in range(12)]
    source = make_folder("\n".join(["file_name,diagnosis", *rows]))
    for number in range(12):
        miniatures.write_picture(tmp_path / "in" / f"{number}.png", number)
    packed(tmp_path / "in", source / "all.zip", top=top)
    assert ingest(IngestConfig(format="image_folder"), str(source), str(tmp_path / "out")).accepted == 12


def test_paths_tell_one_name_in_a_folder_and_in_an_archive_apart(make_folder, tmp_path):
    names = [f"{folder}/{number}.png" for folder in "ab" for number in range(6)]
    source = make_folder("\n".join(["file_name,diagnosis", *(f"{name},nv" for name in names)]), names)
    expected = ingest(IngestConfig(format="image_folder"), str(source), str(tmp_path / "expected"))
    pack_in_place(source / "b")
    found = ingest(IngestConfig(format="image_folder"), str(source), str(tmp_path / "out"))
    assert found.dataset.version == expected.dataset.version


def test_images_that_are_unpacked_in_part_are_there_once(make_ham, tmp_path):
    folder = make_ham()
    expected = ingest(HAM, str(folder), str(tmp_path / "expected")).dataset.version
    packed(folder / "HAM10000_images_part_1", folder / "all.zip")
    for number in range(5):
        (folder / "HAM10000_images_part_1" / f"ISIC_{number}.jpg").unlink()
    assert ingest(HAM, str(folder), str(tmp_path / "out")).dataset.version == expected


def test_images_that_paths_name_and_that_are_unpacked_in_part_are_there_once(make_folder, tmp_path):
    names = [f"imgs/{number}.png" for number in range(12)]
    source = make_folder("\n".join(["file_name,diagnosis", *(f"{name},nv" for name in names)]), names)
    packed(source / "imgs", source / "all.zip", top="imgs/")
    for name in names[6:]:
        (source / name).unlink()
    assert ingest(IngestConfig(format="image_folder"), str(source), str(tmp_path / "out")).accepted == 12


def test_archives_beside_images_without_a_table_name_no_diagnosis(make_folder, tmp_path):
    names = [f"images/{number}.png" for number in range(3)]
    source = make_folder("", names, table_name="notes.txt")
    packed(source / "images", source / "backup.zip")
    with pytest.raises(DataError, match=r"contains none of metadata\.csv"):
        ingest(IngestConfig(format="image_folder", unknown_diagnosis="keep"), str(source), str(tmp_path / "out"))


def test_a_table_of_diagnoses_outside_wins_over_one_beside_the_images_in_their_archive(tmp_path):
    source = miniatures.isic(tmp_path / "source")
    config = IngestConfig(format="isic", name="set")
    expected = ingest(config, str(source), str(tmp_path / "expected")).dataset.version
    images = next(path.parent for path in source.rglob("*.jpg"))
    (images / "metadata.csv").write_text("isic_id,diagnosis\nISIC_0,melanoma\n")
    pack_in_place(images)
    assert ingest(config, str(source), str(tmp_path / "out")).dataset.version == expected


def as_the_dataverse_packs_it(folder: Path) -> Path:
    """Packs a HAM10000 as its download: images, masks and another challenge's images are archives within one."""
    (folder / "HAM10000_metadata.csv").rename(folder / "HAM10000_metadata.tab")
    table = folder / "HAM10000_metadata.tab"
    table.write_text(table.read_text().replace(",", "\t"))
    pack_in_place(folder / "HAM10000_images_part_1")
    miniatures.write_picture(folder / "HAM10000_segmentations_lesion_tschandl" / "ISIC_3_segmentation.png", 900)
    pack_in_place(folder / "HAM10000_segmentations_lesion_tschandl", top="HAM10000_segmentations_lesion_tschandl/")
    miniatures.write_picture(folder / "ISIC2018_Task3_Test_Images" / "ISIC_0034524.jpg", 901)
    pack_in_place(folder / "ISIC2018_Task3_Test_Images", top="ISIC2018_Task3_Test_Images/")
    (folder / "ISIC2018_Task3_Test_GroundTruth.tab").write_text("lesion_id\timage_id\tdx\nHAM_1\tISIC_0034524\tnv\n")
    return folder


@pytest.mark.parametrize("kind", ["zip", "tar", "tgz", None])
def test_the_download_of_ham10000_gives_the_dataset_of_its_folder(make_ham, tmp_path, kind):
    folder = make_ham()
    expected = ingest(HAM, str(folder), str(tmp_path / "expected")).dataset.version
    source = as_the_dataverse_packs_it(folder)
    if kind:
        source = packed(folder, tmp_path / f"ham.{kind}")
    assert ingest(HAM, str(source), str(tmp_path / "out")).dataset.version == expected


def test_archives_on_s3_are_read_where_they_lie(make_ham, tmp_path, s3_root):
    folder = make_ham()
    expected = ingest(HAM, str(folder), str(tmp_path / "expected")).dataset.version
    open_storage(f"{s3_root}/ham").upload_folder(as_the_dataverse_packs_it(folder))
    assert ingest(HAM, f"{s3_root}/ham", str(tmp_path / "out")).dataset.version == expected


def test_test_images_of_isic_2018_are_no_part_of_ham10000(make_ham, tmp_path):
    folder = make_ham()
    miniatures.write_picture(folder / "ISIC2018_Task3_Test_Images" / "ISIC_0034524.jpg", 901)
    assert ingest(HAM, str(folder), str(tmp_path / "out")).accepted == 36


def test_tables_of_isic_may_lie_in_archives(tmp_path):
    source = miniatures.isic(tmp_path / "source")
    config = IngestConfig(format="isic", name="set")
    expected = ingest(config, str(source), str(tmp_path / "expected")).dataset.version
    (source / "tables").mkdir()
    for table in source.glob("*.csv"):
        table.rename(source / "tables" / table.name)
    pack_images(source)
    pack_in_place(source / "tables")
    assert ingest(config, str(source), str(tmp_path / "out")).dataset.version == expected


def test_an_archive_beside_what_it_was_unpacked_into_is_left_alone(make_ham, tmp_path):
    folder = make_ham()
    images = folder / "HAM10000_images_part_1"
    packed(images, folder / "HAM10000_images_part_1.zip")
    assert ingest(HAM, str(folder), str(tmp_path / "out")).accepted == 36
    (images / "ISIC_5.jpg").unlink()
    with pytest.raises(DataError, match=r"part_1\.zip: a folder of its name lies beside it"):
        ingest(HAM, str(folder), str(tmp_path / "more"))


def test_what_lies_in_a_folder_wins_over_an_archive(make_ham, tmp_path):
    folder = make_ham(without=[5])
    miniatures.write_picture(tmp_path / "other" / "ISIC_5.jpg", 5)
    miniatures.write_picture(tmp_path / "other" / "ISIC_9.jpg", 1009)
    packed(tmp_path / "other", folder / "other.zip")
    expected = Dataset.open(ingest(HAM, str(make_whole(tmp_path, folder)), str(tmp_path / "expected")).dataset.uri)
    found = Dataset.open(ingest(HAM, str(folder), str(tmp_path / "out")).dataset.uri)
    assert [sample.image for sample in found.samples()] == [sample.image for sample in expected.samples()]


def make_whole(tmp_path: Path, folder: Path) -> Path:
    whole = tmp_path / "whole" / "ham"
    shutil.copytree(folder, whole)
    (whole / "other.zip").unlink()
    shutil.copy(tmp_path / "other" / "ISIC_5.jpg", whole / "HAM10000_images_part_1")
    return whole


def test_images_without_a_row_are_told_of_an_archive_that_is_used_and_of_no_other(make_ham, tmp_path):
    folder = make_ham(without=[5])
    for name, numbers in {"used": (5, 70), "unused": (80, 81)}.items():
        for number in numbers:
            miniatures.write_picture(tmp_path / name / f"ISIC_{number}.jpg", number)
        packed(tmp_path / name, folder / f"{name}.zip")
    result = ingest(IngestConfig(format="ham10000", on_error="reject"), str(folder), str(tmp_path / "out"))
    assert result.accepted == 36
    assert [item.file for item in result.rejected] == ["used/ISIC_70.jpg"]


def test_a_damaged_archive_within_a_source_is_named_where_an_image_is_missing(make_ham, tmp_path):
    folder = make_ham()
    archive = pack_in_place(folder / "HAM10000_images_part_1")
    archive.write_bytes(archive.read_bytes()[:-100])
    for source in (folder, packed(folder, tmp_path / "all.zip")):
        with pytest.raises(DataError, match=r"not looked into:\n  HAM10000_images_part_1\.zip: .* is damaged"):
            ingest(HAM, str(source), str(tmp_path / "out"))


def test_an_archive_within_a_source_that_unpacks_to_too_much_stays_closed(make_ham, tmp_path, monkeypatch):

    folder = make_ham()
    pack_in_place(folder / "HAM10000_images_part_1")
    monkeypatch.setattr(limits, "MAX_EXPANSION", 0.5)
    monkeypatch.setattr(limits, "UNQUESTIONED_BYTES", 1000)
    with pytest.raises(DataError, match=r"not looked into:\n  HAM10000_images_part_1\.zip: .* times its size"):
        ingest(HAM, str(folder), str(tmp_path / "out"))


def test_nested_archives_may_not_fill_the_disk_together(make_ham, tmp_path, monkeypatch):

    folder = make_ham(without=[5])
    for number in range(4):
        (tmp_path / "zeros").mkdir(exist_ok=True)
        (tmp_path / "zeros" / f"{number}.txt").write_bytes(bytes(400_000))
        packed(tmp_path / "zeros", folder / f"zeros{number}.tgz")
    monkeypatch.setattr(limits, "UNQUESTIONED_BYTES", 1_000_000)
    with pytest.raises(DataError, match=r"zeros\d\.tgz: .*ham \(lastly zeros\d\.tgz\) unpacks from .* than 100"):
        ingest(HAM, str(folder), str(tmp_path / "out"))


def test_wrapped_archives_may_not_fill_the_disk_either(make_ham, tmp_path, monkeypatch):

    folder = make_ham(without=[5])
    (tmp_path / "zeros").mkdir()
    (tmp_path / "zeros" / "0.txt").write_bytes(random.Random(0).randbytes(2000) + bytes(100_000))
    for number in range(100):
        packed(tmp_path / "zeros", folder / f"zeros{number}.tgz")
    (tmp_path / "outer").mkdir()
    shutil.move(packed(folder, tmp_path / "inner.tar"), tmp_path / "outer" / "inner.tar")
    source = packed(tmp_path / "outer", tmp_path / "outer.zip")
    allowed = 100 * source.stat().st_size
    taken = []
    check = check_expansion
    monkeypatch.setattr(limits, "UNQUESTIONED_BYTES", 1000)
    monkeypatch.setattr(
        "lesiongen.ingestion.sources.archive_opening.check_expansion", lambda *of: (taken.append(of[1]), check(*of))
    )
    with pytest.raises(DataError, match="more than 100 times its size"):
        ingest(HAM, str(source), str(tmp_path / "out"))
    assert allowed / 2 < max(taken) < allowed + CHUNK


@pytest.mark.parametrize("wrap", ["folder", "zip", "tgz"])
def test_one_archive_and_nothing_else_is_the_source(make_ham, tmp_path, wrap):
    folder = make_ham()
    expected = ingest(HAM, str(folder), str(tmp_path / "expected")).dataset.version
    (tmp_path / "outer").mkdir()
    packed(as_the_dataverse_packs_it(folder), tmp_path / "outer" / "dataverse_files.zip")
    source = tmp_path / "outer" if wrap == "folder" else packed(tmp_path / "outer", tmp_path / f"outer.{wrap}")
    assert ingest(HAM, str(source), str(tmp_path / "out")).dataset.version == expected


def test_archives_a_level_deeper_are_told(make_ham, tmp_path):
    folder = make_ham()
    pack_in_place(folder / "HAM10000_images_part_1")
    (folder / "deep").mkdir()
    (folder / "HAM10000_images_part_1.zip").rename(folder / "deep" / "images.zip")
    pack_in_place(folder / "deep")
    with pytest.raises(DataError, match=r"deep/images\.zip: an archive within an archive: unpack it"):
        ingest(HAM, str(folder), str(tmp_path / "out"))


def test_lesions_are_read_from_a_table_in_an_archive_too(tmp_path):
    source = miniatures.isic(tmp_path / "source")
    config = IngestConfig(format="isic", name="set")
    expected = ingest(config, str(source), str(tmp_path / "expected")).dataset.version
    images = next(path.parent for path in source.rglob("*.jpg"))
    further = [path for path in source.glob("*.csv") if "GroundTruth" not in path.name]
    assert further
    for table in further:
        table.rename(images / table.name)
    pack_in_place(images)
    assert ingest(config, str(source), str(tmp_path / "out")).dataset.version == expected


def test_two_archives_that_hold_what_a_path_may_mean_are_not_guessed_between(make_folder, tmp_path):
    source = make_folder("file_name,diagnosis\n1.bmp,nv\n")
    for number, name in enumerate("ab"):
        miniatures.write_picture(tmp_path / name / "1.bmp", number)
        packed(tmp_path / name, source / f"{name}.zip")
    with pytest.raises(DataError, match=r"1\.bmp': image not found, but a/1\.bmp is there"):
        ingest(IngestConfig(format="image_folder"), str(source), str(tmp_path / "out"))
    by_name = IngestConfig(format="image_folder", options={"match": "name"})
    with pytest.raises(DataError, match=r"several different images have this name: a/1\.bmp, b/1\.bmp"):
        ingest(by_name, str(source), str(tmp_path / "out"))
    packed(tmp_path / "a", source / "b.zip")
    assert ingest(by_name, str(source), str(tmp_path / "out")).accepted == 1


def test_what_lies_outside_wins_whatever_its_format_and_the_order_of_the_rows(make_ham, tmp_path):
    folder = make_ham(without=[0, 1])
    images = folder / "HAM10000_images_part_1"
    miniatures.write_picture(images / "ISIC_1.png", 1)
    for number in (0, 1):
        miniatures.write_picture(tmp_path / "more" / f"ISIC_{number}.jpg", 100 + number)
    packed(tmp_path / "more", folder / "more.zip")
    assert ingest(HAM, str(folder), str(tmp_path / "out")).accepted == 36
    stored = {sample.image_id: sample.image for sample in Dataset.open(str(tmp_path / "out")).samples()}
    assert stored["ISIC_0"] == (tmp_path / "more" / "ISIC_0.jpg").read_bytes()
    assert stored["ISIC_1"] == (images / "ISIC_1.png").read_bytes()


@pytest.mark.parametrize("outside", [(), ("2.jpg",)], ids=["in the archive", "beside it"])
def test_an_image_of_another_ending_in_an_archive_is_no_copy_of_one_within(tmp_path, outside):
    source = tmp_path / "source"
    for number, name in enumerate(("2.jpg", "2.png", "3.png")):
        write_picture(tmp_path / "in" / name, seed=number)
    source.mkdir()
    with zipfile.ZipFile(source / "images.zip", "w") as archive:
        for path in sorted((tmp_path / "in").iterdir()):
            archive.write(path, path.name)
    for name in outside:
        shutil.copy(tmp_path / "in" / name, source / name)
    rows = [{"file_name": name, "diagnosis": "nv"} for name in ("2.jpg", "3.png")]
    write_csv(source / "metadata.csv", ("file_name", "diagnosis"), rows)
    config = IngestConfig(format="image_folder", options={"match": "name"}, on_error="reject", max_rejected=1)
    result = ingest(config, str(source), str(tmp_path / "out"))
    assert [item.file for item in result.rejected] == ([] if outside else ["images/2.png"])


def test_a_damaged_copy_is_a_row_that_cannot_be_used(tmp_path):
    source = tmp_path / "source"
    source.mkdir()
    for seed, name in enumerate(("a", "b")):
        write_picture(tmp_path / f"{name}.bmp", seed=seed)
    with zipfile.ZipFile(source / "images.zip", "w") as archive:
        for member in ("one/a.bmp", "two/a.bmp", "b.bmp"):
            archive.write(tmp_path / Path(member).name, member)
    data = bytearray((source / "images.zip").read_bytes())
    data[len("one/a.bmp") + 30 + 60] ^= 0xFF  # within the pixels of the first member, behind its header
    (source / "images.zip").write_bytes(data)
    rows = [{"file_name": name, "diagnosis": "nv"} for name in ("a.bmp", "b.bmp")]
    write_csv(source / "metadata.csv", ("file_name", "diagnosis"), rows)
    config = IngestConfig(format="image_folder", options={"match": "name"}, on_error="reject", max_rejected=1)
    result = ingest(config, str(source), str(tmp_path / "out"))
    assert result.accepted == 1
    assert "one of several images of this name cannot be read" in result.rejected[0].reason
