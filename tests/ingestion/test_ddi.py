import pytest

from lesiongen.concepts import read_report
from lesiongen.dataset import Dataset
from lesiongen.errors import DataError
from lesiongen.ingestion import IngestConfig, ingest

from . import miniatures


def samples_of(source, output, **config):
    result = ingest(IngestConfig(format="ddi", **config), str(source), str(output))
    return {sample.image_id: sample for sample in Dataset.open(str(output)).samples()}, result


@pytest.mark.parametrize("column", ["malignant", "malignancy(malig=1)"])
def test_ddi_arrives_whole_from_either_copy(tmp_path, column):
    source = miniatures.ddi(tmp_path / "d", malignant=column)
    samples, result = samples_of(source, tmp_path / "out")
    assert (len(samples), result.rejected) == (8, [])
    assert [samples[f"{number + 1:06}"].diagnosis for number in range(8)] == [
        "mel", "nv", "scc", "bkl", "akiec", "lymphoma", "lentigo", "other",
    ]  # fmt: skip
    first = samples["000001"]
    assert first.original_diagnosis == "melanoma-in-situ"
    assert (first.skin_tone, first.skin_tone_scale, first.skin_tone_source) == ("12", "ddi", "expert")
    assert (first.image_type, first.concepts, first.official_split) == ("clinical", None, None)
    assert first.licence == "Stanford AIMI research use agreement"
    assert "Daneshjou" in first.attribution


def test_malignancy_reaches_nobody_unless_it_is_the_label(tmp_path):
    samples_of(miniatures.ddi(tmp_path / "d"), tmp_path / "out")
    told = " ".join(map(str, Dataset.open(str(tmp_path / "out")).metadata().to_numpy().ravel())).lower()
    assert "malignant" not in told
    assert "true" not in told
    samples, _ = samples_of(tmp_path / "d", tmp_path / "two", options={"label": "malignancy"})
    assert [samples[f"{number + 1:06}"].diagnosis for number in range(4)] == ["malignant", "benign"] * 2
    samples, _ = samples_of(tmp_path / "d", tmp_path / "own", options={"label": "own"})
    assert samples["000004"].diagnosis == "seborrheic keratosis irritated"


def test_skincons_marks_are_kept_and_its_verdict_is_followed(tmp_path):
    source = miniatures.ddi(tmp_path / "d")
    names = [f"{number + 1:06}.png" for number in range(8)]
    changes = {2: {miniatures.UNUSABLE: "1"}}
    miniatures.skincon_table(source / "annotations_ddi.csv", names, changes)
    samples, result = samples_of(source, tmp_path / "out")
    assert [(item.kind, item.row, item.column) for item in result.left_out] == [("excluded", 4, miniatures.UNUSABLE)]
    assert result.rejected == []
    assert "not to use this image" in (tmp_path / "out" / "excluded.csv").read_text()
    report = read_report(samples["000001"].concepts)
    assert (report.elevation.value, report.additional.value, report.elevation.source) == (
        ("papule",), ("erythema",), "expert",
    )  # fmt: skip
    assert report.elevation.evidence["plaque"] == 0
    samples, _ = samples_of(source, tmp_path / "kept", options={"unusable": "keep"})
    assert samples["000003"].concepts is None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"skin_tone": "3"}, "row 3, skin_tone = '3': is not on DDI's scale"),
        ({"malignant": "maybe"}, "row 3, malignant = 'maybe': is neither 1 nor 0"),
        ({"malignant": ""}, "row 3, malignant = '': is blank"),
        ({"malignant": "TRUE"}, "row 3, malignant = 'TRUE': contradicts the disease 'melanocytic-nevi'"),
        ({"disease": "melanocytic-nevus-ish"}, "row 3, disease = .*unknown diagnosis"),
        (
            {"DDI_file": "000001.png"},
            "row 3, DDI_file = '000001.png': duplicate image_id '000001', first used in row 2",
        ),
        ({"DDI_file": "000002.jpg"}, "row 3, DDI_file = '000002.jpg': image not found"),
    ],
)
def test_a_wrong_value_is_named(tmp_path, changes, message):
    with pytest.raises(DataError, match=message):
        samples_of(miniatures.ddi(tmp_path / "d", changes={1: changes}), tmp_path / "out")


def test_a_wrong_mark_is_named_in_skincons_own_table(tmp_path):
    source = miniatures.ddi(tmp_path / "d")
    miniatures.skincon_table(source / "annotations_ddi.csv", ["000001.png", "", "000001.png"], {0: {"Papule": "2"}})
    with pytest.raises(DataError) as caught:
        samples_of(source, tmp_path / "out")
    for words in ("annotations_ddi.csv, row 2, Papule = '2'", "row 3, ImageID", "row 4, ImageID = '000001.png'"):
        assert words in str(caught.value)
