"""The whole stage on small collections: what goes in, what comes out, what stops it."""

import csv
import io
import json

import pytest
from PIL import Image

from lesiongen import limits
from lesiongen.dataset import Dataset
from lesiongen.errors import DataError, UsageError
from lesiongen.imaging import decode
from lesiongen.ingestion import IngestConfig, ingest
from lesiongen.parallel import _SharedWork

HAM = IngestConfig(format="ham10000")
FOLDER = IngestConfig(format="image_folder")


def test_ham10000_arrives_whole(make_ham, tmp_path):
    source = make_ham()
    result = ingest(HAM, str(source), str(tmp_path / "out"))
    dataset = Dataset.open(str(tmp_path / "out"))
    assert result.accepted == 36
    assert result.rejected == []
    assert result.dataset == dataset.reference()
    assert dataset.manifest.name == source.name
    samples = {sample.image_id: sample for sample in dataset.samples()}
    sample = samples["ISIC_4"]
    assert (sample.diagnosis, sample.original_diagnosis, sample.lesion_id) == ("mel", "mel", "HAM_1")
    assert (sample.age, sample.sex, sample.site, sample.image_type) == (45.0, "female", "back", "dermoscopic")
    assert sample.licence == "CC BY-NC 4.0"
    assert "Tschandl" in sample.attribution
    assert sample.skin_tone is None
    # a plain JPEG is kept byte for byte
    assert sample.image == (source / "HAM10000_images_part_1" / "ISIC_4.jpg").read_bytes()


def test_what_leaks_the_label_stays_outside(make_ham, tmp_path):
    ingest(HAM, str(make_ham()), str(tmp_path / "out"))
    table = Dataset.open(str(tmp_path / "out")).metadata()
    assert not any("histo" in str(value) for value in table.to_numpy().ravel())


def test_a_lesion_is_never_parted_and_every_class_is_everywhere(make_ham, tmp_path):
    ingest(HAM, str(make_ham(90)), str(tmp_path / "out"))
    table = Dataset.open(str(tmp_path / "out")).metadata(["lesion_id", "diagnosis", "split"])
    assert (table.groupby("lesion_id")["split"].nunique() == 1).all()
    assert (table.groupby("split")["diagnosis"].nunique() == 3).all()


def test_the_bytes_that_processes_are_given_are_bounded(make_ham, tmp_path, monkeypatch):
    source, given = make_ham(), []
    largest = max(path.stat().st_size for path in source.rglob("*.jpg"))

    class Counted(_SharedWork):
        def add(self, item, size):
            super().add(item, size)
            given.append(self.size)

    monkeypatch.setattr("lesiongen.parallel._SharedWork", Counted)
    monkeypatch.setattr("lesiongen.ingestion.loading.SMALL", 0)
    monkeypatch.setattr("lesiongen.ingestion.loading.BATCH_FILES", 1)
    monkeypatch.setattr(limits, "MAX_BYTES_AHEAD", 3 * largest)
    monkeypatch.setenv("LOKY_MAX_CPU_COUNT", "2")
    assert ingest(HAM, str(source), str(tmp_path / "out")).accepted == len(given) == 36
    assert largest < max(given) <= 3 * largest


def test_equal_pixels_share_a_split_whatever_the_name_lesion_and_file(make_ham, tmp_path):
    source = make_ham(60)
    images = source / "HAM10000_images_part_1"
    for first, second in ((0, 30), (3, 33), (6, 36), (9, 39), (12, 42)):
        with Image.open(images / f"ISIC_{first}.jpg") as image:
            image.save(images / f"ISIC_{second}.png")
        (images / f"ISIC_{second}.jpg").unlink()
    for seed in range(3):
        config = IngestConfig(format="ham10000", seed=seed)
        ingest(config, str(source), str(tmp_path / f"out{seed}"))
        splits = Dataset.open(str(tmp_path / f"out{seed}")).metadata(["image_id", "split"])
        of = dict(zip(splits["image_id"], splits["split"], strict=True))
        for first, second in ((0, 30), (3, 33), (6, 36), (9, 39), (12, 42)):
            assert of[f"ISIC_{first}"] == of[f"ISIC_{second}"]


def test_the_same_source_and_seed_give_the_same_version(make_ham, tmp_path):
    source = make_ham()
    versions = {ingest(HAM, str(source), str(tmp_path / name)).dataset.version for name in ("a", "b")}
    other = ingest(IngestConfig(format="ham10000", seed=1), str(source), str(tmp_path / "c"))
    assert len(versions) == 1
    assert other.dataset.version not in versions


def test_a_limit_draws_from_the_whole_table(make_ham, tmp_path):
    config = IngestConfig(format="ham10000", limit=20)
    result = ingest(config, str(make_ham(90)), str(tmp_path / "out"))
    numbers = [int(name[5:]) for name in Dataset.open(str(tmp_path / "out")).metadata()["image_id"]]
    assert result.accepted == 20
    assert max(numbers) > 60


def truncated(path):
    path.write_bytes(path.read_bytes()[:-400])


def text(path):
    path.write_text("this is no picture\n")


def emptied(path):
    path.write_bytes(b"")


def bomb(path):
    Image.new("1", (10001, 10000)).save(path, "PNG")


def linked_to_nothing(path):
    path.unlink()
    path.symlink_to("gone.jpg")


@pytest.mark.parametrize(
    ("harm", "reason"),
    [
        (truncated, "truncated"),
        (text, "not an image"),
        (emptied, "0 bytes"),
        (bomb, "too large: 100,010,000 pixels"),
        (linked_to_nothing, "is a link whose target does not exist"),
    ],
)
def test_an_unusable_image_is_named_with_its_row(make_ham, tmp_path, harm, reason):
    source = make_ham()
    harm(source / "HAM10000_images_part_1" / "ISIC_7.jpg")
    with pytest.raises(DataError) as caught:
        ingest(HAM, str(source), str(tmp_path / "out"))
    message = str(caught.value)
    assert "1 of 36 rows" in message
    assert "HAM10000_metadata.csv, row 9, image_id = 'ISIC_7'" in message
    assert reason in message
    assert "--on-error reject" in message
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("change", "column", "reason"),
    [
        ({"dx": "nevvus"}, "dx = 'nevvus'", "unknown diagnosis"),
        ({"dx": ""}, "dx = ''", "is blank"),
        ({"age": "old"}, "age = 'old'", "not an age in years"),
        ({"age": "-5"}, "age = '-5'", "not an age in years"),
        ({"sex": "3"}, "sex = '3'", "neither male nor female"),
        ({"lesion_id": ""}, "lesion_id = ''", "could not be kept together"),
        ({"image_id": "ISIC_999"}, "image_id = 'ISIC_999'", "image not found"),
        ({"image_id": "ISIC_0"}, "image_id = 'ISIC_0'", "duplicate image_id 'ISIC_0', first used in row 2"),
    ],
)
def test_a_wrong_value_is_named(make_ham, tmp_path, change, column, reason):
    with pytest.raises(DataError) as caught:
        ingest(HAM, str(make_ham(changes={5: change})), str(tmp_path / "out"))
    assert f"HAM10000_metadata.csv, row 7, {column}" in str(caught.value)
    assert reason in str(caught.value)


def test_an_image_without_a_row_is_named(make_ham, tmp_path):
    source = make_ham()
    table = (source / "HAM10000_metadata.csv").read_text().splitlines(keepends=True)
    (source / "HAM10000_metadata.csv").write_text("".join(table[:-1]))
    with pytest.raises(DataError, match=r"ISIC_35\.jpg: no row of HAM10000_metadata\.csv names this image"):
        ingest(HAM, str(source), str(tmp_path / "out"))


def test_images_without_a_row_are_not_listed_where_every_row_failed(make_ham, tmp_path):
    source = make_ham(4, changes={number: {"dx": "nevvus", "image_id": f"{number}.jpg"} for number in range(4)})
    with pytest.raises(DataError) as caught:
        ingest(HAM, str(source), str(tmp_path / "out"))
    assert "4 of 4 rows of" in str(caught.value)
    assert "names this image" not in str(caught.value)
    with (source / "HAM10000_metadata.csv").open("a") as file:
        file.write("HAM_9,ISIC_0,nv,histo,45,female,back\n")
    with pytest.raises(DataError, match=r"4 of 5 rows and 3 images of") as caught:
        ingest(HAM, str(source), str(tmp_path / "out"))
    assert "ISIC_1.jpg: no row of HAM10000_metadata.csv names this image" in str(caught.value)


def test_unknown_words_become_null(make_ham, tmp_path):
    source = make_ham(changes={0: {"sex": "unknown", "age": "", "localization": "unknown"}})
    ingest(HAM, str(source), str(tmp_path / "out"))
    sample = next(s for s in Dataset.open(str(tmp_path / "out")).samples() if s.image_id == "ISIC_0")
    assert (sample.sex, sample.age, sample.site) == (None, None, None)


def test_rejected_rows_are_listed_beside_the_dataset(make_ham, tmp_path):
    source = make_ham(changes={5: {"dx": "=cmd|'/c calc'"}})
    truncated(source / "HAM10000_images_part_1" / "ISIC_7.jpg")
    config = IngestConfig(format="ham10000", on_error="reject", max_rejected=0.1)
    result = ingest(config, str(source), str(tmp_path / "out"))
    assert result.accepted == 34
    assert [item.row for item in result.rejected] == [7, 9]
    with (tmp_path / "out" / "rejected.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["row"] for row in rows] == ["7", "9"]
    assert rows[0]["value"] == "'=cmd|'/c calc'"
    assert "truncated" in rows[1]["reason"]
    assert len(Dataset.open(str(tmp_path / "out"))) == 34


def test_rejected_rows_of_the_table_do_not_count_against_the_few_that_are_drawn(make_ham, tmp_path):
    source = make_ham(90, changes={number: {"dx": "x"} for number in range(3)})
    config = IngestConfig(format="ham10000", on_error="reject", limit=10)
    result = ingest(config, str(source), str(tmp_path / "out"))
    assert (result.accepted, len(result.rejected)) == (10, 3)
    for path in (source / "HAM10000_images_part_1").iterdir():
        truncated(path)
    with pytest.raises(DataError, match="10 of 10 rows"):
        ingest(config, str(source), str(tmp_path / "none"))


def test_unknown_diagnoses_are_counted_by_value_and_the_flag_is_named_once(make_ham, tmp_path):
    labels = {number: {"dx": "moon rash" if number < 27 else "sun rash"} for number in range(29)}
    source = make_ham(changes=labels | {30: {"age": "old"}})
    with pytest.raises(DataError) as caught:
        ingest(IngestConfig(format="ham10000"), str(source), str(tmp_path / "out"))
    message = str(caught.value)
    assert "30 of 36 rows" in message
    assert "HAM10000_metadata.csv, row 2, dx = 'moon rash': unknown diagnosis (27 rows)" in message
    assert "HAM10000_metadata.csv, row 29, dx = 'sun rash': unknown diagnosis (2 rows)" in message
    assert "row 32, age = 'old'" in message
    assert message.count("--unknown-diagnosis keep") == 1
    assert " more; " not in message


def test_too_many_rejected_rows_fail(make_ham, tmp_path):
    source = make_ham(changes={number: {"age": f"old {number}"} for number in range(30)})
    with pytest.raises(DataError) as caught:
        ingest(IngestConfig(format="ham10000", on_error="reject"), str(source), str(tmp_path / "out"))
    message = str(caught.value)
    assert "30 of 36 rows" in message
    assert message.count("is not an age in years") == 20
    assert "and 10 more" in message
    assert "--unknown-diagnosis" not in message
    assert "At most 5%" in message
    assert not (tmp_path / "out").exists()


def test_rows_with_one_wrong_value_share_a_line(make_ham, tmp_path):
    source = make_ham(changes={number: {"age": "old"} for number in range(30)})
    with pytest.raises(DataError) as caught:
        ingest(HAM, str(source), str(tmp_path / "out"))
    assert str(caught.value).count("is not an age in years") == 1
    assert "age = 'old': is not an age in years between 0 and 120 (30 rows)" in str(caught.value)


@pytest.mark.parametrize(
    ("table", "message", "hint"),
    [
        (None, "contains no table HAM10000_metadata.csv", "right --format"),
        ("", "has no column 'lesion_id'", "nothing at all"),
        ("lesion_id,image_id,dx,age,sex\n", "has no column 'localization'", "It has: lesion_id, image_id"),
        ("lesion_id;image_id;dx;age;sex;localization\n", "separated by semicolons", "with commas"),
        ("lesion_id,image_id,dx,dx,age,sex,localization\n", "two columns named 'dx'", "Rename"),
        ("lesion_id,image_id,dx,age,sex,localization\n", "0 rows|no row", ""),
        ("lesion_id,image_id,dx,age,sex,localization\n\xff\xfe", "not UTF-8", "UTF-8"),
    ],
)
def test_a_table_that_cannot_be_understood(tmp_path, table, message, hint):
    source = tmp_path / "source"
    source.mkdir()
    if table is not None:
        (source / "HAM10000_metadata.csv").write_bytes(table.encode("latin-1"))
    with pytest.raises(DataError, match=message) as caught:
        ingest(HAM, str(source), str(tmp_path / "out"))
    assert hint in str(caught.value)


def test_a_byte_order_mark_and_a_short_row(make_ham, tmp_path):
    source = make_ham()
    path = source / "HAM10000_metadata.csv"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"\xef\xbb\xbf" + b"".join(lines[:-1]) + b"HAM_11,ISIC_35,nv\r\n")
    with pytest.raises(DataError, match="row 37: has 3 cells, the header has 7 columns"):
        ingest(HAM, str(source), str(tmp_path / "out"))


def test_the_table_as_the_dataverse_names_it(make_ham, tmp_path):
    source = make_ham()
    (source / "HAM10000_metadata.csv").rename(source / "HAM10000_metadata")
    assert ingest(HAM, str(source), str(tmp_path / "out")).accepted == 36
    tabs = (source / "HAM10000_metadata").read_text().replace(",", "\t")
    (source / "HAM10000_metadata").unlink()
    (source / "HAM10000_metadata.tab").write_text(tabs)
    assert ingest(HAM, str(source), str(tmp_path / "tabs")).accepted == 36


def test_doubled_image_folders_are_one_and_different_images_of_one_name_are_refused(make_ham, tmp_path):
    source = make_ham()
    second = source / "HAM10000_images_part_2"
    second.mkdir()
    original = source / "HAM10000_images_part_1" / "ISIC_3.jpg"
    (second / "ISIC_3.jpg").write_bytes(original.read_bytes())
    assert ingest(HAM, str(source), str(tmp_path / "out")).accepted == 36
    (second / "ISIC_3.jpg").write_bytes(original.read_bytes() + b"\0")
    with pytest.raises(DataError, match="several different images have this name"):
        ingest(HAM, str(source), str(tmp_path / "out2"))


def test_a_dataset_is_not_overwritten(make_ham, tmp_path):
    source = make_ham()
    version = ingest(HAM, str(source), str(tmp_path / "out")).dataset.version
    with pytest.raises(UsageError, match="already holds a dataset"):
        ingest(HAM, str(source), str(tmp_path / "out"))
    assert Dataset.open(str(tmp_path / "out")).manifest.version == version


def test_isic_keeps_the_experts_marks_and_the_published_split_on_request(tmp_path, make_folder):
    table = (
        "image_id,split,dx,dx_ham,age,sex,pigment_network,negative_network,streaks,milia_like_cyst,globules\n"
        "A,train,sk,bkl,55,female,1,0,,0,1\nB,valid,mel,mel,,unknown,,,,,\nC,test,nv,nv,30,male,0,0,0,0,0\n"
    )
    source = make_folder(table, ["images/A.png", "images/B.png", "images/C.png", "images/A_superpixels.png"])
    ingest(IngestConfig(format="isic", keep_official_split=True), str(source), str(tmp_path / "out"))
    samples = {sample.image_id: sample for sample in Dataset.open(str(tmp_path / "out")).samples()}
    assert {name: sample.split for name, sample in samples.items()} == {"A": "train", "B": "validation", "C": "test"}
    patterns = json.loads(samples["A"].concepts)["patterns"]
    assert patterns["source"] == "expert"
    assert len(patterns["value"]) == 2
    assert sorted(patterns["evidence"].values()) == [0.0, 0.0, 1.0, 1.0]
    assert samples["B"].concepts is None
    assert (samples["A"].diagnosis, samples["A"].original_diagnosis) == ("bkl", "sk")
    assert samples["A"].licence == "CC0-1.0"


def test_a_published_split_that_is_not_there_cannot_be_kept(make_ham, tmp_path, monkeypatch):
    monkeypatch.setattr("lesiongen.ingestion.stage.load_images", lambda *_: pytest.fail("an image was read"))
    with pytest.raises(UsageError, match="no row of the source has one"):
        ingest(IngestConfig(format="ham10000", keep_official_split=True), str(make_ham()), str(tmp_path / "out"))


def test_images_lose_exif_and_comments_but_not_pixels(make_folder, tmp_path):
    names = ["a.png", "b.png", "c.png"]
    source = make_folder("file_name,diagnosis\na.jpg,nv\nb.png,mel\nc.png,bkl\n", names)
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x013B] = "Dr. Anna Muster"
    with Image.open(source / "a.png") as image:
        turned = image.convert("RGB")
    turned.save(source / "a.jpg", exif=exif, comment=b"patient 4711")
    (source / "a.png").unlink()
    expected = decode((source / "a.jpg").read_bytes())
    ingest(FOLDER, str(source), str(tmp_path / "out"))
    sample = next(s for s in Dataset.open(str(tmp_path / "out")).samples() if s.image_id == "a")
    assert b"Muster" not in sample.image
    assert b"4711" not in sample.image
    with Image.open(io.BytesIO(sample.image)) as kept:
        assert kept.format == "PNG"
        assert kept.size == (18, 24)
        assert kept.tobytes() == expected.tobytes()


def test_s3_to_s3(make_ham, tmp_path, s3_root):
    from lesiongen.storage import open_storage

    open_storage(f"{s3_root}/source").upload_folder(make_ham())
    result = ingest(HAM, f"{s3_root}/source", f"{s3_root}/out")
    assert result.dataset.uri.startswith("s3://")
    assert len(list(Dataset.open(f"{s3_root}/out").samples())) == 36


def test_the_real_ham10000_subset(shared_data, tmp_path):
    config = IngestConfig(format="ham10000", limit=300)
    result = ingest(config, str(shared_data / "ham10000_subset"), str(tmp_path / "out"))
    assert result.accepted == 300
    assert sorted(result.dataset.classes) == ["akiec", "bcc", "bkl", "df", "mel", "nv", "vasc"]


def test_the_real_twins_of_isic_2017_share_a_split(shared_data, tmp_path):
    ingest(IngestConfig(format="isic"), str(shared_data / "isic2017"), str(tmp_path / "out"))
    table = Dataset.open(str(tmp_path / "out")).metadata(["image_id", "split"]).set_index("image_id")["split"]
    assert table["ISIC_0012127"] == table["ISIC_0012970"]
