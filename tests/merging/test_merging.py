import io
import json
from pathlib import Path

import pytest
from PIL import Image

from lesiongen.dataset import Dataset, overlapping_classes
from lesiongen.errors import DataError, UsageError
from lesiongen.merging import PAGE_NAME, REPORT_NAME, MergeConfig, merge
from lesiongen.records.merge import DroppedImage


@pytest.fixture
def merged(tmp_path):
    def run(*datasets, **config):
        result = merge(MergeConfig(**config), [dataset.uri for dataset in datasets], str(tmp_path / "merged"))
        table = Dataset.open(str(tmp_path / "merged")).metadata().set_index("image_id")
        return table, result.report

    return run


def numbered(count, start=0, **values):
    return [{"image_id": str(number), "seed": start + number, **values} for number in range(count)]


def test_rows_keep_split_source_and_licence_and_the_whole_takes_the_strictest(collection, tmp_path, merged):
    a = collection("a", numbered(3, split="train"), licence="CC0-1.0")
    b = collection(
        "b", [{"image_id": f"b{n}", "seed": 50 + n, "split": "test"} for n in range(2)], licence="CC BY-NC 4.0"
    )
    table, report = merged(a, b)

    assert list(table.groupby("source")["split"].unique().map(list)) == [["train"], ["test"]]
    assert list(table.groupby("source")["licence"].unique().map(list)) == [["CC0-1.0"], ["CC BY-NC 4.0"]]
    manifest = Dataset.open(str(tmp_path / "merged")).manifest
    assert manifest.licence == "CC BY-NC 4.0"
    assert manifest.attribution == "a; b"
    assert manifest.origin.sources == {
        "a": {"train": 3, "validation": 0, "test": 0},
        "b": {"train": 0, "validation": 0, "test": 2},
    }
    assert [one.version for one in manifest.origin.datasets] == [a.manifest.version, b.manifest.version]
    assert json.loads((tmp_path / "merged" / REPORT_NAME).read_text()) == report.content()
    assert "CC BY-NC 4.0" in (tmp_path / "merged" / PAGE_NAME).read_text()


def test_ids_are_told_apart_only_where_two_collections_use_them(collection, merged):
    a = collection("a", numbered(2, lesion_id="L1", patient_id="P1"))
    b = collection(
        "b", [{"image_id": "1", "seed": 60, "lesion_id": "L1"}, {"image_id": "9", "seed": 61, "lesion_id": "L2"}]
    )
    table, report = merged(a, b)

    assert sorted(table.index) == ["0", "9", "a/1", "b/1"]
    assert dict(table["lesion_id"]) == {"0": "a/L1", "a/1": "a/L1", "b/1": "b/L1", "9": "L2"}
    assert set(table["patient_id"].dropna()) == {"P1"}
    assert report.renamed == {"image_id": 2, "lesion_id": 3, "patient_id": 0, "case_id": 0}


def test_folders_whose_owner_gave_no_name_are_different_collections(collection, merged):
    rows = [{"source": "image_folder", "patient_id": "1"}]
    a = collection("a", [rows[0] | {"image_id": "x", "seed": 1, "split": "train"}])
    b = collection("b", [rows[0] | {"image_id": "x", "seed": 2, "split": "test"}])
    table, report = merged(a, b)

    assert dict(table["source"]) == {"a/x": "a", "b/x": "b"}
    assert set(table["patient_id"]) == {"a/1", "b/1"}
    assert not report.dropped


def stored(image: Image.Image, form: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


COPIES = {
    "same file": stored,
    "mirrored": lambda image: stored(image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)),
    "turned": lambda image: stored(image.transpose(Image.Transpose.ROTATE_90)),
    "small and coded again": lambda image: stored(image.resize((58, 58)), "JPEG", quality=70),
}


@pytest.mark.parametrize("kind", COPIES)
def test_a_copy_in_another_set_is_left_out(kind, collection, merged):
    a = collection("a", numbered(4))
    b = collection("b", [{"image_id": "copy", "seed": 2, "copy": COPIES[kind]}, {"image_id": "own", "seed": 90}])
    table, report = merged(a, b)

    assert sorted(table.index) == ["0", "1", "2", "3", "own"]
    assert report.dropped == (DroppedImage(dataset="b", image_id="copy", split="train", reason="copy of a/2"),)
    (pair,) = report.duplicates
    assert (pair.image, pair.copied, pair.kept) == ("a/2", "b/copy", "a/2")
    assert pair.kind == ("exact" if kind == "same file" else "near")


def test_what_belongs_to_a_copy_in_a_stricter_split_leaves_the_other_splits(collection, merged):
    """Image 1 of a is in b's test split: neither it nor its lesion's other image may stay in train."""
    lesion = [{"image_id": "1", "seed": 1, "lesion_id": "L"}, {"image_id": "sibling", "seed": 40, "lesion_id": "L"}]
    a = collection("a", [*lesion, {"image_id": "free", "seed": 41}])
    b = collection("b", [{"image_id": "t", "seed": 1, "split": "test"}, {"image_id": "u", "seed": 42, "split": "test"}])
    table, report = merged(a, b)

    assert dict(table["split"]) == {"free": "train", "t": "test", "u": "test"}
    assert {row.image_id: row.reason for row in report.dropped} == {
        "1": "belongs to images in test",
        "sibling": "belongs to images in test",
    }
    assert report.leaks == 1
    assert report.leaks_kept == 0


def test_a_patient_of_one_collection_in_two_datasets_is_not_parted(collection, merged):
    a = collection("a", [{"image_id": "1", "seed": 1, "source": "pad", "patient_id": "P", "split": "train"}])
    b = collection("b", [{"image_id": "2", "seed": 2, "source": "pad", "patient_id": "P", "split": "validation"}])
    table, _ = merged(a, b)
    assert dict(table["split"]) == {"2": "validation"}


@pytest.mark.parametrize(
    ("sources", "column"),
    [(("isic2020", "isic_archive"), "patient_id"), (("ham10000", "isic2018"), "lesion_id")],
)
def test_ids_of_the_isic_archive_mean_the_same_in_all_of_its_collections(collection, merged, sources, column):
    a = collection("a", [{"image_id": "1", "seed": 1, "source": sources[0], column: "I", "split": "train"}])
    rows = [{"image_id": "2", "seed": 2, "source": sources[1], column: "I", "split": "test"}]
    table, report = merged(a, collection("b", rows))

    assert dict(table["split"]) == {"2": "test"}
    assert dict(table["source"]) == {"2": sources[1]}
    assert (report.leaks, report.leaks_kept) == (1, 0)


def test_all_is_kept_where_asked_and_the_leak_is_said(collection, merged):
    a = collection("a", [{"image_id": "1", "seed": 1, "diagnosis": "nv"}])
    b = collection("b", [{"image_id": "1", "seed": 1, "diagnosis": "mel", "split": "test"}])
    table, report = merged(a, b, duplicates="keep")

    assert sorted(table.index) == ["a/1", "b/1"]
    assert (report.leaks_kept, report.label_conflicts) == (1, 1)
    assert report.duplicates[0].kept == "both"


def test_images_of_one_name_in_two_versions_of_a_collection_are_told_apart(collection, merged):
    a = collection("a", [{"image_id": "1", "seed": 1, "source": "isic"}])
    b = collection("b", [{"image_id": "1", "seed": 2, "source": "isic"}])
    table, _ = merged(a, b)
    assert sorted(table.index) == ["a/1", "b/1"]
    assert set(table["source"]) == {"isic"}


def test_shared_images_can_be_refused_and_nothing_is_left(collection, merged, tmp_path):
    a, b = collection("a", numbered(2)), collection("b", numbered(1, 1))
    with pytest.raises(DataError, match=r"share 1 images: a/1 = b/0"):
        merged(a, b, duplicates="fail")
    assert not (tmp_path / "merged").exists()


def test_two_photographs_within_one_set_are_its_own_matter(collection, merged):
    a = collection("a", [{"image_id": "1", "seed": 1}, {"image_id": "2", "seed": 1}])
    table, report = merged(a, collection("b", numbered(1, 30)))
    assert len(table) == 3
    assert not report.duplicates


def test_the_output_lies_apart_from_the_datasets(collection, tmp_path):
    datasets = [collection("a", numbered(2)).uri, collection("b", numbered(2, 3)).uri]
    for output in (datasets[0], f"{datasets[1]}/x", str(tmp_path)):
        with pytest.raises(UsageError, match="is the dataset .*, or is inside it, or contains it"):
            merge(MergeConfig(), datasets, output)


def test_the_same_dataset_twice_or_one_alone_is_refused(collection, tmp_path):
    a = collection("a", numbered(2))
    for uris, words in (([a.uri], "two datasets or more"), ([a.uri, a.uri], "are the same dataset")):
        with pytest.raises(UsageError, match=words):
            merge(MergeConfig(), uris, str(tmp_path / "merged"))


def test_an_image_that_cannot_be_decoded_is_named(collection, tmp_path):
    a, b = collection("a", numbered(1)), collection("b", [{"image_id": "broken", "image": b"no image"}])
    with pytest.raises(DataError, match="image_id = broken: not an image"):
        merge(MergeConfig(), [a.uri, b.uri], str(tmp_path / "merged"))
    assert not (tmp_path / "merged").exists()


def test_pictures_of_patients_are_left_out_of_the_page_where_asked(collection, merged, tmp_path):
    for shown in (True, False):
        a, b = collection(f"a{shown}", numbered(2)), collection(f"b{shown}", numbered(1, 1))
        page = Path(tmp_path / f"out{shown}" / PAGE_NAME)
        merge(MergeConfig(allow_real_images=shown), [a.uri, b.uri], str(page.parent))
        assert ("data:image/" in page.read_text()) == shown


def test_benign_beside_exact_diagnoses_is_warned_of():
    assert overlapping_classes(["nv", "mel"]) is None
    assert overlapping_classes(["benign", "malignant"]) is None
    text = overlapping_classes(["nv", "malignant", "benign", "mel", "bcc", "df"])
    assert text.startswith("Classes benign and malignant beside exact diagnoses (bcc, df, mel, …): images of one")
