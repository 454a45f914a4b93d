"""Every edition of ISIC's tables: found by its columns, joined with what lies beside it."""

import csv

import pytest

from lesiongen.dataset import Dataset
from lesiongen.errors import DataError, UsageError
from lesiongen.ingestion import IngestConfig, ingest
from lesiongen.records.provenance import is_synthetic
from lesiongen.validation.columns import measured_table
from lesiongen.validation.links import NEAR_GROUP

from . import miniatures

CLASSES_2018 = ("MEL", "NV", "BCC", "AKIEC", "BKL", "DF", "VASC")


def ingested(source, output, **config):
    result = ingest(IngestConfig(format="isic", **config), str(source), str(output))
    return result, {sample.image_id: sample for sample in Dataset.open(str(output)).samples()}


def table(path, *rows):
    miniatures.write_csv(path, tuple(rows[0]), rows)


def with_images(folder, *names):
    for number, name in enumerate(names):
        miniatures.write_picture(folder / "images" / f"{name}.jpg", seed=number)
    return folder


def archive_row(number, **cells):
    row = {
        "isic_id": f"ISIC_{number}",
        "attribution": "Anonymous",
        "copyright_license": "CC-BY",
        "age_approx": "60",
        "anatom_site_general": "head/neck",
        "diagnosis_1": "Benign",
        "diagnosis_2": "Benign melanocytic proliferations",
        "diagnosis_3": "Nevus",
        "diagnosis_confirm_type": "histopathology",
        "benign_malignant": "benign",
        "mel_thick_mm": "1.7",
        "fitzpatrick_skin_type": "III",
        "image_manipulation": "",
        "image_type": "dermoscopic",
        "lesion_id": f"IL_{number}",
        "patient_id": f"IP_{number}",
        "sex": "male",
    }
    return row | cells


def test_2017_as_the_challenge_published_it(tmp_path):
    for part, first in (("Training", 0), ("Validation", 3), ("Test_v2", 6)):
        rows = [
            {"image_id": f"ISIC_{first + kind}", "melanoma": str(float(kind == 1)), "seborrheic_keratosis": sk}
            for kind, sk in enumerate(("0.0", "0.0", "1.0"))
        ]
        table(tmp_path / "in" / f"ISIC-2017_{part}_Part3_GroundTruth.csv", *rows)
        about = [{"image_id": row["image_id"], "age_approximate": "unknown", "sex": "male"} for row in rows]
        about[0]["age_approximate"] = "45"
        table(tmp_path / "in" / f"ISIC-2017_{part}_Data_metadata.csv", *about)
    source = with_images(tmp_path / "in", *(f"ISIC_{number}" for number in range(9)))
    _, samples = ingested(source, tmp_path / "out", keep_official_split=True)
    assert [samples[f"ISIC_{number}"].diagnosis for number in range(3)] == ["nv", "mel", "bkl"]
    assert [samples[f"ISIC_{number}"].split for number in (0, 3, 6)] == ["train", "validation", "test"]
    assert (samples["ISIC_0"].age, samples["ISIC_1"].age, samples["ISIC_1"].sex) == (45.0, None, "male")
    assert (samples["ISIC_0"].source, samples["ISIC_0"].licence) == ("isic2017", "CC0-1.0")


def test_2018_with_the_lesions_of_its_groupings(tmp_path):
    rows = [
        {"image": f"ISIC_{number}", **miniatures.one_hot(CLASSES_2018, mark)}
        for number, mark in enumerate(CLASSES_2018)
    ]
    table(tmp_path / "in" / "ISIC2018_Task3_Training_GroundTruth" / "ISIC2018_Task3_Training_GroundTruth.csv", *rows)
    lesions = [
        {"image": row["image"], "lesion_id": f"HAM_{number // 2}", "diagnosis_confirm_type": "histopathology"}
        for number, row in enumerate(rows)
    ]
    table(tmp_path / "in" / "ISIC2018_Task3_Training_LesionGroupings.csv", *lesions)
    result, samples = ingested(with_images(tmp_path / "in", *(row["image"] for row in rows)), tmp_path / "out")
    assert sorted(result.dataset.classes) == ["akiec", "bcc", "bkl", "df", "mel", "nv", "vasc"]
    assert (samples["ISIC_3"].original_diagnosis, samples["ISIC_3"].lesion_id) == ("AKIEC", "HAM_1")
    assert Dataset.open(str(tmp_path / "out")).manifest.licence == "CC BY-NC 4.0"
    assert "histopathology" not in str(samples["ISIC_0"])


def test_2019_in_its_real_tables(shared_data, tmp_path):
    source = tmp_path / "in"
    source.mkdir()
    with (shared_data / "tables" / "ISIC_2019_Training_GroundTruth.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    chosen = rows[::1000]
    table(source / "ISIC_2019_Training_GroundTruth.csv", *chosen)
    metadata = shared_data / "tables" / "ISIC_2019_Training_Metadata.csv"
    (source / metadata.name).write_bytes(metadata.read_bytes())
    names = [row["image"] for row in chosen]
    result, samples = ingested(with_images(source, *names), tmp_path / "out")
    assert result.accepted == len(chosen) == 26
    for row in chosen:
        marked = next(name for name in miniatures.ISIC_2019_CLASSES if float(row[name]))
        assert samples[row["image"]].original_diagnosis == marked
    with metadata.open(newline="") as file:
        about = {row["image"]: row for row in csv.DictReader(file)}
    for name, sample in samples.items():
        assert (sample.site, sample.lesion_id) == (
            about[name]["anatom_site_general"] or None,
            about[name]["lesion_id"] or None,
        )


@pytest.mark.parametrize(
    ("marks", "column", "words"),
    [
        ({"MEL": "1.0", "NV": "1.0"}, "NV = '1.0'", "but MEL and NV are 1"),
        ({"MEL": "0", "NV": "0"}, "MEL = '0'", "but none is 1"),
        ({"MEL": "0.7"}, "MEL = '0.7'", "is neither 1 nor 0"),
    ],
)
def test_exactly_one_class_has_to_be_marked(tmp_path, marks, column, words):
    source = miniatures.isic(tmp_path / "in", changes={0: {"MEL": "0", "NV": "0", **marks}})
    with pytest.raises(DataError) as caught:
        ingested(source, tmp_path / "out")
    assert f"ISIC_2019_Training_GroundTruth.csv, row 2, {column}" in str(caught.value)
    assert words in str(caught.value)


def test_an_unknown_diagnosis_is_left_out_or_kept_as_asked(tmp_path):
    source = miniatures.isic(tmp_path / "in", changes={1: {"NV": "0", "UNK": "1"}})
    result, samples = ingested(source, tmp_path / "out")
    assert [(item.kind, item.row, item.column) for item in result.left_out] == [("excluded", 3, "UNK")]
    assert len(samples) == 17
    _, kept = ingested(source, tmp_path / "kept", unknown_diagnosis="keep")
    assert kept["ISIC_0000001_downsampled"].diagnosis == "UNK"


def test_2020_with_patients_unknown_diagnoses_and_the_list_of_duplicates(tmp_path):
    rows = [
        {
            "image_name": f"ISIC_{number}",
            "patient_id": f"IP_{number}",
            "sex": "male",
            "age_approx": "45.0",
            "anatom_site_general_challenge": "torso",
            "diagnosis": ("nevus", "melanoma", "unknown")[number % 3],
            "benign_malignant": "benign",
            "target": "0",
        }
        for number in range(12)
    ]
    table(tmp_path / "in" / "train.csv", *rows)
    second = [row | {"lesion_id": f"IL_{number}"} for number, row in enumerate(rows)]
    table(tmp_path / "in" / "ISIC_2020_Training_GroundTruth_v2.csv", *second)
    pairs = [{"image_name_1": "ISIC_3", "image_name_2": "ISIC_1"}, {"image_name_1": "ISIC_4", "image_name_2": "ISIC_3"}]
    table(tmp_path / "in" / "ISIC_2020_Training_Duplicates.csv", *pairs)
    source = with_images(tmp_path / "in", *(row["image_name"] for row in rows))
    result, samples = ingested(source, tmp_path / "out")
    assert len(samples) == 8
    assert len(result.left_out) == 4
    assert (samples["ISIC_0"].site, samples["ISIC_0"].lesion_id) == ("torso", "IL_0")
    assert {samples[f"ISIC_{number}"].case_id for number in (1, 3, 4)} == {"ISIC_1"}
    assert len({samples[f"ISIC_{number}"].split for number in (1, 3, 4)}) == 1


def test_test_images_of_a_table_without_diagnoses_are_set_apart(tmp_path):
    rows = [{"image_name": f"ISIC_{number}", "patient_id": f"IP_{number}"} for number in range(7)]
    table(tmp_path / "in" / "train.csv", *(row | {"diagnosis": "nevus"} for row in rows[:6]))
    table(tmp_path / "in" / "test.csv", rows[6])
    source = with_images(tmp_path / "in", *(row["image_name"] for row in rows))
    result, samples = ingested(source, tmp_path / "out")
    assert len(samples) == 6
    assert [(item.file, item.row, item.kind) for item in result.left_out] == [("test.csv", 2, "excluded")]
    assert "no table states the diagnosis" in result.left_out[0].reason
    miniatures.write_picture(source / "images" / "ISIC_7.jpg", seed=7)
    with pytest.raises(DataError, match=r"ISIC_7.jpg: no row of train.csv names this image"):
        ingested(source, tmp_path / "again")


def test_the_archives_metadata_with_terms_tones_and_what_stays_outside(tmp_path):
    rows = [archive_row(number) for number in range(6)]
    rows[1] |= {"diagnosis_3": "Melanoma Invasive", "diagnosis_1": "Malignant", "copyright_license": "CC-0"}
    rows[2] |= {"diagnosis_2": "", "diagnosis_3": ""}
    rows[3] |= {"image_type": "RCM: tile"}
    rows[4] |= {"image_type": "TBP tile: close-up", "attribution": "Memorial Sloan Kettering", "age_approx": "85+"}
    rows[5] |= {"copyright_license": "CC-BY-NC", "anatom_site_general": ""}
    table(tmp_path / "in" / "metadata.csv", *rows)
    result, samples = ingested(with_images(tmp_path / "in", *(row["isic_id"] for row in rows)), tmp_path / "out")
    assert {item.row: (item.kind, item.column) for item in result.left_out} == {
        4: ("excluded", "diagnosis_1"),
        5: ("excluded", "image_type"),
    }
    assert (samples["ISIC_0"].diagnosis, samples["ISIC_0"].original_diagnosis) == ("nv", "Nevus")
    assert (samples["ISIC_1"].diagnosis, samples["ISIC_1"].licence) == ("mel", "CC0-1.0")
    assert (samples["ISIC_4"].image_type, samples["ISIC_4"].age) == ("clinical", 85.0)
    tone = samples["ISIC_0"]
    assert (tone.skin_tone, tone.skin_tone_scale, tone.skin_tone_source) == ("3", "fitzpatrick", "metadata")
    manifest = Dataset.open(str(tmp_path / "out")).manifest
    assert manifest.licence == "CC BY-NC 4.0"
    assert manifest.attribution == "Anonymous; Memorial Sloan Kettering"
    kept = str(list(samples.values()))
    assert not any(leak in kept for leak in ("histopathology", "1.7", "benign"))


def test_synthetic_images_of_the_archive_say_so_and_are_never_held_out(tmp_path):
    rows = [archive_row(number, image_manipulation="synthetic" if number % 3 else "") for number in range(60)]
    for number in (1, 4, 7, 10, 13, 16):  # made from a lesion of which there is a photograph
        rows[number]["lesion_id"] = rows[number - 1]["lesion_id"]
        rows[number]["patient_id"] = rows[number - 1]["patient_id"]
    table(tmp_path / "in" / "metadata.csv", *rows)
    source = with_images(tmp_path / "in", *(row["isic_id"] for row in rows))
    result, samples = ingested(source, tmp_path / "out", split_fractions=(0.4, 0.3, 0.3))
    synthetic = [sample for sample in samples.values() if is_synthetic(sample.provenance)]
    assert {sample.split for sample in synthetic} == {"train"}
    assert {sample.split for sample in samples.values() if not is_synthetic(sample.provenance)} > {"train"}
    held_out = [item for item in result.left_out if "outside the train split" in item.reason]
    assert len(held_out) + len(synthetic) == 40
    assert 0 < len(held_out) < 6


def test_copies_stay_linked_when_the_image_that_linked_them_is_left_out(tmp_path):
    rows = [archive_row(number, image_manipulation="" if number else "synthetic") for number in range(3)]
    table(tmp_path / "in" / "metadata.csv", *rows)
    for row in rows:
        miniatures.write_picture(tmp_path / "in" / "images" / f"{row['isic_id']}.jpg", seed=0)
    result, samples = ingested(tmp_path / "in", tmp_path / "out", split_fractions=(0.0, 0.0, 1.0))
    assert [item.reason for item in result.left_out] == [
        "is synthetic or a reconstruction, and belongs together with a real image outside the train split"
    ]
    assert measured_table(Dataset.open(str(tmp_path / "out")))[NEAR_GROUP].notna().tolist() == [True, True]


def test_two_editions_in_one_folder_need_a_choice(tmp_path):
    source = miniatures.isic(tmp_path / "in", 4)
    table(
        source / "ISIC2018_Task3_Training_GroundTruth.csv",
        {"image": "ISIC_0000000", **miniatures.one_hot(CLASSES_2018, "NV")},
    )
    with pytest.raises(DataError, match="diagnoses in several forms") as caught:
        ingested(source, tmp_path / "out")
    assert "--option edition=2018" in str(caught.value)
    result, samples = ingested(
        source, tmp_path / "chosen", options={"edition": "2018"}, on_error="reject", max_rejected=0.9
    )
    assert list(samples) == ["ISIC_0000000"]
    with pytest.raises(UsageError, match="option edition = '2016' is not one of any, 2017"):
        ingested(source, tmp_path / "wrong", options={"edition": "2016"})


def test_a_refused_value_of_the_metadata_names_the_metadatas_row(tmp_path):
    source = miniatures.isic(tmp_path / "in")
    path = source / "ISIC_2019_Training_Metadata.csv"
    path.write_text(path.read_text().replace("55.0", "550", 1))
    with pytest.raises(DataError, match=r"ISIC_2019_Training_Metadata\.csv, row 3, age_approx = '550'"):
        ingested(source, tmp_path / "out")


def test_ham10000_is_not_taken_for_isic_2017(tmp_path):
    row = {"lesion_id": "HAM_1", "image_id": "ISIC_1", "dx": "nv", "dx_type": "histo", "age": "60", "sex": "male",
           "localization": "back"}  # fmt: skip
    table(with_images(tmp_path / "source", "ISIC_1") / "HAM10000_metadata.csv", row)
    with pytest.raises(DataError, match="contains no table of diagnoses"):
        ingested(tmp_path / "source", tmp_path / "out")


def test_an_unknown_diagnosis_below_indeterminate_is_unknown(tmp_path):
    rows = [archive_row(number) for number in range(4)]
    rows[0] |= {"diagnosis_1": "Indeterminate", "diagnosis_2": "", "diagnosis_3": "Never heard of"}
    table(tmp_path / "in" / "metadata.csv", *[dict.fromkeys(rows[0], "") | row for row in rows])
    source = with_images(tmp_path / "in", *(row["isic_id"] for row in rows))
    with pytest.raises(DataError, match="'Never heard of': unknown diagnosis"):
        ingested(source, tmp_path / "out", unknown_diagnosis="reject")


def test_another_table_with_two_columns_of_one_name_stops_nothing(tmp_path):
    rows = [{"image": f"ISIC_{number}", **miniatures.one_hot(CLASSES_2018, "NV")} for number in range(4)]
    table(tmp_path / "in" / "GroundTruth.csv", *rows)
    (tmp_path / "in" / "notes.csv").write_text("Lesion ID,lesion_id\n1,2\n")
    source = with_images(tmp_path / "in", *(row["image"] for row in rows))
    assert ingested(source, tmp_path / "out")[0].accepted == 4
