import pytest

from lesiongen.concepts import read_report
from lesiongen.dataset import Dataset
from lesiongen.errors import DataError, UsageError
from lesiongen.ingestion import IngestConfig, ingest
from lesiongen.ingestion.readers.observations import observed

from . import miniatures


def samples_of(source, output, **config):
    result = ingest(IngestConfig(format="skincap", **config), str(source), str(output))
    return {sample.image_id: sample for sample in Dataset.open(str(output)).samples()}, result


@pytest.mark.parametrize("kind", ["csv", "xlsx"])
def test_either_release_arrives_whole(tmp_path, kind):
    samples, result = samples_of(miniatures.skincap(tmp_path / "s", kind), tmp_path / "out")
    assert (len(samples), result.rejected, result.left_out) == (12, [], [])
    psoriasis, carcinoma, nevus = samples["1"], samples["2"], samples["3"]
    assert [sample.diagnosis for sample in (psoriasis, carcinoma, nevus)] == ["inflammatory", "bcc", "nv"]
    assert nevus.original_diagnosis == "melanocytic-nevi"
    assert (psoriasis.skin_tone, psoriasis.skin_tone_scale, psoriasis.skin_tone_source) == (
        "3", "fitzpatrick", "metadata",
    )  # fmt: skip
    assert (carcinoma.skin_tone, carcinoma.skin_tone_scale, carcinoma.skin_tone_source) == (None, None, None)
    assert (nevus.skin_tone, nevus.skin_tone_scale, nevus.skin_tone_source) == ("56", "ddi", "expert")
    assert (psoriasis.source, psoriasis.device, nevus.device) == ("skincap", "fitzpatrick17k", "ddi")
    assert psoriasis.licence == "SkinCAP research use agreement"
    assert nevus.licence == "SkinCAP research use agreement AND Stanford AIMI research use agreement"
    assert "Groh" in psoriasis.attribution
    assert "Daneshjou" in nevus.attribution
    report = read_report(samples["7"].concepts)
    assert (report.elevation.value, report.additional.value) == (("papule",), ("erythema",))
    assert report.description.source == "expert"
    assert report.description.text == (
        "The photo shows the back of the hand, red plaques with 6 white scales, the edge is clear"
    )


def test_a_caption_may_be_taken_whole_or_not_at_all(tmp_path):
    source = miniatures.skincap(tmp_path / "s")
    samples, _ = samples_of(source, tmp_path / "full", options={"caption": "full"})
    assert read_report(samples["1"].concepts).description.text.endswith("Further biopsy is recommended.")
    samples, _ = samples_of(source, tmp_path / "none", options={"caption": "none"})
    assert read_report(samples["1"].concepts).description is None


def test_what_the_authors_exclude_is_listed_and_not_used(tmp_path):
    changes = {4: {miniatures.UNUSABLE: "1"}, 5: {"skincap_file_path": "not_include/9001.png"}}
    source = miniatures.skincap(tmp_path / "s", changes=changes)
    (source / "skincap" / "6.png").unlink()
    samples, result = samples_of(source, tmp_path / "out")
    assert [(item.kind, item.row) for item in result.left_out] == [("excluded", 6), ("excluded", 7)]
    assert len(samples) == 10
    assert (tmp_path / "out" / "excluded.csv").is_file()
    samples, _ = samples_of(source, tmp_path / "kept", options={"unusable": "keep"})
    report = read_report(samples["5"].concepts)
    assert report.elevation is None
    assert report.description is not None


def test_what_names_the_diagnosis_again_stays_outside(tmp_path):
    samples_of(miniatures.skincap(tmp_path / "s"), tmp_path / "out")
    told = " ".join(map(str, Dataset.open(str(tmp_path / "out")).metadata().to_numpy().ravel()))
    for leak in ("neoplastic", "biopsy", "consider psoriasis", "checked twice", "手背"):
        assert leak not in told


def test_of_two_releases_the_newest_is_read_unless_another_is_named(tmp_path):
    source = miniatures.skincap(tmp_path / "s", "xlsx")
    miniatures.skincap(source, "csv", changes={0: {"disease": "vitiligo"}})
    assert samples_of(source, tmp_path / "new")[0]["1"].original_diagnosis == "psoriasis"
    samples, _ = samples_of(source, tmp_path / "old", options={"table": "v240623"})
    assert samples["1"].original_diagnosis == "vitiligo"
    (source / "skincap_v240623.csv").unlink()
    (source / "skincap_v240715.xlsx").unlink()
    with pytest.raises(DataError, match=r"neither skincap_v240715\.xlsx nor skincap_v240623\.csv"):
        samples_of(source, tmp_path / "neither")
    with pytest.raises(UsageError, match="option table = 'v2'"):
        samples_of(source, tmp_path / "no", options={"table": "v2"})


@pytest.mark.parametrize("kind", ["csv", "xlsx"])
@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("Papule", "2", "is neither 1 nor 0"),
        ("source", "isic", "is not one of fitzpatrick17k, ddi"),
        ("fitzpatrick_scale", "8", "not on the Fitzpatrick scale"),
        ("disease", "psoriasys", "unknown diagnosis"),
        ("skincap_file_path", "../1.png", "leaves the folder"),
    ],
)
def test_a_wrong_value_is_named(tmp_path, kind, column, value, message):
    source = miniatures.skincap(tmp_path / "s", kind, changes={3: {column: value}})
    with pytest.raises(DataError) as caught:
        samples_of(source, tmp_path / "out")
    row = 5 if kind == "csv" else 6
    assert f"row {row}, {column} = '{value}" in str(caught.value)
    assert message in str(caught.value)


@pytest.mark.parametrize("data", [b"", b"PK\x03\x04 no zip", b"id,disease\n1,acne\n"])
def test_what_is_no_workbook_is_refused(tmp_path, data):
    source = miniatures.skincap(tmp_path / "s", "xlsx")
    (source / "skincap_v240715.xlsx").write_bytes(data)
    with pytest.raises(DataError, match=r"skincap_v240715\.xlsx is not an Excel workbook"):
        samples_of(source, tmp_path / "out")


def test_a_workbook_without_a_concept_is_refused(tmp_path):
    source = miniatures.skincap(tmp_path / "s", "xlsx")
    import openpyxl

    book = openpyxl.load_workbook(source / "skincap_v240715.xlsx")
    header = [cell.value for cell in book.active[2]]
    book.active.delete_cols(header.index("Salmon") + 1)
    book.save(source / "skincap_v240715.xlsx")
    with pytest.raises(DataError, match="has no column .*'Salmon'"):
        samples_of(source, tmp_path / "out")


@pytest.mark.parametrize(
    ("caption", "wanted"),
    [
        ("A red plaque on the arm, clear border.", "A red plaque on the arm, clear border."),
        ("A red plaque on the arm, suggesting psoriasis, with scales.", "A red plaque on the arm"),
        ("Multiple papules; it may be a lichen.", "Multiple papules"),
        ("An acral lesion. Lentiginous melanoma, brown.", "An acral lesion."),
        ("Melanoma of the sole, acral and lentiginous.", "Melanoma of the sole"),
        ("Diagnosis: eczema.", ""),
        ("  Two   spots,\n  brown ", "Two spots, brown"),
    ],
)
def test_a_caption_is_cut_where_it_begins_to_judge(caption, wanted):
    assert observed(caption, "lentiginous melanoma", "acral lentiginous") == wanted
