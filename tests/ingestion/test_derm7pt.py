import pytest

from lesiongen.concepts import read_report
from lesiongen.dataset import Dataset
from lesiongen.errors import DataError, UsageError
from lesiongen.ingestion import IngestConfig, ingest

from . import miniatures

CLINIC = "NEL/NEL005.jpg"


def samples_of(source, output, **config):
    result = ingest(IngestConfig(format="derm7pt", **config), str(source), str(output))
    return {sample.image_id: sample for sample in Dataset.open(str(output)).samples()}, result


def test_both_photographs_of_a_case_arrive_in_its_own_split(tmp_path):
    samples, result = samples_of(miniatures.derm7pt(tmp_path / "d"), tmp_path / "out", keep_official_split=True)
    assert (len(samples), result.rejected, result.left_out) == (48, [], [])
    official = {0: "train", 1: "validation", 2: "train", 3: "test"}
    for number in range(24):
        clinic, derm = samples[f"{number + 1}-clinic"], samples[f"{number + 1}-derm"]
        assert (clinic.image_type, derm.image_type) == ("clinical", "dermoscopic")
        assert clinic.case_id == derm.case_id == clinic.lesion_id == derm.lesion_id == str(number + 1)
        assert clinic.split == derm.split == clinic.official_split == official[number % 4]
    first = samples["1-derm"]
    assert (first.diagnosis, first.original_diagnosis) == ("mel", "melanoma (in situ)")
    assert (first.sex, first.site, first.age, first.skin_tone) == ("female", "lower limbs", None, None)
    assert first.licence == "research use only (derm.cs.sfu.ca)"
    assert {sample.diagnosis for sample in samples.values()} == {"mel", "nv", "bcc", "lentigo", "other"}


def test_own_splits_part_no_case_and_no_shared_photograph(tmp_path):
    samples, _ = samples_of(miniatures.derm7pt(tmp_path / "d"), tmp_path / "out", seed=3)
    splits = {}
    for sample in samples.values():
        splits.setdefault(sample.case_id, set()).add(sample.split)
    assert all(len(found) == 1 for found in splits.values())
    # cases 1 and 2 share their clinical photograph
    assert splits["1"] == splits["2"]
    assert len({sample.split for sample in samples.values()}) == 3


def test_the_seven_structures_are_seen_by_dermoscopy_alone(tmp_path):
    samples, _ = samples_of(miniatures.derm7pt(tmp_path / "d"), tmp_path / "out")
    derm, clinic = read_report(samples["3-derm"].concepts), read_report(samples["3-clinic"].concepts)
    assert set(derm.patterns.value) == {
        "atypical network", "irregular streaks", "diffuse irregular pigmentation", "combined regression",
        "blue-white veil", "linear irregular vessels",
    }  # fmt: skip
    assert derm.patterns.evidence["dots and globules"] == 0
    assert (derm.patterns.source, derm.elevation.value, clinic.elevation.value) == (
        "expert",
        ("nodular",),
        ("nodular",),
    )
    assert clinic.patterns is None


def test_what_judges_the_diagnosis_stays_outside(tmp_path):
    samples_of(miniatures.derm7pt(tmp_path / "d"), tmp_path / "out")
    told = " ".join(map(str, Dataset.open(str(tmp_path / "out")).metadata().to_numpy().ravel()))
    for leak in ("excision", "seven_point", "difficulty", "high", "mitotic"):
        assert leak not in told


@pytest.mark.parametrize(("images", "count"), [("clinic", 24), ("derm", 24), ("both", 48)])
def test_one_kind_of_photograph_can_be_taken(tmp_path, images, count):
    samples, _ = samples_of(miniatures.derm7pt(tmp_path / "d"), tmp_path / "out", options={"images": images})
    assert len(samples) == count
    assert images == "both" or all(name.endswith(images) for name in samples)


def test_the_own_labels_can_be_taken(tmp_path):
    samples, _ = samples_of(miniatures.derm7pt(tmp_path / "d"), tmp_path / "out", options={"label": "own"})
    assert samples["1-derm"].diagnosis == samples["1-derm"].original_diagnosis == "melanoma (in situ)"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"diagnosis": "melanoma (5 mm)"}, "row 4, diagnosis = 'melanoma .5 mm.': unknown diagnosis"),
        ({"streaks": "wavy"}, "row 4, streaks = 'wavy': .*is not one of absent, regular, irregular"),
        ({"elevation": "raised"}, "row 4, elevation = 'raised': .*not one of flat, palpable, nodular"),
        ({"sex": "x"}, "row 4, sex = 'x'"),
        ({"case_num": ""}, "row 4, case_num = '': is blank"),
        ({"case_num": "1"}, "row 4, clinic = .*duplicate image_id .*, first used in row 2"),
        ({"derm": "../../secret.jpg"}, "row 4, derm = .*leaves the folder"),
        ({"derm": ""}, "row 4, derm = '': image not found"),
    ],
)
def test_a_wrong_value_is_named(tmp_path, changes, message):
    source = miniatures.derm7pt(tmp_path / "d", changes={2: changes})
    with pytest.raises(DataError, match=message):
        samples_of(source, tmp_path / "out")


def test_a_missing_photograph_costs_its_case_no_other(tmp_path):
    source = miniatures.derm7pt(tmp_path / "d", without=[CLINIC])
    samples, result = samples_of(source, tmp_path / "out", on_error="reject", max_rejected=0.1)
    assert [(item.row, item.column, item.value) for item in result.rejected] == [(5, "clinic", CLINIC)]
    assert "4-clinic" not in samples
    assert "4-derm" in samples


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "indexes\n1\n0\n",
            "train_indexes.csv, row 2, indexes = '1': is a row of the|valid_indexes.csv, row .*already",
        ),
        ("indexes\n999\n", "names row 999 of meta.csv, which has 24 rows"),
        ("indexes\n1.5\n", "indexes = '1.5': is not a row number"),
        ("index\n1\n", "has no column 'indexes'"),
        (None, "no table train_indexes.csv"),
    ],
)
def test_a_split_that_cannot_be_right_stops_the_run(tmp_path, text, message):
    source = miniatures.derm7pt(tmp_path / "d")
    path = source / "meta" / "train_indexes.csv"
    path.write_text(text) if text else path.unlink()
    with pytest.raises(DataError, match=message):
        samples_of(source, tmp_path / "out")


def test_without_its_split_tables_there_is_no_published_split(tmp_path):
    source = miniatures.derm7pt(tmp_path / "d")
    for path in (source / "meta").glob("*_indexes.csv"):
        path.unlink()
    assert len(samples_of(source, tmp_path / "out")[0]) == 48
    with pytest.raises(UsageError, match="no row of the source has one"):
        samples_of(source, tmp_path / "other", keep_official_split=True)


@pytest.mark.parametrize("options", [{"images": "none"}, {"label": "nine"}, {"qc": "any"}])
def test_an_option_it_has_not_is_refused(tmp_path, options):
    with pytest.raises(UsageError, match="option"):
        samples_of(miniatures.derm7pt(tmp_path / "d", 4), tmp_path / "out", options=options)


def test_a_missing_photograph_is_not_taken_for_one_whose_name_differs_in_case(tmp_path):
    source = miniatures.derm7pt(tmp_path / "d", changes={3: {"derm": "NEL/Nel005.JPG"}})
    (source / "images" / "NEL" / "Nel005.JPG").unlink()
    with pytest.raises(DataError, match=r"row 5, derm = 'NEL/Nel005.JPG': image not found"):
        samples_of(source, tmp_path / "out")
