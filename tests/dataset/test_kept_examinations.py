"""What was looked up in images at ingest: the same as a later look would find, and read in place of it."""

import csv
import hashlib
import json
import re
from dataclasses import replace

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from lesiongen.captions import CaptionConfig, caption
from lesiongen.dataset import Dataset, DatasetWriter, Part, derive, join_parts
from lesiongen.dataset.copying import copy_dataset
from lesiongen.dataset.examinations import keep_examinations
from lesiongen.dataset.examined import examined_images
from lesiongen.dataset.kept import EXAMINATIONS
from lesiongen.dataset.manifest import MANIFEST_NAME
from lesiongen.errors import DataError
from lesiongen.ingestion import IngestConfig, ingest
from lesiongen.merging import REPORT_NAME as MERGE_REPORT_NAME
from lesiongen.merging import MergeConfig, merge
from lesiongen.records.origin import OtherOrigin
from lesiongen.storage import open_storage
from lesiongen.validation import JSON_NAME, REPORT_NAME, ValidateConfig, validate

from .conftest import encoded, photograph

EXIF = Image.Exif()
EXIF[0x013B] = "Dr. Anna Muster"
EXIF[0x0112] = 6
FORMS = {
    "jpg": lambda image: encoded(image, "JPEG"),
    "jpeg": lambda image: encoded(image, "JPEG", exif=EXIF, progressive=True),
    "png": lambda image: encoded(image.convert("RGBA")),
    "bmp": lambda image: encoded(image, "BMP"),
    "tif": lambda image: encoded(image.convert("L"), "TIFF"),
}


def ingested(folder, name, seeds, *, backwards=False, forms=tuple(FORMS)):
    """Ingests photographs of these seeds, in files of all forms in turn, in the order of a table."""
    source = folder / f"{name}-in"
    source.mkdir(parents=True)
    rows = []
    for number, seed in enumerate(seeds):
        form = forms[number % len(forms)]
        (source / f"{number:02d}.{form}").write_bytes(FORMS[form](photograph(seed)))
        rows.append((f"{number:02d}.{form}", "nv"))
    with (source / "metadata.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("file_name", "diagnosis"), *(reversed(rows) if backwards else rows)])
    ingest(IngestConfig(format="image_folder", name=name), str(source), str(folder / name))
    return Dataset.open(str(folder / name))


@pytest.fixture
def published(tmp_path):
    return ingested(tmp_path, "out", range(23))


def document_of(dataset):
    return open_storage(dataset.uri).read_bytes(EXAMINATIONS.name)


def without(dataset, tmp_path, name="without"):
    """Copies a dataset and forgets what was looked up in its images."""
    copy = copy_dataset(dataset.uri, str(tmp_path / name))
    (tmp_path / name / EXAMINATIONS.name).unlink()
    return copy


def republished(dataset, content):
    """Gives a dataset another document, for which its manifest vouches."""
    root = open_storage(dataset.uri).root
    (root / EXAMINATIONS.name).write_bytes(content)
    described = {EXAMINATIONS.key: {"images": len(dataset), "sha256": hashlib.sha256(content).hexdigest()}}
    manifest = dataset.manifest.model_copy(update={"origin": dataset.manifest.origin.changed(**described)})
    (root / MANIFEST_NAME).write_text(manifest.model_dump_json())
    return Dataset.open(dataset.uri)


def rewritten(dataset, change, **options):
    """Republishes a dataset with a changed table of examinations."""
    table = change(pa.ipc.open_file(document_of(dataset)).read_all())
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, table.schema, options=pa.ipc.IpcWriteOptions(**options)) as file:
        file.write_table(table)
    return republished(dataset, sink.getvalue().to_pybytes())


def assert_same_look(one, other):
    (first, first_prints), (second, second_prints) = (
        examined_images([dataset], doing="Looking") for dataset in (one, other)
    )
    looks = (seen.drop(columns="from_kept") for seen in (first, second))
    pd.testing.assert_frame_equal(*looks, check_exact=True)
    assert list(first_prints) == list(second_prints)


def test_what_is_kept_is_what_a_later_look_finds(published, tmp_path):
    assert_same_look(published, without(published, tmp_path))
    assert published.manifest.origin.examinations.images == len(published)


@pytest.mark.parametrize(
    ("form", "name"), [("ham10000", "ham10000_subset"), ("isic", "isic2017"), ("pad_ufes_20", "pad_ufes_20_subset")]
)
def test_what_is_kept_of_real_images_is_what_a_later_look_finds(shared_data, tmp_path, form, name):
    config = IngestConfig(format=form, limit=300, on_error="reject", max_rejected=1)
    ingest(config, str(shared_data / name), str(tmp_path / "out"))
    dataset = Dataset.open(str(tmp_path / "out"))
    assert_same_look(dataset, without(dataset, tmp_path))


@pytest.mark.parametrize("processes", ["1", "2"])
def test_neither_the_order_of_the_images_nor_the_processes_change_a_byte(tmp_path, monkeypatch, processes):
    first = ingested(tmp_path, "one", range(23))
    monkeypatch.setattr("lesiongen.ingestion.loading.SMALL", 0)
    monkeypatch.setenv("LOKY_MAX_CPU_COUNT", processes)
    same, turned = (ingested(tmp_path / name, "one", range(23), backwards=name == "turned") for name in ("a", "turned"))
    assert document_of(first) == document_of(same) == document_of(turned)
    assert first.manifest.shards == same.manifest.shards
    assert first.manifest.origin.examinations == turned.manifest.origin.examinations


def report_of(dataset, folder):
    result = validate(ValidateConfig(), dataset.uri, str(folder))
    return result.findings, json.loads((folder / JSON_NAME).read_text())


def facts_of(folder):
    page = (folder / REPORT_NAME).read_text()
    words = ("images decoded", "images looked up in examinations.arrow")
    return [int(re.search(rf"{name}</[^>]*>\s*<[^>]*>([\d,]+)<", page)[1]) for name in words]


def test_validation_says_the_same_with_and_without(published, tmp_path):
    with_it = report_of(published, tmp_path / "with")
    (tmp_path / "out" / EXAMINATIONS.name).unlink()
    without_it = report_of(published, tmp_path / "report")
    assert with_it[0] == without_it[0]
    assert with_it[1] | {"created": None} == without_it[1] | {"created": None}
    assert facts_of(tmp_path / "with") == [0, len(published)]
    assert facts_of(tmp_path / "report") == [len(published), 0]


@pytest.fixture
def undecodable(published, tmp_path):
    """A dataset whose images are none, with what was looked up in others under their names."""
    seen, prints = examined_images([published], doing="Looking")
    samples = [replace(sample, image=b"no image") for sample in published.samples()]
    with DatasetWriter(str(tmp_path / "undecodable"), name="undecodable") as writer:
        for sample in samples:
            writer.add(sample)
        places = {sample.image_id: place for place, sample in enumerate(samples)}
        keep_examinations(writer, places, seen, prints)
    return Dataset.open(str(tmp_path / "undecodable"))


def test_nothing_is_decoded_where_all_is_kept(undecodable, published, tmp_path):
    assert_same_look(undecodable, published)
    other = ingested(tmp_path, "other", range(40, 50))
    merge(MergeConfig(), [undecodable.uri, other.uri], str(tmp_path / "merged"))
    of_merged, prints = examined_images([Dataset.open(str(tmp_path / "merged"))], doing="Looking")
    assert of_merged["decode_problem"].isna().all()
    assert len(prints) == len(published) + len(other)
    (tmp_path / "undecodable" / EXAMINATIONS.name).unlink()
    seen, prints = examined_images([undecodable], doing="Looking")
    assert seen["decode_problem"].notna().all()
    assert len(prints) == 0


@pytest.mark.parametrize("which", ["test", "train", "validation"])
def test_a_damaged_shard_is_named_all_the_same(published, tmp_path, which):
    shard = next(shard for shard in published.manifest.shards if shard.split == which)
    path = tmp_path / "out" / shard.name
    content = bytearray(path.read_bytes())
    content[len(content) // 3] ^= 4
    path.write_bytes(content)
    with pytest.raises(DataError, match=f"{shard.name} is damaged"):
        validate(ValidateConfig(), published.uri)


@pytest.mark.parametrize("place", [0, 900, 50_000, -5])
def test_a_changed_document_is_told(published, tmp_path, place):
    content = bytearray(document_of(published))
    content[place] ^= 1
    (tmp_path / "out" / EXAMINATIONS.name).write_bytes(content)
    with pytest.raises(DataError, match="examinations.arrow is not what the manifest describes"):
        validate(ValidateConfig(), published.uri)
    with pytest.raises(DataError, match="examinations.arrow is not what the manifest describes"):
        derive(published, str(tmp_path / "derived"), iter, name="d", origin=OtherOrigin())
    assert not (tmp_path / "derived").exists()


def with_two_rows_of_one(table):
    return pa.concat_tables([table, table.slice(0, 1)])


@pytest.mark.parametrize(
    "change",
    [with_two_rows_of_one, lambda table: table.drop_columns("width"), lambda table: table.drop_columns("image_id")],
)
def test_a_document_that_no_release_writes_is_told(published, change):
    with pytest.raises(DataError, match="examinations.arrow is not what the manifest describes"):
        examined_images([rewritten(published, change)], doing="Looking")


def with_null(name):
    def change(table):
        place = table.column_names.index(name)
        values = [*table[name].to_pylist()[:-1], None]
        return table.set_column(place, table.field(name), pa.array(values, table.field(name).type))

    return change


@pytest.mark.parametrize(
    "name", ["image_id", "file_format", "mode", "file_hash", "width", "sharpness", "contrast", "fingerprint"]
)
def test_a_value_that_every_image_has_is_missing(published, name):
    with pytest.raises(DataError, match="examinations.arrow is not what the manifest describes"):
        examined_images([rewritten(published, with_null(name))], doing="Looking")


@pytest.mark.parametrize("compression", ["lz4", "zstd"])
def test_a_compressed_document_is_not_inflated(published, compression, monkeypatch):
    compressed = rewritten(published, lambda table: table, compression=compression)
    monkeypatch.setattr("pyarrow.ipc.read_record_batch", None)
    with pytest.raises(DataError, match="examinations.arrow is not what the manifest describes"):
        examined_images([compressed], doing="Looking")


def test_a_document_larger_than_its_images_make_it_is_not_read(published, monkeypatch):
    content = document_of(published) + bytes(len(published) * 20_000)
    monkeypatch.setattr("pyarrow.ipc.read_record_batch", None)
    with pytest.raises(DataError, match="examinations.arrow is not what the manifest describes"):
        examined_images([republished(published, content)], doing="Looking")


def test_rows_of_more_images_than_the_manifest_states_are_not_read(published):
    def doubled(table):
        ids = [f"{image_id} again" for image_id in table["image_id"].to_pylist()]
        return pa.concat_tables([table, table.set_column(0, table.field(0), pa.array(ids))])

    with pytest.raises(DataError, match="examinations.arrow is not what the manifest describes"):
        examined_images([rewritten(published, doubled)], doing="Looking")


@pytest.mark.parametrize("content", [b"ARROW1", b"ARROW1\0\0", b"ARROW1\0\0\xff\xff\xff\xff\x08\0\0\0abcdefgh"])
def test_a_document_that_is_no_table_is_told(published, content):
    with pytest.raises(DataError, match="examinations.arrow is not what the manifest describes"):
        examined_images([republished(published, content)], doing="Looking")


def test_a_document_of_other_measures_is_not_read(undecodable):
    old = rewritten(undecodable, lambda table: table.replace_schema_metadata({"measures": "0"}))
    assert examined_images([old], doing="Looking")[0]["decode_problem"].notna().all()


def test_images_without_a_row_are_examined(published, tmp_path):
    whole = without(published, tmp_path)
    lacking = rewritten(published, lambda table: table.slice(0, len(table) - 3))
    assert_same_look(lacking, whole)
    none = rewritten(published, lambda table: table.slice(0, 0))
    assert_same_look(none, whole)


def test_only_row_groups_with_an_image_without_a_row_are_decoded(tmp_path, monkeypatch):
    monkeypatch.setattr("lesiongen.dataset.writer.ROW_GROUP_ROWS", 2)
    source = ingested(tmp_path, "source", range(12))
    seen, prints = examined_images([source], doing="Looking")
    samples = [replace(sample, image=b"no image", split="train") for sample in source.samples()]
    with DatasetWriter(str(tmp_path / "made"), name="made", shard_rows=5) as writer:
        for sample in samples:
            writer.add(sample)
        places = {sample.image_id: place for place, sample in enumerate(samples) if place not in (3, 9)}
        keep_examinations(writer, places, seen, prints)
    looked, prints = examined_images([Dataset.open(str(tmp_path / "made"))], doing="Looking")
    # Row groups of 2, 2 and 1 rows in each shard of 5.
    assert looked.index[looked["decode_problem"].notna()].tolist() == [2, 3, 9]
    assert looked.index[~looked["from_kept"]].tolist() == [2, 3, 9]
    assert len(prints) == 9


def in_other_groups(dataset, sizes):
    """Writes the shards of a dataset in row groups of these sizes, as another program might."""
    root, shards = open_storage(dataset.uri).root, []
    for shard in dataset.manifest.shards:
        table, first = pq.read_table(root / shard.name), 0
        with pq.ParquetWriter(root / shard.name, table.schema, write_page_checksum=True) as writer:
            for size in sizes:
                writer.write_table(table.slice(first, size))
                first += size
        data = (root / shard.name).read_bytes()
        digest = hashlib.sha256(data).hexdigest()
        shards.append(shard.model_copy(update={"bytes": len(data), "sha256": digest, "footer_sha256": None}))
    manifest = dataset.manifest.model_copy(update={"shards": tuple(shards)})
    (root / MANIFEST_NAME).write_text(manifest.model_dump_json())
    return Dataset.open(dataset.uri)


def test_empty_row_groups_shift_nothing(tmp_path):
    source = ingested(tmp_path, "source", range(6))
    seen, prints = examined_images([source], doing="Looking")
    samples = [replace(sample, split="train") for sample in source.samples()]
    with DatasetWriter(str(tmp_path / "made"), name="made", shard_rows=3) as writer:
        for sample in samples:
            writer.add(sample)
        places = {sample.image_id: place for place, sample in enumerate(samples) if place != 4}
        keep_examinations(writer, places, seen, prints)
    made = in_other_groups(Dataset.open(str(tmp_path / "made")), (0, 1, 0, 2, 0))
    assert pq.ParquetFile(tmp_path / "made" / made.manifest.shards[0].name).num_row_groups == 5
    looked, found = examined_images([made], doing="Looking")
    assert looked["file_hash"].tolist() == seen["file_hash"].tolist()
    assert looked["from_kept"].tolist() == [True, True, True, True, False, False]
    assert list(found) == list(prints)


def test_a_dataset_without_images_is_looked_at(tmp_path, published):
    seen, prints = examined_images([published], doing="Looking")
    with DatasetWriter(str(tmp_path / "none"), name="none") as writer:
        writer.add(next(iter(published.samples())))
        keep_examinations(writer, {}, seen, prints)
    none = Dataset.open(str(tmp_path / "none"))
    manifest = none.manifest.model_copy(update={"shards": ()})
    (tmp_path / "none" / MANIFEST_NAME).write_text(manifest.model_dump_json())
    looked, found = examined_images([Dataset.open(none.uri)], doing="Looking")
    assert (len(looked), len(found)) == (0, 0)


def test_a_dataset_on_s3_is_read_the_same(published, tmp_path, s3_root):
    there = copy_dataset(published.uri, f"{s3_root}/there")
    assert_same_look(there, published)
    back = derive(there, f"{s3_root}/derived", iter, name="d", origin=OtherOrigin())
    assert document_of(back) == document_of(published)


def test_other_readers_take_no_row_from_the_document(published, tmp_path):
    from datasets import disable_progress_bars, load_dataset

    disable_progress_bars()
    loaded = load_dataset("parquet", data_dir=published.uri, cache_dir=str(tmp_path / "cache"))
    assert {split: len(rows) for split, rows in loaded.items()} == published.manifest.splits


def test_a_captioned_dataset_keeps_it(published, tmp_path):
    caption(CaptionConfig(tokenizer="tiny"), published.uri, str(tmp_path / "captioned"))
    captioned = Dataset.open(str(tmp_path / "captioned"))
    assert document_of(captioned) == document_of(published)
    assert captioned.manifest.origin.examinations == published.manifest.origin.examinations
    assert_same_look(captioned, published)


def test_parts_and_their_whole_keep_it(published, tmp_path):
    parts = [
        derive(published, str(tmp_path / f"part{part.number}"), iter, name="p", origin=OtherOrigin(part=str(part)),
               rows=part.rows(len(published)))
        for part in (Part(1, 2), Part(2, 2))
    ]  # fmt: skip
    for part in parts:
        assert_same_look(part, without(part, tmp_path, f"{part.manifest.version}-without"))
    assert document_of(join_parts(parts, str(tmp_path / "joined"), name="p")) == document_of(published)


def test_a_merge_keeps_what_its_parts_have_kept_in_either_order(tmp_path):
    a, b = ingested(tmp_path, "a", range(12)), ingested(tmp_path, "b", range(8, 20))
    made = {}
    for name, given in {"ab": (a, b), "ba": (b, a)}.items():
        merge(MergeConfig(duplicates="keep"), [dataset.uri for dataset in given], str(tmp_path / name))
        made[name] = Dataset.open(str(tmp_path / name))
        assert_same_look(made[name], without(made[name], tmp_path, f"{name}-without"))
    assert document_of(made["ab"]) == document_of(made["ba"])


def test_a_merge_keeps_nothing_of_what_it_drops(tmp_path):
    a, b = ingested(tmp_path, "a", range(6)), ingested(tmp_path, "b", range(4, 12))
    merge(MergeConfig(), [a.uri, b.uri], str(tmp_path / "ab"))
    merged = Dataset.open(str(tmp_path / "ab"))
    kept = pa.ipc.open_file(document_of(merged)).read_all()["image_id"].to_pylist()
    assert kept == sorted(merged.metadata(["image_id"])["image_id"])
    assert len(kept) == 12


def test_a_merge_of_real_sets_is_the_same_with_and_without(shared_data, tmp_path):
    sets = {"ham10000": "ham10000_subset", "isic": "isic2017", "pad_ufes_20": "pad_ufes_20_subset"}
    datasets = []
    for form, name in sets.items():
        config = IngestConfig(format=form, limit=150, on_error="reject", max_rejected=1)
        ingest(config, str(shared_data / name), str(tmp_path / name))
        datasets.append(Dataset.open(str(tmp_path / name)))
    uris = [dataset.uri for dataset in datasets]
    merge(MergeConfig(), uris, str(tmp_path / "with"))
    for dataset in datasets:
        (open_storage(dataset.uri).root / EXAMINATIONS.name).unlink()
    merge(MergeConfig(), uris, str(tmp_path / "without"))
    one, other = (Dataset.open(str(tmp_path / name)).manifest for name in ("with", "without"))
    assert (one.shards, one.origin) == (other.shards, other.origin)
    reports = [json.loads((tmp_path / name / MERGE_REPORT_NAME).read_text()) for name in ("with", "without")]
    assert reports[0] == reports[1]
