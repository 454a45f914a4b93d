"""The near-duplicates that ingest keeps with a dataset: what validation reads is what it would find itself."""

import json

import pytest

from lesiongen.dataset import Dataset
from lesiongen.dataset.examined import examined_images
from lesiongen.dataset.near_duplicates import NEAR_DUPLICATES_NAME, dataset_near_duplicates
from lesiongen.errors import DataError
from lesiongen.imaging import LOOK_ALIKE, NearDuplicate, near_duplicates
from lesiongen.ingest import IngestConfig, ingest

from .conftest import photograph


@pytest.fixture
def published(tmp_path):
    """An ingested folder of four images, of which 0 and 2 show one photograph."""
    folder = tmp_path / "in" / "nv"
    folder.mkdir(parents=True)
    for number, seed in enumerate((0, 1, 0, 2)):
        image = photograph(seed)
        (image.rotate(90) if number == 2 else image).save(folder / f"{number}.png")
    ingest(IngestConfig(format="image_folder"), str(tmp_path / "in"), str(tmp_path / "out"))
    return Dataset.open(str(tmp_path / "out"))


def read(dataset):
    ids = dataset.metadata(["image_id"])["image_id"].tolist()
    prints = examined_images([dataset], doing="Looking")[1]
    return ids, prints, dataset_near_duplicates(dataset, ids, prints)


def test_what_is_kept_is_what_would_be_found(published):
    ids, prints, kept = read(published)
    (found,) = near_duplicates(prints, least=LOOK_ALIKE)
    assert {ids[found.first], ids[found.second]} == {"nv/0", "nv/2"}
    assert kept == [NearDuplicate(found.first, found.second, pytest.approx(found.agreement, abs=1e-4))]


def test_kept_pairs_are_read_and_not_looked_for(published, monkeypatch):
    monkeypatch.setattr("lesiongen.dataset.near_duplicates.near_duplicates", None)
    assert len(read(published)[2]) == 1


def test_a_dataset_that_was_copied_without_them_is_searched(published, tmp_path):
    kept = read(published)[2]
    (tmp_path / "out" / NEAR_DUPLICATES_NAME).unlink()
    (found,) = read(published)[2]
    assert kept == [NearDuplicate(found.first, found.second, pytest.approx(found.agreement, abs=1e-4))]


@pytest.mark.parametrize("content", [b'{"schema_version": 1, "pairs": []}', b"\xff\xfe"])
def test_pairs_that_were_changed_are_told(published, tmp_path, content):
    (tmp_path / "out" / NEAR_DUPLICATES_NAME).write_bytes(content)
    with pytest.raises(DataError, match="near_duplicates.json is not what the manifest describes"):
        read(published)


def test_pairs_are_named_in_the_document_and_counted_in_the_manifest(published, tmp_path):
    kept = json.loads((tmp_path / "out" / NEAR_DUPLICATES_NAME).read_text())
    assert [pair[:2] for pair in kept["pairs"]] == [["nv/0", "nv/2"]]
    assert published.manifest.origin["near_duplicates"]["pairs"] == 1
