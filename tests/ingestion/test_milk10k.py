"""MILK10k: two images of a lesion, whose class is in one table and whose exact diagnosis in another."""

import pytest

from lesiongen.dataset import Dataset
from lesiongen.errors import DataError
from lesiongen.ingestion import IngestConfig, ingest

from . import miniatures
from .cases import rows_of


def ingested(source, output, **config):
    result = ingest(IngestConfig(format="milk10k", **config), str(source), str(output))
    return result, {sample.image_id: sample for sample in Dataset.open(str(output)).samples()}


def changed(path, number, **cells):
    rows = rows_of(path)
    rows[number] |= cells
    miniatures.write_csv(path, tuple(rows[0]), rows)


def test_both_images_of_a_lesion_share_its_id_and_a_split(tmp_path):
    result, samples = ingested(miniatures.milk10k(tmp_path / "in"), tmp_path / "out")
    assert (result.accepted, result.left_out) == (22, [])
    assert len(set(result.dataset.splits)) > 1
    for lesion in range(11):
        close_up, dermoscopic = samples[f"ISIC_{lesion * 2:07}"], samples[f"ISIC_{lesion * 2 + 1:07}"]
        assert (close_up.image_type, dermoscopic.image_type) == ("clinical", "dermoscopic")
        assert close_up.lesion_id == dermoscopic.lesion_id == f"IL_{lesion:07}"
        assert close_up.split == dermoscopic.split


def test_the_exact_diagnosis_decides_the_class_where_it_is_known(tmp_path):
    _, samples = ingested(miniatures.milk10k(tmp_path / "in"), tmp_path / "out")
    found = [samples[f"ISIC_{lesion * 2:07}"].diagnosis for lesion in range(11)]
    assert found == "akiec bcc benign_dermal bkl df inflammatory other mel nv scc vasc".split()
    assert samples["ISIC_0000016"].original_diagnosis == "Nevus, NOS, Junctional"
    kept = str(list(samples.values()))
    assert not any(leak in kept for leak in ("histopathology", "1.01 to 2.0", "0.41", "MONET"))


def test_an_exact_diagnosis_outside_the_taxonomy_leaves_the_class_to_the_challenge(tmp_path):
    source = miniatures.milk10k(tmp_path / "in")
    for number in (14, 15):
        changed(source / "MILK10k_Training_Supplement.csv", number, diagnosis_full="Never heard of")
    changed(source / "MILK10k_Training_Supplement.csv", 16, diagnosis_full="")
    _, samples = ingested(source, tmp_path / "out", unknown_diagnosis="reject")
    assert (samples["ISIC_0000014"].diagnosis, samples["ISIC_0000014"].original_diagnosis) == ("mel", "Never heard of")
    assert (samples["ISIC_0000016"].diagnosis, samples["ISIC_0000016"].original_diagnosis) == ("nv", "NV")


def test_the_challenges_classes_are_kept_when_asked_for(tmp_path):
    source = miniatures.milk10k(tmp_path / "in", supplement=False)
    result, samples = ingested(source, tmp_path / "challenge", options={"label": "challenge"})
    found = [samples[f"ISIC_{lesion * 2:07}"].diagnosis for lesion in range(11)]
    assert found[2] == "other benign proliferation"
    assert found[6] == "other malignant proliferation"
    assert len(set(found)) == 11
    result, samples = ingested(source, tmp_path / "taxonomy")
    assert {samples[f"ISIC_{number:07}"].diagnosis for number in (4, 12)} == {"other"}
    assert any("lesions of BEN_OTH and MAL_OTH are of one class, other" in note for note in result.notes)


def test_what_a_row_says_of_the_patient_and_the_terms_of_the_image(tmp_path):
    _, samples = ingested(miniatures.milk10k(tmp_path / "in"), tmp_path / "out")
    sample = samples["ISIC_0000002"]
    assert (sample.age, sample.sex, sample.site) == (65.0, "female", "lower extremity")
    assert (sample.licence, sample.attribution) == ("CC BY-NC 4.0", "MILK study team")
    assert '"image_manipulation": "altered"' in sample.provenance
    assert samples["ISIC_0000006"].site is None


def test_the_skin_tone_keeps_its_own_scale(tmp_path):
    _, samples = ingested(miniatures.milk10k(tmp_path / "in"), tmp_path / "out")
    tones = {samples[f"ISIC_{lesion * 2:07}"].skin_tone for lesion in range(6)}
    assert tones == set("012345")
    assert {sample.skin_tone_scale for sample in samples.values()} == {"milk10k"}
    source = miniatures.milk10k(tmp_path / "wrong", changes={1: {"skin_tone_class": "6"}, 3: {"skin_tone_class": "II"}})
    with pytest.raises(DataError, match=r"row 3, skin_tone_class = '6': is not on MILK10k's scale"):
        ingested(source, tmp_path / "refused")
    source = miniatures.milk10k(tmp_path / "blank", changes={1: {"skin_tone_class": ""}, 3: {"skin_tone_class": "4.0"}})
    _, samples = ingested(source, tmp_path / "accepted")
    assert (samples["ISIC_0000001"].skin_tone, samples["ISIC_0000001"].skin_tone_scale) == (None, None)
    assert samples["ISIC_0000003"].skin_tone == "4"


def test_exactly_one_class_has_to_be_marked(tmp_path):
    source = miniatures.milk10k(tmp_path / "in")
    changed(source / "MILK10k_Training_GroundTruth.csv", 2, MEL="1.0")
    with pytest.raises(DataError, match=r"MILK10k_Training_GroundTruth.csv, row 4, MEL = '1.0': exactly one of AKIEC"):
        ingested(source, tmp_path / "out")


def test_a_lesion_that_is_there_twice_or_without_images_is_told(tmp_path):
    source = miniatures.milk10k(tmp_path / "in")
    path = source / "MILK10k_Training_GroundTruth.csv"
    rows = rows_of(path)
    miniatures.write_csv(path, tuple(rows[0]), [*rows, rows[0] | {"lesion_id": "IL_9"}])
    result, _ = ingested(source, tmp_path / "out")
    assert "1 lesion of MILK10k_Training_GroundTruth.csv not in MILK10k_Training_Metadata.csv" in result.notes
    miniatures.write_csv(path, tuple(rows[0]), [*rows, rows[4]])
    with pytest.raises(DataError, match=r"row 13, lesion_id = 'IL_0000004': is there twice, first in row 6"):
        ingested(source, tmp_path / "again")


def test_an_image_that_is_twice_in_the_supplement_is_told(tmp_path):
    source = miniatures.milk10k(tmp_path / "in")
    path = source / "MILK10k_Training_Supplement.csv"
    rows = rows_of(path)
    miniatures.write_csv(path, tuple(rows[0]), [*rows, rows[4] | {"diagnosis_full": "Nevus"}])
    with pytest.raises(DataError, match=r"row 24, isic_id = 'ISIC_0000004': is there twice, first in row 6"):
        ingested(source, tmp_path / "out")


def test_a_blank_lesion_or_type_is_refused(tmp_path):
    for column, words in (("lesion_id", "could not be kept together"), ("image_type", "a close-up or dermoscopic")):
        source = miniatures.milk10k(tmp_path / column, changes={3: {column: ""}})
        with pytest.raises(DataError, match=rf"row 5, {column} = '': is blank; .*{words}"):
            ingested(source, tmp_path / "out")


def test_the_test_images_have_no_diagnosis_and_are_set_apart(tmp_path):
    source = miniatures.milk10k(tmp_path / "in")
    test = [{"lesion_id": "IL_8", "isic_id": f"ISIC_8{number}"} for number in range(2)]
    for number, row in enumerate(test):
        miniatures.write_picture(source / "MILK10k_Test_Input" / "IL_8" / f"{row['isic_id']}.jpg", seed=100 + number)
    with pytest.raises(DataError, match=r"ISIC_80.jpg: no row of MILK10k_Training_Metadata.csv names this image"):
        ingested(source, tmp_path / "refused")
    miniatures.write_csv(source / "MILK10k_Test_Metadata.csv", tuple(test[0]), test)
    result, samples = ingested(source, tmp_path / "out")
    assert len(samples) == 22
    assert [(item.kind, item.file, item.row) for item in result.left_out] == [
        ("excluded", "MILK10k_Test_Metadata.csv", 2),
        ("excluded", "MILK10k_Test_Metadata.csv", 3),
    ]
