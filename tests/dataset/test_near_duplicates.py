"""The near-duplicates that are kept with a dataset: found once, and read by whatever comes after."""

import hashlib
import json
from dataclasses import replace

import pytest

from lesiongen import limits
from lesiongen.dataset import Dataset, Part, derive, join_parts
from lesiongen.dataset.examined import examined_images
from lesiongen.dataset.kept import NEAR_DUPLICATES
from lesiongen.dataset.manifest import MANIFEST_NAME
from lesiongen.dataset.near_duplicates import dataset_near_duplicates
from lesiongen.errors import DataError, UsageError
from lesiongen.imaging import LOOK_ALIKE, near_duplicates
from lesiongen.imaging.duplicates import SEARCH, _compared
from lesiongen.ingestion import IngestConfig, ingest
from lesiongen.merging import MergeConfig, merge
from lesiongen.records.origin import OtherOrigin
from lesiongen.storage import open_storage
from lesiongen.validation import ValidateConfig, validate

from .conftest import encoded, photograph


def ingested(tmp_path, name, seeds, turned=(), **config):
    """Ingests a folder of photographs of these seeds, some turned."""
    folder = tmp_path / f"{name}-in" / "nv"
    folder.mkdir(parents=True)
    for number, seed in enumerate(seeds):
        image = photograph(seed)
        (image.rotate(90) if number in turned else image).save(folder / f"{number}.png")
    ingest(IngestConfig(format="image_folder", name=name, **config), str(folder.parent), str(tmp_path / name))
    return Dataset.open(str(tmp_path / name))


@pytest.fixture
def published(tmp_path):
    """An ingested folder of four images, of which 0 and 2 show one photograph."""
    return ingested(tmp_path, "out", (0, 1, 0, 2), turned=[2])


@pytest.fixture
def searched(monkeypatch):
    """The numbers of images among which pairs were compared, one for each time."""
    sizes = []

    def counted(pictures, pairs):
        sizes.append(len(pairs))
        return _compared(pictures, pairs)

    monkeypatch.setattr("lesiongen.imaging.duplicates._compared", counted)
    return sizes


def kept_pairs(dataset):
    text = open_storage(dataset.uri).read_text(NEAR_DUPLICATES.name)
    return [tuple(pair) for pair in json.loads(text)["pairs"]]


def read(dataset):
    ids = dataset.metadata(["image_id"])["image_id"].tolist()
    prints = examined_images([dataset], doing="Looking")[1]
    return ids, prints, dataset_near_duplicates(dataset, ids, prints)


def test_what_is_kept_is_what_would_be_found(published):
    ids, prints, kept = read(published)
    (found,) = near_duplicates(prints, least=LOOK_ALIKE)
    assert {ids[found.first], ids[found.second]} == {"nv/0", "nv/2"}
    assert kept == [found]


def test_kept_pairs_are_read_and_not_looked_for(published, monkeypatch):
    monkeypatch.setattr("lesiongen.dataset.near_duplicates.near_duplicates", None)
    assert len(read(published)[2]) == 1


def test_a_dataset_that_was_copied_without_them_is_searched(published, tmp_path):
    kept = read(published)[2]
    (tmp_path / "out" / NEAR_DUPLICATES.name).unlink()
    (found,) = read(published)[2]
    assert kept == [found]


@pytest.mark.parametrize("content", [b'{"schema_version": 1, "pairs": []}', b"\xff\xfe"])
def test_pairs_that_were_changed_are_told(published, tmp_path, content):
    (tmp_path / "out" / NEAR_DUPLICATES.name).write_bytes(content)
    with pytest.raises(DataError, match="near_duplicates.json is not what the manifest describes"):
        read(published)


def republished(dataset, content):
    """Gives a dataset another document, for which its manifest vouches."""
    root = open_storage(dataset.uri).root
    (root / NEAR_DUPLICATES.name).write_bytes(content)
    described = {NEAR_DUPLICATES.key: {"pairs": 0, "sha256": hashlib.sha256(content).hexdigest()}}
    manifest = dataset.manifest.model_copy(update={"origin": dataset.manifest.origin.changed(**described)})
    (root / MANIFEST_NAME).write_text(manifest.model_dump_json())
    return Dataset.open(dataset.uri)


@pytest.mark.parametrize("search", [{}, {"search": None}, {"search": SEARCH - 1}, {"search": SEARCH + 1}])
def test_pairs_that_another_release_has_looked_for_are_looked_for_again(published, search):
    found = read(published)[2]
    old = {"schema_version": 1, **search, "least": 0.5, "pairs": []}
    assert read(republished(published, json.dumps(old).encode()))[2] == found
    assert read(republished(published, json.dumps(old | {"search": SEARCH}).encode()))[2] == []
    assert len(found) == 1


def test_a_document_of_too_many_pairs_is_not_read_and_not_written(published, tmp_path, monkeypatch):
    size = len(open_storage(published.uri).read_bytes(NEAR_DUPLICATES.name))
    monkeypatch.setattr(limits, "MAX_PAIRS_BYTES", size)
    assert len(read(published)[2]) == 1
    monkeypatch.setattr(limits, "MAX_PAIRS_BYTES", size - 1)
    with pytest.raises(DataError, match="near_duplicates.json is not what the manifest describes"):
        read(published)
    again = ingested(tmp_path, "again", (0, 1, 0, 2), turned=[2])
    assert again.manifest.origin.near_duplicates is None
    assert len(read(again)[2]) == 1


def test_pairs_are_named_in_the_document_and_counted_in_the_manifest(published, tmp_path):
    kept = json.loads((tmp_path / "out" / NEAR_DUPLICATES.name).read_text())
    assert [pair[:2] for pair in kept["pairs"]] == [["nv/0", "nv/2"]]
    assert published.manifest.origin.near_duplicates.pairs == 1


def carried(dataset):
    """Takes the document and what the manifest says of it."""
    document = open_storage(dataset.uri).read_bytes(NEAR_DUPLICATES.name)
    return document, dataset.manifest.origin.near_duplicates


def test_a_dataset_with_other_texts_keeps_them(published, tmp_path, searched):
    uri = str(tmp_path / "captioned")
    made = derive(
        published, uri, lambda rows: (replace(row, caption="a mole") for row in rows), name="c", origin=OtherOrigin()
    )
    assert carried(made) == carried(published)
    assert read(made)[2] == read(published)[2] != []
    validate(ValidateConfig(), made.uri)
    assert not searched


def test_a_derived_dataset_has_the_same_images_each_once(published, tmp_path):
    def changed(rows):
        for row in rows:
            yield replace(row, image=encoded(photograph(9))) if row.image_id == "nv/2" else row

    def doubled(rows):
        for row in rows:
            yield from [row] * (2 if row.image_id == "nv/2" else 1)

    for transform in (changed, doubled):
        with pytest.raises(UsageError, match="'nv/2' has another image than in .*, or is repeated"):
            derive(published, str(tmp_path / "changed"), transform, name="changed", origin=OtherOrigin())
        assert not (tmp_path / "changed").exists()


def test_parts_keep_those_of_the_whole_and_so_does_what_is_made_of_them(published, tmp_path, searched):
    parts = [
        derive(published, str(tmp_path / f"part{part.number}"), iter, name="p", origin=OtherOrigin(part=str(part)),
               rows=part.rows(len(published)))
        for part in (Part(1, 2), Part(2, 2))
    ]  # fmt: skip
    assert sum(len(read(part)[2]) for part in parts) <= 1
    joined = join_parts(parts, str(tmp_path / "joined"), name="p")
    assert carried(joined) == carried(published)
    assert not searched


def test_pairs_that_were_changed_are_not_carried_on(published, tmp_path):
    (tmp_path / "out" / NEAR_DUPLICATES.name).write_text("{}")
    with pytest.raises(DataError, match="near_duplicates.json is not what the manifest describes"):
        derive(published, str(tmp_path / "derived"), iter, name="d", origin=OtherOrigin())
    assert not (tmp_path / "derived").exists()


def merged(tmp_path, name, *datasets, **config):
    merge(MergeConfig(**config), [dataset.uri for dataset in datasets], str(tmp_path / name))
    return Dataset.open(str(tmp_path / name))


@pytest.mark.parametrize("forget", [False, True], ids=["kept pairs", "no kept pairs"])
def test_a_merge_finds_the_same_pairs_in_either_order_and_validation_reads_them(tmp_path, searched, forget):
    # Two photographs twice within a dataset, one of them equal; two across, one of them equal.
    a = ingested(tmp_path, "a", (0, 1, 0, 2, 1, 5), turned=[2])
    b = ingested(tmp_path, "b", (3, 1, 4, 3, 6, 0), turned=[3, 5])
    if forget:
        (tmp_path / "a" / NEAR_DUPLICATES.name).unlink()
    ab, ba = merged(tmp_path, "ab", a, b, duplicates="keep"), merged(tmp_path, "ba", b, a, duplicates="keep")

    assert kept_pairs(ab) == kept_pairs(ba)
    assert ab.manifest.origin.near_duplicates == ba.manifest.origin.near_duplicates
    groups = [{"a/nv/0", "a/nv/2", "b/nv/5"}, {"a/nv/1", "a/nv/4", "b/nv/1"}, {"b/nv/0", "b/nv/3"}]
    bound = [
        next(group for group in groups if first in group and second in group) for first, second, _ in kept_pairs(ab)
    ]
    assert all(group in bound for group in groups)
    searched.clear()
    found = [validate(ValidateConfig(), dataset.uri).findings for dataset in (ab, ba)]
    assert not searched
    counts = [{item.check: sorted(item.rows) for item in items if "near" in item.check} for items in found]
    assert counts[0] == counts[1] != {}


def test_a_merge_compares_only_across_the_datasets(tmp_path, searched):
    a, b = ingested(tmp_path, "a", range(4)), ingested(tmp_path, "b", range(10, 13))
    searched.clear()
    merged(tmp_path, "ab", a, b)
    assert sum(searched) == 4 * 3


def test_a_dropped_copy_leaves_no_pair_and_its_other_equals_are_still_bound(tmp_path):
    in_train = {"split_fractions": (1.0, 0.0, 0.0)}
    a = ingested(tmp_path, "a", (0, 1, 0), **in_train)
    b = ingested(tmp_path, "b", (0, 5, 6, 5), **in_train)
    ab = merged(tmp_path, "ab", a, b)
    assert [(set(pair[:2]), pair[2]) for pair in kept_pairs(ab)] == [
        ({"nv/0", "a/nv/2"}, 1.0), ({"b/nv/1", "nv/3"}, 1.0)
    ]  # fmt: skip


def test_pairs_of_an_earlier_release_that_looked_for_fewer_are_looked_for_again(published, tmp_path, monkeypatch):
    monkeypatch.setattr("lesiongen.dataset.near_duplicates.LOOK_ALIKE", 0.55)
    sought = []
    monkeypatch.setattr("lesiongen.dataset.near_duplicates.near_duplicates", lambda *_, **how: sought.append(how) or [])
    assert read(published)[2] == []
    assert sought[0]["least"] == 0.55
