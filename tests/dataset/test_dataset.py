import io
import json
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from lesiongen.dataset import SCHEMA, Dataset, DatasetWriter, Sample, derive
from lesiongen.errors import DataError, UsageError
from lesiongen.records.origin import CaptionOrigin, OtherOrigin
from lesiongen.references import read_reference, write_reference
from lesiongen.storage import open_storage


def picture(number: int) -> bytes:
    pixels = np.random.default_rng(number).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


def samples(count: int) -> list[Sample]:
    splits = ("train", "train", "train", "validation", "test")
    return [
        Sample(
            image=picture(number),
            image_id=f"image-{number}",
            diagnosis=("nv", "mel")[number % 2],
            split=splits[number % 5],
            lesion_id=f"lesion-{number // 2}",
            age=float(number),
            caption='a "nevus", brown — größer',
            concepts=json.dumps({"number": number}),
        )
        for number in range(count)
    ]


def publish(output: str, count: int = 20, **options) -> Dataset:
    with DatasetWriter(output, name="test", licence="CC0", origin=OtherOrigin(stage="test"), **options) as writer:
        for sample in samples(count):
            writer.add(sample)
    return Dataset.open(output)


@pytest.fixture(params=["folder", "s3"])
def output(request, tmp_path):
    return str(tmp_path / "dataset") if request.param == "folder" else request.getfixturevalue("s3_root")


def test_samples_come_back_as_they_were_given(output):
    dataset = publish(output, 20, shard_rows=5)

    given = {sample.image_id: sample for sample in samples(20)}
    assert {sample.image_id: sample for sample in dataset.samples()} == given
    assert {sample.split for sample in dataset.samples("test")} == {"test"}
    assert list(dataset.metadata()["image_id"]) == [sample.image_id for sample in dataset.samples()]
    assert [shard.name for shard in dataset.manifest.shards] == [
        "train-00000-of-00003.parquet",
        "train-00001-of-00003.parquet",
        "train-00002-of-00003.parquet",
        "validation-00000-of-00001.parquet",
        "test-00000-of-00001.parquet",
    ]
    assert dataset.manifest.splits == {"train": 12, "validation": 4, "test": 4}
    assert dataset.manifest.classes == {"mel": 10, "nv": 10}


def test_the_datasets_library_reads_images_and_true_splits(tmp_path, monkeypatch):
    publish(str(tmp_path / "dataset"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    from datasets import disable_progress_bars, load_dataset

    disable_progress_bars()
    loaded = load_dataset("parquet", data_dir=str(tmp_path / "dataset"), cache_dir=str(tmp_path / "cache"))

    assert {name: len(rows) for name, rows in loaded.items()} == {"train": 12, "validation": 4, "test": 4}
    row = loaded["test"][0]
    original = {sample.image_id: sample for sample in samples(20)}[row["image_id"]]
    assert np.array_equal(np.asarray(row["image"]), np.asarray(Image.open(io.BytesIO(original.image))))
    assert row["split"] == "test"
    assert row["skin_tone"] is None


def test_metadata_reads_no_pixels(s3_root):
    with DatasetWriter(s3_root, name="heavy") as writer:
        for number in range(8):
            noise = np.random.default_rng(number).bytes(500_000)
            writer.add(Sample(image=noise, image_id=str(number), diagnosis="nv", split="train"))
    dataset = Dataset.open(s3_root)
    streams = []
    plain_open = dataset._storage.open
    dataset._storage.open = lambda key: streams.append(plain_open(key)) or streams[-1]

    table = dataset.metadata(["image_id", "diagnosis"])

    assert list(table["image_id"]) == [str(number) for number in range(8)]
    assert sum(stream.raw.transferred for stream in streams) < 0.1 * 8 * 500_000


def test_equal_data_have_equal_versions(tmp_path):
    first, second = publish(str(tmp_path / "a")), publish(str(tmp_path / "b"))
    other = publish(str(tmp_path / "c"), 19)
    assert first.manifest.version == second.manifest.version != other.manifest.version


def test_a_reference_travels_as_json(tmp_path):
    reference = publish(str(tmp_path / "dataset")).reference()
    write_reference(reference, tmp_path / "reference.json")
    assert read_reference(tmp_path / "reference.json") == reference
    assert reference.rows == 20


def test_derive_keeps_rows_splits_and_where_they_came_from(tmp_path):
    dataset = publish(str(tmp_path / "dataset"))

    def recaption(samples: Iterator[Sample]) -> Iterator[Sample]:
        return (replace(sample, caption=sample.image_id.upper()) for sample in samples)

    derived = derive(
        dataset, str(tmp_path / "derived"), recaption, name="derived", origin=CaptionOrigin(stage="caption")
    )

    assert [(sample.caption, sample.split) for sample in derived.samples()] == [
        (sample.image_id.upper(), sample.split) for sample in dataset.samples()
    ]
    assert derived.manifest.origin.dataset_version == dataset.manifest.version
    assert derived.manifest.licence == "CC0"


def test_nothing_is_visible_after_an_error(tmp_path):
    output = tmp_path / "dataset"
    with pytest.raises(KeyboardInterrupt), DatasetWriter(str(output), name="test") as writer:
        writer.add(samples(1)[0])
        raise KeyboardInterrupt
    assert not output.exists()
    with pytest.raises(UsageError, match="dataset does not exist"):
        Dataset.open(str(output))
    output.mkdir()
    with pytest.raises(UsageError, match="is not a dataset: it contains no _dataset.json"):
        Dataset.open(str(output))


def test_shards_of_a_dead_attempt_are_cleared_and_never_read(tmp_path):
    publish(str(tmp_path / "dead"))
    (tmp_path / "dead" / "train-00000-of-00001.parquet").rename(tmp_path / "dead" / "train-00007-of-00009.parquet")
    (tmp_path / "dead" / "_dataset.json").unlink()
    dataset = publish(str(tmp_path / "dead"))
    assert len(list(dataset.samples())) == 20
    assert [item.key for item in open_storage(dataset.uri).list("train-")] == ["train-00000-of-00001.parquet"]


def test_a_version_is_never_overwritten(output):
    publish(output)
    with pytest.raises(UsageError, match="already holds a dataset"):
        publish(output)


@pytest.mark.parametrize(
    ("change", "words"),
    [({"rows": "many"}, "rows: Input should be a valid integer"), ({"shards": [{}]}, "shards.0.name: Field required")],
)
def test_a_damaged_manifest_is_told_in_one_sentence(tmp_path, change, words):
    publish(str(tmp_path / "data"))
    path = tmp_path / "data" / "_dataset.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(DataError, match=f"_dataset.json is damaged: {words}") as caught:
        Dataset.open(str(tmp_path / "data"))
    assert len(str(caught.value).splitlines()) == 2


def test_a_damaged_shard_is_named(tmp_path):
    dataset = publish(str(tmp_path / "dataset"))
    shard = tmp_path / "dataset" / "train-00000-of-00001.parquet"
    content = bytearray(shard.read_bytes())
    content[100] ^= 1
    shard.write_bytes(bytes(content))
    with pytest.raises(DataError, match="train-00000-of-00001.parquet is damaged"):
        list(dataset.samples())
    shard.write_bytes(bytes(content[:-1]))
    with pytest.raises(DataError, match="bytes, but the manifest says"):
        dataset.metadata()


def test_wrong_samples_are_refused_by_name(tmp_path):
    first = samples(1)[0]
    with (
        pytest.raises(DataError, match="duplicate image_id 'image-0'"),
        DatasetWriter(str(tmp_path / "a"), name="a") as writer,
    ):
        writer.add(first)
        writer.add(first)
    stray = Sample(image=b"", image_id="stray", diagnosis="nv", split="dev")
    with pytest.raises(DataError, match="stray: split = 'dev'"), DatasetWriter(str(tmp_path / "b"), name="b") as writer:
        writer.add(stray)
    with pytest.raises(DataError, match="would be empty"), DatasetWriter(str(tmp_path / "c"), name="c"):
        pass


def test_a_later_schema_version_is_refused(tmp_path):
    publish(str(tmp_path / "dataset"))
    path = tmp_path / "dataset" / "_dataset.json"
    path.write_text(path.read_text().replace('"schema_version": 1', '"schema_version": 99'))
    with pytest.raises(DataError, match="schema version 99"):
        Dataset.open(str(tmp_path / "dataset"))


def test_unknown_columns_and_splits_are_refused(tmp_path):
    dataset = publish(str(tmp_path / "dataset"))
    with pytest.raises(UsageError, match="'image'"):
        dataset.metadata(["image"])
    with pytest.raises(UsageError, match="'dev'"):
        list(dataset.samples("dev"))


def test_the_columns_are_those_of_the_design():
    names = """image image_id diagnosis original_diagnosis lesion_id patient_id case_id age sex site skin_tone
        skin_tone_scale skin_tone_source measured_tone image_type device official_split split concepts caption
        provenance source licence attribution"""
    assert sorted(SCHEMA.names) == sorted(names.split())


@pytest.mark.parametrize("name", ["train-embeddings.parquet", "metadata.parquet", "deep/train-00000-of-00001.parquet"])
def test_parquet_files_of_something_else_are_neither_deleted_nor_taken_in(output, name):
    storage = open_storage(output)
    storage.write_bytes(name, b"not ours")
    with pytest.raises(UsageError, match=name):
        publish(output)
    assert [(item.key, storage.read_bytes(item.key)) for item in storage.list()] == [(name, b"not ours")]
