"""Fitzpatrick17k's real table where it is at hand, and a generated one; the images are generated."""

import csv
from collections import Counter

import pytest

from lesiongen.concepts import read_report
from lesiongen.dataset import Dataset
from lesiongen.errors import DataError
from lesiongen.ingestion import IngestConfig, ingest

from . import miniatures

MOST = {"max_missing": 1.0}


@pytest.fixture(scope="module")
def table(shared_data):
    return shared_data / "tables" / "fitzpatrick17k.csv"


@pytest.fixture(scope="module")
def rows(table):
    return miniatures.fitzpatrick17k_rows(table)


def samples_of(source, output, **config):
    result = ingest(IngestConfig(format="fitzpatrick17k", **(MOST | config)), str(source), str(output))
    return {sample.image_id: sample for sample in Dataset.open(str(output)).samples()}, result


def one_of_each(rows, column):
    return list({row[column]: row["md5hash"] for row in rows}.values())


def test_a_small_collection_arrives_with_what_is_missing_listed(tmp_path):
    samples, result = samples_of(miniatures.small_fitzpatrick17k(tmp_path / "f", without=4), tmp_path / "out")
    assert Counter(sample.diagnosis for sample in samples.values()) == {
        "inflammatory": 5, "bcc": 5, "nv": 5, "genodermatosis": 4,
    }  # fmt: skip
    assert Counter(sample.skin_tone for sample in samples.values()) == {"3": 7, None: 6, "6": 6}
    assert Counter(item.kind for item in result.left_out) == {"missing": 4, "excluded": 1}
    missing = (tmp_path / "out" / "missing.csv").read_text()
    assert "the table's link is https://example.org/22.jpg" in missing
    assert "the table has no link either" in missing
    with pytest.raises(DataError, match="4 of 23 rows"):
        samples_of(tmp_path / "f", tmp_path / "few", max_missing=0.1)


def test_every_label_arrives_and_what_is_not_there_is_listed(table, rows, tmp_path):
    hashes = one_of_each([row for row in rows if not row["qc"]], "label")
    source = miniatures.fitzpatrick17k(tmp_path / "f", table, hashes)
    samples, result = samples_of(source, tmp_path / "out")
    assert set(samples) == set(hashes)
    assert result.rejected == []
    assert Counter(item.kind for item in result.left_out) == {"missing": 16577 - 114}
    with (tmp_path / "out" / "missing.csv").open(newline="") as file:
        missing = list(csv.DictReader(file))
    assert missing[0]["value"] not in samples
    assert "the table's link is http" in missing[0]["reason"]
    assert sum("no link either" in row["reason"] for row in missing) == 41
    assert not (tmp_path / "out" / "rejected.csv").exists()
    by_hash = {row["md5hash"]: row for row in rows}
    for sample in samples.values():
        row = by_hash[sample.image_id]
        assert sample.original_diagnosis == row["label"]
        assert sample.skin_tone == (None if row["fitzpatrick_scale"] == "-1" else row["fitzpatrick_scale"])
        assert (sample.skin_tone_scale is None) == (sample.skin_tone is None)
        assert sample.skin_tone_source in (None, "metadata")
        assert (sample.image_type, sample.licence) == ("clinical", "CC BY-NC-SA 3.0")
    assert len({sample.diagnosis for sample in samples.values()}) == 14


def test_a_folder_without_enough_of_the_images_is_refused(table, tmp_path):
    source = miniatures.fitzpatrick17k(tmp_path / "f", table, count=3)
    with pytest.raises(DataError, match="16,574 of 16,577 rows") as caught:
        samples_of(source, tmp_path / "out", max_missing=0.95)
    assert "max_missing" in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_a_few_rows_can_be_drawn_from_the_whole_table(table, tmp_path):
    source = miniatures.fitzpatrick17k(tmp_path / "f", table, count=1000)
    samples, result = samples_of(source, tmp_path / "out", limit=7, max_missing=0.95)
    assert (len(samples), len(result.left_out)) == (7, 16577 - 1000 + 1)


def test_wrong_labels_stay_out_unless_they_are_asked_for(table, rows, tmp_path):
    hashes = one_of_each(rows, "qc")
    source = miniatures.fitzpatrick17k(tmp_path / "f", table, hashes)
    verdicts = {row["md5hash"]: row["qc"] for row in rows}
    samples, result = samples_of(source, tmp_path / "out")
    assert {verdicts[name] for name in samples} == {"", "1 Diagnostic", "2 Characteristic", "4 Other", "5 Potentially"}
    assert [item.value for item in result.left_out if item.kind == "excluded"] == ["3 Wrongly labelled"]
    samples, _ = samples_of(source, tmp_path / "any", options={"qc": "any"})
    assert len(samples) == 6
    samples, _ = samples_of(source, tmp_path / "checked", options={"qc": "checked"})
    assert {verdicts[name] for name in samples} == {"1 Diagnostic", "2 Characteristic"}


@pytest.mark.parametrize("tone", ["scale", "centaur", "agreed"])
def test_the_two_annotations_of_skin_type_are_never_mixed(table, rows, tmp_path, tone):
    columns = ("fitzpatrick_scale", "fitzpatrick_centaur")
    pairs = {tuple(row[name] for name in columns): row["md5hash"] for row in rows if not row["qc"]}
    chosen = {md5hash: pair for pair, md5hash in pairs.items()}
    source = miniatures.fitzpatrick17k(tmp_path / "f", table, list(chosen))
    samples, _ = samples_of(source, tmp_path / "out", options={"tone": tone})
    for md5hash, (scale, centaur) in chosen.items():
        agreed = scale if scale == centaur else "-1"
        wanted = {"scale": scale, "centaur": centaur, "agreed": agreed}[tone]
        assert samples[md5hash].skin_tone == (None if wanted == "-1" else wanted)


@pytest.mark.parametrize(
    ("label", "column"),
    [("own", "label"), ("nine", "nine_partition_label"), ("three", "three_partition_label")],
)
def test_any_level_of_the_hierarchy_can_be_the_class(table, rows, tmp_path, label, column):
    source = miniatures.fitzpatrick17k(tmp_path / "f", table, count=30)
    samples, _ = samples_of(source, tmp_path / "out", options={"label": label})
    wanted = {row["md5hash"]: row[column].replace("-", " ") for row in rows[:30]}
    assert {name: sample.diagnosis for name, sample in samples.items()} == wanted
    assert all(sample.original_diagnosis == row["label"] for sample, row in zip(
        [samples[row["md5hash"]] for row in rows[:30]], rows[:30], strict=True))  # fmt: skip


def test_skincons_marks_come_from_its_own_table(table, rows, tmp_path):
    hashes = [row["md5hash"] for row in rows[:6]]
    source = miniatures.fitzpatrick17k(tmp_path / "f", table, hashes)
    names = [f"{md5hash}.jpg" for md5hash in hashes[:4]]
    miniatures.skincon_table(source / "annotations_fitzpatrick17k.csv", names, {1: {miniatures.UNUSABLE: "1"}})
    samples, result = samples_of(source, tmp_path / "out")
    assert [item.kind for item in result.left_out if item.kind != "missing"] == ["excluded"]
    assert set(samples) == set(hashes) - {hashes[1]}
    assert read_report(samples[hashes[2]].concepts).elevation.value == ("papule",)
    assert samples[hashes[5]].concepts is None


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("md5hash", "../../etc/passwd", "is not an MD5 hash"),
        ("fitzpatrick_scale", "7", "not on the Fitzpatrick scale"),
        ("fitzpatrick_centaur", "0", "not on the Fitzpatrick scale"),
        ("label", "psoriasys", "unknown diagnosis"),
        ("qc", "9 Unsure", "is not one of blank"),
    ],
)
def test_a_wrong_value_is_named(tmp_path, column, value, message):
    source = miniatures.small_fitzpatrick17k(tmp_path / "f", changes={3: {column: value}})
    with pytest.raises(DataError) as caught:
        samples_of(source, tmp_path / "out")
    assert f"fitzpatrick17k.csv, row 5, {column} = {value!r}" in str(caught.value)
    assert message in str(caught.value)
