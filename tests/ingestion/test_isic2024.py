"""ISIC 2024 (SLICE-3D): Kaggle's table, the challenge's own tables, and images in HDF5."""

import sys
import zipfile

import pytest

from lesiongen.dataset import Dataset
from lesiongen.errors import DataError, UsageError
from lesiongen.ingestion import IngestConfig, ingest

from . import miniatures

CLASSES = {"benign", "mel", "nv", "akiec", "bcc", "bkl"}


def ingested(source, output, **config):
    result = ingest(IngestConfig(format="isic2024", **config), str(source), str(output))
    return result, {sample.image_id: sample for sample in Dataset.open(str(output)).samples()}


def into_hdf5(source, name="train-image.hdf5", *, keep=()):
    """Moves the images of a miniature into an HDF5 file, each the bytes of its JPEG file."""
    h5py = pytest.importorskip("h5py")
    import numpy as np

    with h5py.File(source / name, "w") as file:
        for path in sorted(source.rglob("*.jpg")):
            if path.stem not in keep:
                file.create_dataset(path.stem, data=np.bytes_(path.read_bytes()))
                path.unlink()
    return source


def test_kaggles_table_with_jpeg_files(tmp_path):
    result, samples = ingested(miniatures.isic2024(tmp_path / "in"), tmp_path / "out")
    assert (result.accepted, result.left_out) == (18, [])
    assert {sample.diagnosis for sample in samples.values()} == CLASSES
    first, second = samples["ISIC_0000000"], samples["ISIC_0000001"]
    assert (first.diagnosis, first.original_diagnosis) == ("benign", "Benign")
    assert second.original_diagnosis.endswith("::Melanoma Invasive")
    assert (second.patient_id, second.lesion_id, second.age, second.sex) == ("IP_0000000", "IL_0000001", 60.0, "male")
    assert (second.site, second.image_type) == ("posterior torso", "clinical")
    assert (first.licence, second.licence) == ("CC BY 4.0", "CC BY-NC 4.0")
    assert first.split == second.split
    kept = str(list(samples.values()))
    assert not any(leak in kept for leak in ("20.24", "97.5", "0.4'", "3.04", "3D: XP"))
    assert Dataset.open(str(tmp_path / "out")).manifest.licence == "CC BY-NC 4.0"


def test_benign_and_malignant_for_all_when_asked_for(tmp_path):
    source = miniatures.isic2024(tmp_path / "in", changes={2: {"target": ""}})
    _, samples = ingested(source, tmp_path / "out", options={"label": "malignancy"})
    found = [samples[f"ISIC_{number:07}"].diagnosis for number in range(6)]
    assert found == ["benign", "malignant", "benign", "benign", "malignant", "benign"]


@pytest.mark.parametrize(
    ("full", "first", "expected"),
    [
        ("Malignant::Never heard of", "Malignant", "malignant"),
        ("Benign::Benign epidermal proliferations::Never heard of", "Benign", "benign_epidermal"),
        ("Indeterminate", "Indeterminate", "other"),
        ("", "Benign::Benign melanocytic proliferations::Nevus", "nv"),
    ],
)
def test_the_most_exact_known_level_decides(tmp_path, full, first, expected):
    source = miniatures.isic2024(tmp_path / "in", changes={0: {"iddx_full": full, "iddx_1": first}})
    _, samples = ingested(source, tmp_path / "out", unknown_diagnosis="reject")
    assert samples["ISIC_0000000"].diagnosis == expected


def test_an_unknown_diagnosis_is_named_and_a_blank_one_set_apart(tmp_path):
    source = miniatures.isic2024(tmp_path / "in", changes={3: {"iddx_full": "moon rash"}})
    with pytest.raises(DataError, match=r"train-metadata.csv, row 5, iddx_full = 'moon rash': unknown diagnosis"):
        ingested(source, tmp_path / "out")
    blank = dict.fromkeys(("iddx_full", "target", *(f"iddx_{level}" for level in range(1, 6))), "")
    source = miniatures.isic2024(tmp_path / "blank", changes={3: blank})
    result, _ = ingested(source, tmp_path / "set apart")
    assert [(item.kind, item.row, item.reason) for item in result.left_out] == [("excluded", 5, "states no diagnosis")]


def test_the_challenges_own_tables_are_joined(tmp_path):
    source = miniatures.isic2024(tmp_path / "in")
    rows = [miniatures.isic2024_row(number) for number in range(18)]
    (source / "train-metadata.csv").unlink()
    of_patients = ("isic_id", "patient_id", "age_approx", "sex", "anatom_site_general", "image_type", "tbp_lv_A")
    tables = {
        "train-image/metadata.csv": of_patients,
        "ISIC_2024_Training_Supplement.csv": ("isic_id", "iddx_full", "lesion_id", "copyright_license", "mel_thick_mm"),
    }
    for name, columns in tables.items():
        miniatures.write_csv(source / name, columns, [{column: row[column] for column in columns} for row in rows])
    truth = [{"isic_id": row["isic_id"], "malignant": row["target"]} for row in rows]
    miniatures.write_csv(source / "ISIC_2024_Training_GroundTruth.csv", ("isic_id", "malignant"), truth)
    _, samples = ingested(source, tmp_path / "out")
    assert {sample.diagnosis for sample in samples.values()} == CLASSES
    assert (samples["ISIC_0000003"].patient_id, samples["ISIC_0000003"].lesion_id) == ("IP_0000001", "IL_0000003")
    _, samples = ingested(source, tmp_path / "malignancy", options={"label": "malignancy"})
    assert [samples[f"ISIC_{number:07}"].diagnosis for number in range(2)] == ["benign", "malignant"]
    (source / "ISIC_2024_Training_Supplement.csv").unlink()
    _, samples = ingested(source, tmp_path / "truth alone")
    assert (samples["ISIC_0000001"].diagnosis, samples["ISIC_0000001"].patient_id) == ("malignant", "IP_0000000")


def test_kaggles_test_images_and_its_example_of_a_submission(tmp_path):
    source = miniatures.isic2024(tmp_path / "in")
    test = [{"isic_id": "ISIC_9", "patient_id": "IP_9", "age_approx": "45", "sex": "male"}]
    miniatures.write_csv(source / "test-metadata.csv", tuple(test[0]), test)
    miniatures.write_picture(source / "ISIC_9.jpg", seed=99)
    example = [{"isic_id": "ISIC_9", "target": "0.3"}]
    miniatures.write_csv(source / "sample_submission.csv", tuple(example[0]), example)
    result, samples = ingested(source, tmp_path / "out")
    assert len(samples) == 18
    assert [(item.kind, item.file, item.row) for item in result.left_out] == [("excluded", "test-metadata.csv", 2)]


def test_images_in_hdf5_are_those_of_the_jpeg_files(tmp_path):
    _, expected = ingested(miniatures.isic2024(tmp_path / "files"), tmp_path / "of files")
    source = into_hdf5(miniatures.isic2024(tmp_path / "in"))
    result, samples = ingested(source, tmp_path / "out")
    assert result.left_out == []
    assert {name: sample.image for name, sample in samples.items()} == {
        name: sample.image for name, sample in expected.items()
    }


def test_a_part_of_the_table_may_be_read_with_the_whole_hdf5_file(tmp_path):
    source = into_hdf5(miniatures.isic2024(tmp_path / "in"))
    lines = (source / "train-metadata.csv").read_text().splitlines(keepends=True)
    (source / "train-metadata.csv").write_text("".join(lines[:13]))
    result, samples = ingested(source, tmp_path / "out")
    assert (len(samples), result.left_out) == (12, [])
    assert "The HDF5 file holds 6 images that no row names" in result.notes
    miniatures.write_picture(source / "stray.jpg", seed=90)
    with pytest.raises(DataError, match=r"stray.jpg: no row of train-metadata.csv names this image"):
        ingested(source, tmp_path / "again")


def test_files_win_over_the_same_images_in_hdf5(tmp_path):
    source = into_hdf5(miniatures.isic2024(tmp_path / "in"), keep=("ISIC_0000003",))
    assert ingested(source, tmp_path / "some")[0].accepted == 18
    miniatures.isic2024(source)
    assert ingested(source, tmp_path / "all")[0].accepted == 18


def packed(source, *names, archive="images.zip"):
    """Moves files of a source into a zip archive in it."""
    with zipfile.ZipFile(source / archive, "w") as file:
        for name in names:
            file.write(source / name, name)
            (source / name).unlink()
    return source


@pytest.mark.parametrize("names", [["train-image.hdf5"], ["train-image.hdf5", "train-metadata.csv"]])
def test_an_hdf5_file_in_an_archive_is_read(tmp_path, names):
    _, expected = ingested(miniatures.isic2024(tmp_path / "files"), tmp_path / "of files")
    source = packed(into_hdf5(miniatures.isic2024(tmp_path / "in"), keep=("ISIC_0000003",)), *names)
    result, samples = ingested(source, tmp_path / "out")
    assert result.left_out == []
    assert {name: sample.image for name, sample in samples.items()} == {
        name: sample.image for name, sample in expected.items()
    }


def test_an_archive_is_left_alone_where_no_image_is_lacking(tmp_path):
    source = into_hdf5(miniatures.isic2024(tmp_path / "in"))
    (source / "train-image.hdf5").write_bytes(b"no HDF5 file")
    packed(source, "train-image.hdf5")
    miniatures.isic2024(source)
    assert ingested(source, tmp_path / "out")[0].accepted == 18


def test_a_second_hdf5_file_is_refused(tmp_path):
    source = into_hdf5(miniatures.isic2024(tmp_path / "in"))
    (source / "copy").mkdir()
    (source / "copy" / "train-image.h5").write_bytes((source / "train-image.hdf5").read_bytes())
    with pytest.raises(DataError, match="holds 2 HDF5 files of images: copy/train-image.h5, train-image.hdf5"):
        ingested(source, tmp_path / "out")


def in_pieces(source, *names):
    """Adds datasets that cannot be read to the HDF5 file of a source."""
    import h5py
    import numpy as np

    with h5py.File(source / "train-image.hdf5", "a") as file:
        for name in names:
            if name in file:
                del file[name]
            file.create_dataset(name, data=np.zeros(100, np.uint8), compression="gzip")


def test_an_unreadable_dataset_is_a_rejection_only_where_its_row_needs_it(tmp_path):
    source = into_hdf5(miniatures.isic2024(tmp_path / "in"), keep=("ISIC_0000003",))
    in_pieces(source, "ISIC_0000003", "ISIC_9", "about")
    result, samples = ingested(source, tmp_path / "out")
    assert (len(samples), result.left_out) == (18, [])
    reason = "is virtual, compressed or stored in pieces, which is not read"
    words = "The HDF5 file holds 2 datasets that no row names and that cannot be read:"
    assert f"{words} train-image/ISIC_9.jpg {reason}" in result.notes
    in_pieces(source, "ISIC_0000004")
    with pytest.raises(DataError, match=rf"row 6, isic_id = 'ISIC_0000004': the image train-image/\S+ {reason}"):
        ingested(source, tmp_path / "again")


def test_images_without_a_patient_are_counted(tmp_path):
    changes = {number: {"patient_id": ""} for number in range(5)}
    result, _ = ingested(miniatures.isic2024(tmp_path / "in", changes=changes), tmp_path / "out")
    assert [note for note in result.notes if note.startswith("5 of 18 images have no patient_id: photographs of one")]
    result, _ = ingested(miniatures.isic2024(tmp_path / "whole"), tmp_path / "out of whole")
    assert not [note for note in result.notes if "patient_id" in note]


def test_without_h5py_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "h5py", None)
    source = miniatures.isic2024(tmp_path / "in")
    (source / "train-image.hdf5").write_bytes(b"\x89HDF\r\n\x1a\n")
    assert ingested(source, tmp_path / "with files")[0].accepted == 18
    next(source.rglob("ISIC_0000005.jpg")).unlink()
    with pytest.raises(DataError, match=r"train-image.hdf5: HDF5 files are read with h5py: pip install '\.\[hdf5"):
        ingested(source, tmp_path / "one lacks")
    for path in source.rglob("*.jpg"):
        path.unlink()
    with pytest.raises(UsageError, match="train-image.hdf5 cannot be read") as caught:
        ingested(source, tmp_path / "all lack")
    assert caught.value.hint == "HDF5 files are read with h5py: pip install '.[hdf5]' in a checkout of LesionGen."


@pytest.mark.parametrize("harm", ["text", "cut", "empty"])
def test_a_file_that_is_no_hdf5_file_is_named(tmp_path, harm):
    source = into_hdf5(miniatures.isic2024(tmp_path / "in"))
    path = source / "train-image.hdf5"
    whole = path.read_bytes()
    path.write_bytes({"text": b"this is no HDF5 file\n", "cut": whole[: len(whole) // 2], "empty": b""}[harm])
    with pytest.raises(DataError, match=r"train-image.hdf5 is damaged, or is not an HDF5 file"):
        ingested(source, tmp_path / "out")


def test_a_damaged_image_in_hdf5_is_a_row_that_cannot_be_used(tmp_path):
    source = into_hdf5(miniatures.isic2024(tmp_path / "in"))
    import h5py
    import numpy as np

    with h5py.File(source / "train-image.hdf5", "a") as file:
        del file["ISIC_0000004"]
        file.create_dataset("ISIC_0000004", data=np.bytes_(b"no picture"))
    with pytest.raises(DataError, match=r"row 6, isic_id = 'ISIC_0000004': the image train-image/ISIC_0000004.jpg"):
        ingested(source, tmp_path / "out")
