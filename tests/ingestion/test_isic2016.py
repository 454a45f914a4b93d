"""ISIC 2016, part 3: tables without a header, words in the training's and numbers in the test's."""

import shutil
import zipfile

import pytest

from lesiongen.dataset import Dataset
from lesiongen.errors import DataError
from lesiongen.ingestion import IngestConfig, ingest

from . import miniatures

TRAINING, TEST = (f"ISBI2016_ISIC_Part3_{part}_GroundTruth.csv" for part in ("Training", "Test"))


def ingested(source, output, **config):
    result = ingest(IngestConfig(format="isic2016", **config), str(source), str(output))
    return result, {sample.image_id: sample for sample in Dataset.open(str(output)).samples()}


def test_both_parts_with_their_official_split(tmp_path):
    result, samples = ingested(miniatures.isic2016(tmp_path / "in"), tmp_path / "out", keep_official_split=True)
    assert (result.accepted, result.left_out) == (18, [])
    assert result.dataset.splits == {"train": 12, "validation": 0, "test": 6}
    assert samples["ISIC_0000000"].diagnosis == samples["ISIC_0000012"].diagnosis == "malignant"
    assert samples["ISIC_0000001"].diagnosis == samples["ISIC_0000013"].original_diagnosis == "benign"
    assert {sample.image_type for sample in samples.values()} == {"dermoscopic"}
    assert {sample.official_split for sample in samples.values()} == {"train", "test"}
    manifest = Dataset.open(str(tmp_path / "out")).manifest
    assert manifest.licence == "CC0-1.0"
    assert "ISBI) 2016" in manifest.attribution


def test_one_part_alone_and_a_renamed_table(tmp_path):
    source = miniatures.isic2016(tmp_path / "in")
    (source / TEST).unlink()
    shutil.rmtree(source / "ISBI2016_ISIC_Part3_Test_Data")
    (source / TRAINING).rename(source / "labels.csv")
    result, samples = ingested(source, tmp_path / "out")
    assert result.accepted == 12
    assert samples["ISIC_0000003"].official_split is None


def test_masks_beside_the_images_are_ignored(tmp_path):
    source = miniatures.isic2016(tmp_path / "in")
    (source / TRAINING).rename(source / "ISBI2016_ISIC_Part3B_Training_GroundTruth.csv")
    miniatures.write_picture(source / "ISBI2016_ISIC_Part3_Training_Data" / "ISIC_0000001_Segmentation.png", seed=90)
    assert ingested(source, tmp_path / "out")[0].accepted == 18


def test_the_archives_as_they_are_handed_out(tmp_path):
    source = miniatures.isic2016(tmp_path / "in")
    for folder in list(source.glob("*_Data")):
        with zipfile.ZipFile(source / f"{folder.name}.zip", "w") as archive:
            for image in sorted(folder.iterdir()):
                archive.write(image, f"{folder.name}/{image.name}")
        shutil.rmtree(folder)
    assert ingested(source, tmp_path / "out")[0].accepted == 18


@pytest.mark.parametrize("label", ["moon rash", "", "0.5", "2"])
def test_another_label_is_named_with_the_row_counted_from_one(tmp_path, label):
    source = miniatures.isic2016(tmp_path / "in", changes={"ISIC_0000002": label})
    with pytest.raises(DataError, match=rf"{TRAINING}, row 3, class = '{label}': is neither benign nor malignant"):
        ingested(source, tmp_path / "out")


def test_rows_images_and_cells_that_do_not_fit_are_named(tmp_path):
    source = miniatures.isic2016(tmp_path / "in")
    with (source / TRAINING).open("a") as file:
        file.write("ISIC_0000000,benign\nISIC_0000077,benign\nISIC_0000001\n")
    miniatures.write_picture(source / "stray.jpg", seed=90)
    with pytest.raises(DataError) as caught:
        ingested(source, tmp_path / "out")
    for words in (
        "row 13, image = 'ISIC_0000000': duplicate image_id 'ISIC_0000000', first used in row 1",
        "row 14, image = 'ISIC_0000077': image not found",
        "row 15: has 1 cells, the header has 2 columns",
        "stray.jpg: no row of",
    ):
        assert words in str(caught.value)


def test_no_table_is_named(tmp_path):
    source = miniatures.isic2016(tmp_path / "in")
    for table in source.glob("*.csv"):
        table.unlink()
    with pytest.raises(DataError, match="contains no table of ISIC 2016, part 3") as caught:
        ingested(source, tmp_path / "out")
    assert "no table at all" in caught.value.hint
