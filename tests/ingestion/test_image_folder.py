import json

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from lesiongen.dataset import Dataset
from lesiongen.errors import DataError, UsageError
from lesiongen.ingestion import IngestConfig, ingest
from lesiongen.ingestion.readers.image_folder import ImageFolderReader
from lesiongen.ingestion.rows import Rejection, Row
from lesiongen.records.provenance import is_synthetic

from . import miniatures
from .cases import rows_of

NAMES = ["images/a.png", "images/b.png", "images/c.png"]


def samples_of(source, output, **options):
    ingest(IngestConfig(format="image_folder", **options), str(source), str(output))
    return {sample.image_id: sample for sample in Dataset.open(str(output)).samples()}


def test_csv_with_everything(make_folder, tmp_path):
    table = (
        "file_name,image_id,lesion_id,patient_id,diagnosis,age,sex,site,skin_tone,skin_tone_scale,image_type,caption\n"
        'images/a.png,A,L1,P1,melanoma,85+,F,back,IV,Fitzpatrick,clinical: close-up,"a lesion, dark"\n'
        "images/b.png,B,L2,P2,nv,,,,,,,\n"
        "images/c.png,C,L3,P3,bkl,30,male,face,56,ddi,dermoscopic,\n"
    )
    samples = samples_of(make_folder(table, NAMES), tmp_path / "out", source_name="clinic", licence="CC BY 4.0")
    first = samples["A"]
    assert (first.diagnosis, first.original_diagnosis, first.age, first.sex) == ("mel", "melanoma", 85.0, "female")
    assert (first.skin_tone, first.skin_tone_scale, first.skin_tone_source) == ("4", "fitzpatrick", "metadata")
    assert (first.image_type, first.caption) == ("clinical", "a lesion, dark")
    assert (first.source, first.licence) == ("clinic", "CC BY 4.0")
    blank = samples["B"]
    assert (blank.age, blank.sex, blank.site, blank.skin_tone, blank.skin_tone_source) == (None,) * 5
    assert (samples["C"].skin_tone, samples["C"].skin_tone_scale) == ("56", "ddi")


def test_a_split_that_was_not_read_is_named_where_it_is_to_be_kept(make_folder, tmp_path):
    source = make_folder("file_name,dx,Subset\nimages/a.png,nv,train\nimages/b.png,nv,test\n", NAMES[:2])
    with pytest.raises(UsageError, match="no row of the source has one") as caught:
        samples_of(source, tmp_path / "out", keep_official_split=True)
    assert caught.value.hint == (
        "Column 'Subset' of metadata.csv is not read: --column split=Subset takes it for the split."
    )
    samples = samples_of(source, tmp_path / "out", keep_official_split=True, columns={"split": "Subset"})
    assert {name: sample.split for name, sample in samples.items()} == {"images/a": "train", "images/b": "test"}


def test_a_split_that_another_format_does_not_read_is_named_too(tmp_path):
    source = miniatures.ham10000(tmp_path / "in")
    path = source / "HAM10000_metadata.csv"
    rows = [row | {"split": "train"} for row in rows_of(path)]
    miniatures.write_csv(path, tuple(rows[0]), rows)
    with pytest.raises(UsageError) as caught:
        ingest(IngestConfig(format="ham10000", keep_official_split=True), str(source), str(tmp_path / "out"))
    assert "Column 'split' of HAM10000_metadata.csv is not read by --format ham10000." in caught.value.hint
    assert "--format image_folder" in caught.value.hint


def test_a_split_that_is_not_kept_is_told(make_folder, tmp_path):
    source = make_folder("file_name,dx,split\nimages/a.png,nv,train\nimages/b.png,nv,test\n", NAMES[:2])
    told = "metadata.csv: the column with a split is not read: --keep-official-split keeps it"
    for keep in (False, True):
        config = IngestConfig(format="image_folder", keep_official_split=keep)
        assert (told in ingest(config, str(source), str(tmp_path / str(keep))).notes) is not keep


def test_json_lines_and_parquet_say_the_same_as_csv(make_folder, tmp_path):
    import pandas as pd

    rows = [{"file_name": name, "dx": "nv", "age": age} for name, age in zip(NAMES, (40, None, 60), strict=True)]
    source = make_folder("\n".join(map(json.dumps, rows)), NAMES, table_name="metadata.jsonl")
    lines = samples_of(source, tmp_path / "lines")
    (source / "metadata.jsonl").unlink()
    pd.DataFrame(rows).to_parquet(source / "metadata.parquet")
    parquet = samples_of(source, tmp_path / "parquet")
    assert lines == parquet
    assert [lines[name].age for name in ("images/a", "images/b", "images/c")] == [40.0, None, 60.0]


def test_folders_of_splits_are_the_published_split(make_folder, tmp_path):
    source = make_folder("file_name,label\na.png,nv\n", ["train/a.png", "valid/b.png"])
    (source / "metadata.csv").rename(source / "train" / "metadata.csv")
    (source / "valid" / "metadata.csv").write_text("file_name,label\nb.png,mel\n")
    samples = samples_of(source, tmp_path / "out", keep_official_split=True)
    assert {name: sample.split for name, sample in samples.items()} == {"train/a": "train", "valid/b": "validation"}


def test_columns_can_be_named(make_folder, tmp_path):
    source = make_folder("path,dx_text,dx\nimages/a.png,nevus,histo\n", NAMES[:1])
    samples = samples_of(source, tmp_path / "out", columns={"file_name": "path", "diagnosis": "dx_text"})
    assert samples["images/a"].diagnosis == "nv"
    with pytest.raises(DataError, match="no column 'stage', which was given for 'site'"):
        samples_of(source, tmp_path / "o", columns={"file_name": "path", "diagnosis": "dx", "site": "stage"})
    with pytest.raises(UsageError, match="unknown canonical column 'colour'"):
        samples_of(source, tmp_path / "p", columns={"colour": "dx"})


def test_own_labels_can_be_kept(make_folder, tmp_path):
    source = make_folder("file_name,label\nimages/a.png,moon rash\n", NAMES[:1])
    with pytest.raises(DataError, match="label = 'moon rash': unknown diagnosis"):
        samples_of(source, tmp_path / "out")
    samples = samples_of(source, tmp_path / "kept", unknown_diagnosis="keep")
    assert samples["images/a"].diagnosis == "moon rash"


def test_lesions_counted_anew_for_each_patient_are_told_apart(make_folder, tmp_path):
    rows = "images/a.png,1,P1,nv\nimages/b.png,1,P2,nv\nimages/c.png,2,P2,nv\n"
    samples = samples_of(make_folder("file_name,lesion_id,patient_id,diagnosis\n" + rows, NAMES), tmp_path / "out")
    assert [samples[name[:-4]].lesion_id for name in NAMES] == ["P1/1", "P2/1", "2"]


@pytest.mark.parametrize(
    "name", ["../secret.png", "images/../../secret.png", "/etc/passwd", "..\\secret.png", "C:secret.png", ""]
)
def test_a_file_name_cannot_leave_its_folder(make_folder, tmp_path, name):
    source = make_folder(f"file_name,diagnosis\nimages/a.png,nv\n{name},nv\n", NAMES[:1])
    (tmp_path / "secret.png").write_bytes((source / "images/a.png").read_bytes())
    with pytest.raises(DataError, match="leaves the folder of its table|is an absolute path|image not found") as caught:
        samples_of(source, tmp_path / "out")
    assert "metadata.csv, row 3, file_name" in str(caught.value)


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        ({"skin_tone": "9", "skin_tone_scale": "fitzpatrick"}, "not on the Fitzpatrick scale"),
        ({"image_type": "x-ray"}, "neither dermoscopic nor clinical"),
        ({"skin_tone": "4.0"}, "4.0': has no scale: add --option skin_tone_scale=fitzpatrick"),
        ({"concepts": "{"}, "invalid report"),
        ({"concepts": '{"colour": {"value": ["red"], "source": "a guess"}}'}, "invalid report"),
    ],
)
def test_values_that_would_be_misread_are_refused(make_folder, tmp_path, cells, message):
    row = {"file_name": NAMES[0], "diagnosis": "nv", **cells}
    source = make_folder(json.dumps(row), NAMES[:1], table_name="metadata.jsonl")
    with pytest.raises(DataError, match=message):
        samples_of(source, tmp_path / "out")


def test_a_split_is_read_when_it_is_to_be_kept_and_may_be_anything_else(make_folder, tmp_path):
    source = make_folder("file_name,diagnosis,part\nimages/a.png,nv,fold 3\nimages/b.png,nv,fold 1\n", NAMES[:2])
    assert len(samples_of(source, tmp_path / "out", columns={"split": "part"})) == 2
    with pytest.raises(DataError, match="part = 'fold 3': is not one of train, validation, test"):
        samples_of(source, tmp_path / "kept", columns={"split": "part"}, keep_official_split=True)


def test_the_scale_of_a_whole_table_can_be_stated(make_folder, tmp_path):
    source = make_folder("file_name,diagnosis,fitzpatrick\nimages/a.png,nv,4.0\nimages/b.png,nv,\n", NAMES[:2])
    options = {"columns": {"skin_tone": "fitzpatrick"}, "options": {"skin_tone_scale": "fitzpatrick"}}
    samples = samples_of(source, tmp_path / "out", **options)
    tones = {(sample.skin_tone, sample.skin_tone_scale) for sample in samples.values()}
    assert tones == {("4", "fitzpatrick"), (None, None)}


def test_images_that_a_generator_drew_say_so_and_go_to_train(make_folder, tmp_path):
    table = "file_name,diagnosis,image_manipulation\nimages/a.png,nv,Synthetic\nimages/b.png,mel,synthetic\n"
    samples = samples_of(make_folder(table, NAMES[:2]), tmp_path / "out").values()
    assert [(is_synthetic(sample.provenance), sample.split) for sample in samples] == [(True, "train")] * 2


def test_a_missing_column_of_images_is_told_with_its_remedy(make_folder, tmp_path):
    source = make_folder("photo,diagnosis\nimages/a.png,nv\n", NAMES[:1])
    with pytest.raises(DataError, match=r"no column 'file_name'\n.*: photo, diagnosis.*--column file_name=NAME"):
        samples_of(source, tmp_path / "out")


def test_broken_lines_are_named(make_folder, tmp_path):
    text = '{"file_name": "images/a.png", "dx": "nv"}\n{"file_name"\n[1]\n'
    source = make_folder(text, NAMES[:1], table_name="metadata.jsonl")
    with pytest.raises(DataError) as caught:
        samples_of(source, tmp_path / "out")
    assert "metadata.jsonl, row 2: is not JSON" in str(caught.value)
    assert "metadata.jsonl, row 3: is not a JSON object" in str(caught.value)


def test_a_table_is_needed_and_one_is_enough(make_folder, tmp_path):
    source = make_folder("file_name,diagnosis\nimages/a.png,nv\n", NAMES[:1])
    (source / "metadata.jsonl").write_text('{"file_name": "images/a.png", "dx": "nv"}')
    with pytest.raises(DataError, match="holds 2 tables"):
        samples_of(source, tmp_path / "out")
    for name in ("metadata.csv", "metadata.jsonl"):
        (source / name).unlink()
    with pytest.raises(DataError, match=r"contains none of metadata\.csv"):
        samples_of(source, tmp_path / "out")


cell = st.one_of(
    st.sampled_from(["", "images/a.png", "../a.png", "nv", "mel", "45", "nan", "I", "fitzpatrick", '{"streaks": 1}']),
    st.text(max_size=12),
)
COLUMNS = ("file_name", "diagnosis", "age", "sex", "skin_tone", "skin_tone_scale", "split", "concepts", "lesion_id")


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(*[cell] * len(COLUMNS)), min_size=1, max_size=6))
def test_every_line_is_a_row_or_a_rejection(tmp_path_factory, rows):
    folder = tmp_path_factory.mktemp("any")
    (folder / "images").mkdir()
    (folder / "images" / "a.png").write_bytes(b"unread")
    lines = [json.dumps(dict(zip(COLUMNS, row, strict=True))) for row in rows]
    (folder / "metadata.jsonl").write_text("\n".join(lines))
    found = [
        item
        for item in ImageFolderReader(IngestConfig(format="image_folder")).read(miniatures.opened(folder))
        if getattr(item, "row", 0) is not None
    ]
    assert len(found) == len(rows)
    for item in found:
        assert isinstance(item, Rejection) or (isinstance(item, Row) and item.image_key == "images/a.png")


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=300))
def test_any_bytes_as_a_table_are_refused_in_words(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("bytes")
    for name in ("metadata.csv", "metadata.jsonl", "metadata.parquet"):
        (folder / name).write_bytes(data)
        try:
            assert all(
                isinstance(item, Rejection)
                for item in ImageFolderReader(IngestConfig(format="image_folder")).read(miniatures.opened(folder))
            )
        except DataError as error:
            assert "metadata" in str(error)
        (folder / name).unlink()


def test_a_blank_patient_does_not_part_a_lesion(make_folder, tmp_path):
    lesions = [(f"L{number}", patient) for number in range(30) for patient in (f"P{number}", "")]
    # the same lesion number with two known patients stays two lesions
    lesions += [("1", "A"), ("1", "B")]
    rows = [f"{index}.png,nv,{lesion},{patient}" for index, (lesion, patient) in enumerate(lesions)]
    source = make_folder(
        "\n".join(["file_name,dx,lesion_id,patient_id", *rows]), [f"{index}.png" for index in range(len(lesions))]
    )
    ingest(IngestConfig(format="image_folder"), str(source), str(tmp_path / "out"))
    table = Dataset.open(str(tmp_path / "out")).metadata(["lesion_id", "split"])
    assert set(table["lesion_id"]) == {f"L{number}" for number in range(30)} | {"A/1", "B/1"}
    assert (table.groupby("lesion_id")["split"].nunique() == 1).all()


def test_a_blank_patient_of_a_lesion_number_that_several_have_is_rejected(make_folder, tmp_path):
    table = "file_name,dx,lesion_id,patient_id\n0.png,nv,1,A\n1.png,nv,1,B\n2.png,nv,1,\n3.png,nv,2,\n4.png,nv,,\n"
    source = make_folder(table, [f"{index}.png" for index in range(5)])
    with pytest.raises(DataError) as caught:
        samples_of(source, tmp_path / "failed")
    assert "metadata.csv, row 4: names no patient, and several patients have a lesion 1" in str(caught.value)
    samples = samples_of(source, tmp_path / "out", on_error="reject", max_rejected=0.5)
    assert {name: sample.lesion_id for name, sample in samples.items()} == {"0": "A/1", "1": "B/1", "3": "2", "4": None}


def test_folders_named_by_diagnosis_need_no_table(make_folder, tmp_path):
    names = ["train/melanoma/a.png", "train/nevus/b.png", "test/nevus/c.png"]
    source = make_folder("", names)
    (source / "metadata.csv").unlink()
    samples = samples_of(source, tmp_path / "out", keep_official_split=True)
    assert {name: (sample.diagnosis, sample.split) for name, sample in samples.items()} == {
        "train/melanoma/a": ("mel", "train"),
        "train/nevus/b": ("nv", "train"),
        "test/nevus/c": ("nv", "test"),
    }
    (source / "d.png").write_bytes((source / names[0]).read_bytes())
    (source / "train" / "nevus" / "e.png").write_bytes(b"")
    with pytest.raises(DataError) as caught:
        samples_of(source, tmp_path / "again")
    assert "d.png: lies in no folder" in str(caught.value)
    assert "train/nevus/e.png: the image file is empty" in str(caught.value)


def test_a_table_of_any_name_whose_images_are_found_by_name(make_folder, tmp_path):
    table = "photo,histology\na,nevus\nb,melanoma\n"
    source = make_folder(table, NAMES[:2], table_name="export 2024.csv")
    columns = {"file_name": "photo", "diagnosis": "histology"}
    options = {"table": "export 2024.csv", "match": "stem"}
    samples = samples_of(source, tmp_path / "out", columns=columns, options=options)
    assert {name: sample.diagnosis for name, sample in samples.items()} == {"images/a": "nv", "images/b": "mel"}
    with pytest.raises(DataError, match="contains none of labels.csv"):
        samples_of(source, tmp_path / "o", columns=columns, options={"table": "labels.csv"})
    with pytest.raises(UsageError, match="option match = 'suffix' is not one of path, name, stem"):
        samples_of(source, tmp_path / "p", options={"match": "suffix"})
    with pytest.raises(UsageError, match="option 'images': the format image_folder does not have it"):
        samples_of(source, tmp_path / "q", options={"images": "derm"})


def test_images_that_lie_in_another_folder_are_told(make_folder, tmp_path):
    source = make_folder("file_name,dx\na.png,nevus\nb.png,melanoma\n", NAMES[:2])
    with pytest.raises(DataError) as caught:
        samples_of(source, tmp_path / "failed")
    assert f"2 of 2 rows of {source} cannot be used" in str(caught.value)
    assert "image not found, but images/a.png is there: add --option match=name" in str(caught.value)
    assert set(samples_of(source, tmp_path / "out", options={"match": "name"})) == {"images/a", "images/b"}


def test_images_of_folders_are_not_called_rows(make_folder, tmp_path):
    source = make_folder("", ["melanoma/a.png", "nevus/b.png"])
    (source / "metadata.csv").unlink()
    (source / "nevus" / "c.png").write_bytes(b"")
    with pytest.raises(DataError, match=f"^1 image of {source} cannot be used"):
        samples_of(source, tmp_path / "failed")


def test_a_rows_own_licence_wins_and_the_whole_has_the_strictest(make_folder, tmp_path):
    table = "file_name,dx,licence,attribution\nimages/a.png,nv,CC BY-NC 4.0,Ward 7\nimages/b.png,mel,,\n"
    samples = samples_of(make_folder(table, NAMES[:2]), tmp_path / "out", licence="CC BY 4.0", attribution="Clinic")
    assert (samples["images/a"].licence, samples["images/a"].attribution) == ("CC BY-NC 4.0", "Ward 7")
    assert (samples["images/b"].licence, samples["images/b"].attribution) == ("CC BY 4.0", "Clinic")
    manifest = Dataset.open(str(tmp_path / "out")).manifest
    assert (manifest.licence, manifest.attribution) == ("CC BY-NC 4.0", "Ward 7; Clinic")


def test_what_was_removed_from_the_files_is_counted_and_listed(make_folder, tmp_path):
    source = make_folder("file_name,dx\nimages/a.png,nv\nimages/b.png,mel\n", NAMES[:2])
    exif = Image.Exif()
    exif[0x013B] = "Dr. Anna Muster"
    with Image.open(source / NAMES[0]) as image:
        image.load()
    image.save(source / NAMES[0], exif=exif)
    result = ingest(IngestConfig(format="image_folder"), str(source), str(tmp_path / "out"))
    assert result.removed_metadata == {"EXIF name": 1}
    assert Dataset.open(str(tmp_path / "out")).manifest.origin.removed_metadata == {"EXIF name": 1}
    listed = (tmp_path / "out" / "removed_metadata.csv").read_text()
    assert listed.splitlines() == ["file,image_id,removed", "images/a.png,images/a,EXIF name"]


def test_near_duplicates_share_a_split(make_folder, tmp_path):
    rows = [f"{number}.png,nv\n{number}-turned.jpg,nv\n" for number in range(12)]
    source = make_folder("file_name,dx\n" + "".join(rows))
    for number in range(12):
        coarse = np.random.default_rng(number).integers(0, 255, (12, 12, 3), dtype=np.uint8)
        image = Image.fromarray(coarse).resize((160, 160), Image.Resampling.BICUBIC)
        image.save(source / f"{number}.png")
        image.rotate(90).resize((100, 100)).save(source / f"{number}-turned.jpg", quality=70)
    samples = samples_of(source, tmp_path / "out", split_fractions=(0.4, 0.3, 0.3))
    assert len({sample.split for sample in samples.values()}) == 3
    assert all(samples[str(number)].split == samples[f"{number}-turned"].split for number in range(12))


@pytest.mark.parametrize("with_table", [True, False])
def test_images_that_differ_in_their_ending_alone_are_two(make_folder, tmp_path, with_table):
    names = ["nv/1.png", "nv/2.jpg", "nv/2.png", "mel/2.jpg"]
    source = make_folder("\n".join(["file_name,dx", *(f"{name},{name.split('/')[0]}" for name in names)]), names)
    if not with_table:
        (source / "metadata.csv").unlink()
    assert set(samples_of(source, tmp_path / "out")) == {"nv/1", "nv/2.jpg", "nv/2.png", "mel/2"}


def test_images_whose_names_differ_in_their_endings_have_different_ids(make_folder, tmp_path):
    names = {"nv/2.jpg", "nv/2.png", "nv/2.jpg.png"}
    source = make_folder("", sorted(names))
    (source / "metadata.csv").unlink()
    assert set(samples_of(source, tmp_path / "out")) == names


@pytest.mark.parametrize("match", ["path", "name", "stem"])
def test_an_address_that_is_none_is_a_row_that_cannot_be_used(make_folder, tmp_path, match):
    source = make_folder("file_name,dx\nhttp://[1.png,nv\n", ["a.png"])
    with pytest.raises(DataError, match=r"row 2, file_name = 'http://\[1.png': is not a valid web address"):
        samples_of(source, tmp_path / "out", options={"match": match})


@pytest.mark.parametrize("address", ["https://x.org/files/a.png?size=2", "https://x.org/files/a"])
def test_an_address_names_a_file_though_names_have_no_ending(make_folder, tmp_path, address):
    source = make_folder(f"file_name,dx\n{address},nv\nb,nv\n", NAMES[:2])
    assert set(samples_of(source, tmp_path / "out", options={"match": "stem"})) == {"images/a", "images/b"}


@pytest.mark.parametrize("name", ["images\\a.png", ".\\images\\a.png", "images\\sub\\..\\a.png", "images/a.png"])
def test_a_table_of_windows_separates_folders_with_backslashes(make_folder, tmp_path, name):
    source = make_folder(f"file_name,dx\n{name},nv\n", NAMES[:1])
    if ".." in name:
        with pytest.raises(DataError, match="leaves the folder of its table"):
            samples_of(source, tmp_path / "out")
    else:
        assert set(samples_of(source, tmp_path / "out")) == {"images/a"}


@pytest.mark.parametrize("name", ["2020-01-01T10:00.png", "C:a.png", "a\\b.png"])
def test_colons_and_backslashes_may_belong_to_a_name(make_folder, tmp_path, name):
    source = make_folder(f"file_name,dx\n{name},nv\n", [name])
    assert len(samples_of(source, tmp_path / "out")) == 1


@pytest.mark.parametrize("name", ["C:\\Users\\x\\a.png", "c:/x/a.png", "/home/x/a.png", "\\\\server\\x\\a.png"])
def test_a_path_on_another_computer_is_refused_with_a_way_out(make_folder, tmp_path, name):
    source = make_folder(f"file_name,dx\n{name},nv\n", NAMES[:1])
    expected = "is an absolute path; give a path from the folder of the table, or add --option match=name"
    with pytest.raises(DataError, match=expected):
        samples_of(source, tmp_path / "out")
    assert set(samples_of(source, tmp_path / "named", options={"match": "name"})) == {"images/a"}


@pytest.mark.parametrize("ending", ["dcm", "HEIC", "nef"])
@pytest.mark.parametrize("match", ["stem", "name", "path", None])
def test_of_one_photograph_in_several_formats_the_one_that_is_read_is_taken(make_folder, tmp_path, match, ending):
    """As SIIM-ISIC 2020 has ``jpeg/train/X.jpg`` and ``train/X.dcm``, and telephones HEIC beside JPEG."""
    names = ["jpeg/nv/X1.jpg", "jpeg/nv/X2.jpg", "jpeg/mel/X3.jpg"]
    bare = match in ("stem", "name")
    cells = [name.split("/")[-1].removesuffix(".jpg" if match == "stem" else "") if bare else name for name in names]
    source = make_folder("\n".join(["file_name,dx", *(f"{cell},nv" for cell in cells)]), names)
    if match is None:
        (source / "metadata.csv").unlink()
    for name in names[:2]:
        other = (source / (name.removeprefix("jpeg/") if bare else name)).with_suffix(f".{ending}")
        other.parent.mkdir(exist_ok=True)
        other.write_bytes(b"0" * len(name))
    result = ingest(
        IngestConfig(format="image_folder", options={"match": match} if match else {}), str(source), str(tmp_path / "o")
    )
    folder = "nv" if bare else "jpeg/nv"
    assert (result.accepted, result.rejected) == (3, [])
    assert result.notes == [
        "2 files in formats that are not read, beside an image of the same name that is: "
        f"{folder}/X1.{ending}, for example",
        "No lesion_id and no patient_id: photographs of one patient may be in train and test",
    ]
    assert Dataset.open(str(tmp_path / "o")).manifest.origin.notes == tuple(result.notes)


def test_a_photograph_that_is_there_in_formats_alone_that_are_not_read_is_refused(make_folder, tmp_path):
    source = make_folder("file_name,dx\nX1,nv\n", [])
    for name in ("X1.dcm", "X1.heic"):
        (source / name).write_bytes(b"1" * len(name))
    with pytest.raises(DataError, match="several different images have this name: X1.dcm, X1.heic"):
        samples_of(source, tmp_path / "out", options={"match": "stem"})
