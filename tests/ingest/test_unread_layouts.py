"""Layouts that are not read are named, with the way out."""

import pytest

from lesiongen.dataset import Dataset
from lesiongen.errors import DataError
from lesiongen.ingest import IngestConfig, ingest

from .conftest import picture

ISIC_2024 = "isic_id,target,patient_id,age_approx,sex,iddx_full,iddx_1,tbp_lv_A\n"
TABLES = {
    "ISIC 2016": {"ISBI2016_ISIC_Part3_Training_GroundTruth.csv": "ISIC_0000000,benign\nISIC_0000002,malignant\n"},
    "ISIC 2024": {"train-image.hdf5": "\x89HDF", "train-metadata.csv": ISIC_2024},
    "MILK10k": {
        "MILK10k_Training_GroundTruth.csv": "lesion_id,AKIEC,BCC,BEN_OTH,BKL,DF,INF,MAL_OTH,MEL,NV,SCCKA,VASC\n",
        "MILK10k_Training_Metadata.csv": "lesion_id,image_type,isic_id,MONET_ulceration_crust\n",
    },
}


def folder_of(folder, tables, names=("ISIC_0000000", "ISIC_0000002")):
    folder.mkdir()
    for name, text in tables.items():
        (folder / name).write_text(text)
    for number, name in enumerate(names):
        picture(number).save(folder / f"{name}.jpg")
    return folder


@pytest.mark.parametrize("format", ["isic", "image_folder"])
@pytest.mark.parametrize("layout", TABLES)
def test_a_layout_that_is_not_read_is_named(layout, format, tmp_path):
    source = folder_of(tmp_path / "in", TABLES[layout])
    with pytest.raises(DataError, match=f"holds {layout}.*; that layout is not read") as caught:
        ingest(IngestConfig(format=format), str(source), str(tmp_path / "out"))
    assert "--format image_folder --option match=stem" in caught.value.hint


def test_a_renamed_table_is_known_by_its_columns(tmp_path):
    for number, (layout, tables) in enumerate(TABLES.items()):
        renamed = {f"{place}.csv": text for place, text in enumerate(tables.values()) if "HDF" not in text}
        source = folder_of(tmp_path / f"in{number}", renamed)
        with pytest.raises(DataError, match=f"holds {layout}"):
            ingest(IngestConfig(format="isic"), str(source), str(tmp_path / "out"))


def test_the_ways_out_lead_out(tmp_path):
    text = "file_name,diagnosis\n" + TABLES["ISIC 2016"]["ISBI2016_ISIC_Part3_Training_GroundTruth.csv"]
    source = folder_of(tmp_path / "2016", {"labels.csv": text})
    config = IngestConfig(format="image_folder", options={"match": "stem", "table": "labels.csv"})
    ingest(config, str(source), str(tmp_path / "a"))
    assert {sample.diagnosis for sample in Dataset.open(str(tmp_path / "a")).samples()} == {"benign", "malignant"}
    melanoma = "Malignant::Malignant melanocytic proliferations (Melanoma)::Melanoma Invasive"
    rows = f"ISIC_0000000,0,P1,60,male,Benign,Benign,1\nISIC_0000002,1,P2,50,female,{melanoma},Malignant,2\n"
    source = folder_of(tmp_path / "2024", {"train-metadata.csv": ISIC_2024 + rows})
    columns = {"file_name": "isic_id", "diagnosis": "iddx_full", "age": "age_approx"}
    options = {"match": "stem", "table": "train-metadata.csv"}
    ingest(IngestConfig(format="image_folder", options=options, columns=columns), str(source), str(tmp_path / "b"))
    assert {sample.diagnosis for sample in Dataset.open(str(tmp_path / "b")).samples()} == {"benign", "mel"}


def test_any_other_hdf5_file_says_nothing_of_the_layout(tmp_path):
    source = folder_of(tmp_path / "in", {"weights.h5": "\x89HDF", "labels.csv": "name;melanoma\na;1\n"})
    with pytest.raises(DataError, match="separated by semicolons"):
        ingest(IngestConfig(format="isic"), str(source), str(tmp_path / "out"))
