"""What goes wrong with real collections, tried on every format: the user is told where, and nothing half-made stays.

Each miniature is harmed in one way. ``Case`` says for a format which table, column and image are harmed.
"""

import csv
import shutil
import tempfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lesiongen.dataset import Dataset
from lesiongen.errors import DataError, StorageError
from lesiongen.imaging import decode
from lesiongen.ingestion import IngestConfig, ingest
from lesiongen.ingestion.formats import FORMATS
from lesiongen.storage import LocalStorage

from . import miniatures
from .cases import CASES, WITHOUT_HEADER, accepted, change, image_of, refused, rows_of


def test_every_format_is_tried():
    assert [case.format for case in CASES] == [name for name in FORMATS if name not in WITHOUT_HEADER]


def test_the_unharmed_miniature_is_taken_whole(case, source, tmp_path):
    result = accepted(case, source, tmp_path)
    assert result.accepted >= 8
    assert result.rejected == []


def test_what_systems_leave_beside_tables_and_images_does_not_matter(case, source, tmp_path):
    expected = accepted(case, source, tmp_path / "clean").accepted
    for path in (image_of(case, source), source / case.table):
        (path.parent / f"._{path.name}").write_bytes(b"\0\5\x16\7")
        for name in (".ipynb_checkpoints", "@eaDir", "__MACOSX"):
            (path.parent / name).mkdir(exist_ok=True)
            shutil.copy(path, path.parent / name)
    result = accepted(case, source, tmp_path)
    assert (result.accepted, result.rejected) == (expected, [])


def test_a_missing_table_is_named(case, source, tmp_path):
    (source / case.table).unlink()
    for further in source.rglob("*Metadata.csv"):
        further.unlink()
    shutil.rmtree(source / "meta", ignore_errors=True)
    message = refused(case, source, tmp_path)
    assert f"{source} contains n" in message
    assert "--format" in message


def test_an_unknown_label_is_named_with_row_and_value(case, source, tmp_path):
    change(source / case.table, 3, {case.diagnosis: "moon rash"})
    message = refused(case, source, tmp_path)
    assert f"{case.table}, row 5" in message
    assert f"{case.diagnosis} = 'moon rash'" in message


def test_an_id_that_is_there_twice_is_named(case, source, tmp_path):
    path = source / case.table
    rows = rows_of(path)
    miniatures.write_csv(path, tuple(rows[0]), [*rows, rows[4]])
    message = refused(case, source, tmp_path)
    assert f"{case.table}, row {len(rows) + 2}" in message


def test_an_image_without_a_row_is_named(case, source, tmp_path):
    miniatures.write_picture(image_of(case, source).with_name("stray.png"), seed=999)
    assert "stray.png: no row of" in refused(case, source, tmp_path)


def test_a_row_without_an_image_is_named_or_listed(case, source, tmp_path):
    image = image_of(case, source)
    image.unlink()
    if case.missing_is == "rejected":
        message = refused(case, source, tmp_path)
        assert f"{case.table}, row 4, {case.names} = " in message
    else:
        result = accepted(case, source, tmp_path)
        assert [(item.kind, item.row, item.column) for item in result.left_out] == [("missing", 4, case.names)]


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def cut(path: Path) -> None:
    miniatures.picture(7, (200, 150)).save(path)
    path.write_bytes(path.read_bytes()[:-2000])


def text(path: Path) -> None:
    path.write_text("this is no picture\n")


def animated(path: Path) -> None:
    miniatures.picture(1).save(path, "GIF", save_all=True, append_images=[miniatures.picture(2)])


def bomb(path: Path) -> None:
    Image.new("1", (10001, 10000)).save(path, "PNG")


def link_to_nothing(path: Path) -> None:
    path.unlink()
    path.symlink_to("gone")


@pytest.mark.parametrize(
    ("harm", "reason"),
    [
        (emptied, "0 bytes"),
        (cut, "truncated"),
        (text, "not an image"),
        (animated, "animated"),
        (bomb, "too large: 100,010,000 pixels"),
        (link_to_nothing, "is a link whose target does not exist"),
    ],
)
def test_an_image_that_cannot_be_used_is_named_and_can_be_left_out(case, source, tmp_path, harm, reason):
    harm(image_of(case, source))
    message = refused(case, source, tmp_path)
    assert f"{case.table}, row 4, {case.names} = " in message
    assert reason in message
    assert "--on-error reject" in message
    result = accepted(case, source, tmp_path, on_error="reject", max_rejected=0.2)
    assert {item.row for item in result.rejected} == {4}
    with (tmp_path / "out" / "rejected.csv").open(newline="") as file:
        assert [(row["row"], row["column"]) for row in csv.DictReader(file)] == [
            (str(item.row), item.column) for item in result.rejected
        ]


def cmyk(path: Path) -> None:
    miniatures.picture(1).convert("CMYK").save(path, "JPEG")


def wide_grey(path: Path) -> None:
    Image.fromarray(np.arange(600, dtype=np.uint16).reshape(20, 30) * 100).save(path, "PNG")


def palette(path: Path) -> None:
    miniatures.picture(1).convert("P").save(path, "PNG")


def transparent(path: Path) -> None:
    picture = miniatures.picture(1).convert("RGBA")
    picture.putalpha(128)
    picture.save(path, "PNG")


def test_images_of_other_kinds_arrive_as_rgb(case, source, tmp_path):
    expected = {}
    for number, kind in enumerate((cmyk, wide_grey, palette, transparent), start=2):
        path = image_of(case, source, number)
        kind(path)
        expected[number] = decode(path.read_bytes()).tobytes()
    assert accepted(case, source, tmp_path).rejected == []
    samples = list(Dataset.open(str(tmp_path / "out")).samples())
    pixels = {decode(sample.image).tobytes() for sample in samples}
    assert set(expected.values()) <= pixels
    assert all(sample.image.startswith((b"\xff\xd8", b"\x89PNG")) for sample in samples)


@pytest.mark.parametrize("name", ["../secret", "/etc/passwd", "..\\secret", "C:\\secret.png"])
def test_a_name_that_leads_elsewhere_is_refused(case, source, tmp_path, name):
    (tmp_path / "secret.png").write_bytes(image_of(case, source).read_bytes())
    change(source / case.table, 2, {case.names: name})
    message = refused(case, source, tmp_path, on_error="fail", max_missing=0)
    assert f"row 4, {case.names} = " in message


def test_names_are_unicode(case, source, tmp_path):
    image = image_of(case, source)
    name = "läsion é 皮肤"
    row = rows_of(source / case.table)[2]
    decomposed = "la\u0308sion e\u0301 皮肤"  # as macOS writes it
    image.rename(image.with_name(decomposed + image.suffix))
    change(source / case.table, 2, {case.names: row[case.names].replace(image.stem, name)})
    for further in source.rglob("*Metadata.csv"):
        further.write_text(further.read_text(encoding="utf-8").replace(image.stem, name), encoding="utf-8")
    result = accepted(case, source, tmp_path, on_error="reject", max_rejected=0.2)
    # Fitzpatrick17k's names are MD5 sums, so that there a name in letters is itself wrong.
    assert bool(result.rejected) == (case.format == "fitzpatrick17k")


def test_too_many_rejected_rows_leave_nothing(case, source, tmp_path):
    for number in (2, 3, 4):
        text(image_of(case, source, number))
    message = refused(case, source, tmp_path, on_error="reject")
    assert "At most 5% may be rejected (--max-rejected)" in message


def test_a_run_that_fails_by_many_rows_says_where_all_of_them_are_listed(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    source = tmp_path / "source"
    source.mkdir()
    rows = [{"file_name": f"{number}.png", "diagnosis": "nv"} for number in range(30)]
    miniatures.write_csv(source / "metadata.csv", ("file_name", "diagnosis"), rows)
    for _ in range(2):  # the second run removes the table of the first
        with pytest.raises(DataError) as caught:
            ingest(IngestConfig(format="image_folder", on_error="reject"), str(source), str(tmp_path / "out"))
    (table,) = tmp_path.glob("lesiongen-rows-*.csv")
    assert f"and 10 more; {table} lists all" in str(caught.value)
    assert [(row["row"], row["value"]) for row in rows_of(table)] == [
        (str(number + 2), f"{number}.png") for number in range(30)
    ]
    assert not (tmp_path / "out").exists()


def test_rejected_rows_are_listed_after_the_shards_and_for_this_attempt(tmp_path, monkeypatch):
    source = miniatures.image_folder(tmp_path / "source")
    config = IngestConfig(format="image_folder", on_error="reject", max_rejected=0.5)
    damaged = source / rows_of(source / "metadata.csv")[0]["file_name"]
    sound = damaged.read_bytes()
    damaged.write_bytes(b"")

    def fail(*arguments):
        raise StorageError("the disk is full")

    out = tmp_path / "out"
    with monkeypatch.context() as patched, pytest.raises(StorageError):
        patched.setattr(LocalStorage, "move_file", fail)
        ingest(config, str(source), str(out))
    assert not list(out.rglob("*"))
    with monkeypatch.context() as patched, pytest.raises(StorageError):
        patched.setattr(LocalStorage, "create_bytes", fail)  # of the manifest
        ingest(config, str(source), str(out))
    assert not list(tmp_path.rglob("*rejected.csv"))
    (out / "rejected.csv").parent.mkdir()
    (out / "rejected.csv").write_text("of an attempt that was killed\n")
    damaged.write_bytes(sound)
    assert ingest(config, str(source), str(out)).rejected == []
    assert not (out / "rejected.csv").exists()


def test_the_case_of_an_images_ending_does_not_matter(case, source, tmp_path):
    for path in [path for path in source.rglob("*") if path.suffix in (".jpg", ".png")]:
        path.rename(path.with_suffix(path.suffix.upper()))
    assert accepted(case, source, tmp_path).rejected == []


def test_an_image_that_may_lie_in_an_archive_or_behind_a_circular_link_is_told_so(case, source, tmp_path):
    if case.missing_is != "rejected":
        pytest.skip("rows without an image are usual there")
    image_of(case, source).unlink()
    (source / "more.rar").write_bytes(b"")
    assert "\n  more.rar: archives of this format are not read (.zip, .tar" in refused(case, source, tmp_path)
    (source / "more.rar").rename(source / "more.zip")
    assert "more.zip is damaged, or is not such an archive" in refused(case, source, tmp_path)
    (source / "more.zip").unlink()
    (source / "linked").symlink_to(tmp_path, target_is_directory=True)
    assert "\n  linked: a link to a folder around it is not followed" in refused(case, source, tmp_path)


def test_a_photograph_of_a_kind_that_is_not_read_is_told_and_not_passed_over(tmp_path):
    source = miniatures.image_folder(tmp_path / "source")
    shutil.move(source / "metadata.csv", tmp_path)
    for path in list(source.rglob("*.png"))[:1]:
        (source / "melanoma").mkdir()
        shutil.copy(path, source / "melanoma" / "a.png")
        (source / "melanoma" / "b.HEIC").write_bytes(path.read_bytes())
    for path in [path for path in source.rglob("*") if path.is_file() and path.parent.name != "melanoma"]:
        path.unlink()
    with pytest.raises(DataError, match=r"melanoma/b.HEIC: the image melanoma/b.HEIC is not a JPEG, .*: convert it"):
        ingest(IngestConfig(format="image_folder"), str(source), str(tmp_path / "out"))
