import pytest

from lesiongen.dataset import Dataset, DatasetWriter, Sample
from lesiongen.dataset.copying import copy_dataset
from lesiongen.errors import DataError, UsageError
from lesiongen.storage import open_storage
from lesiongen.storage.s3 import s3_client


def publish(output: str, count: int = 12, **documents: str) -> Dataset:
    with DatasetWriter(output, name="copied", shard_rows=4) as writer:
        writer.documents = documents
        for number in range(count):
            writer.add(Sample(image=bytes([number]) * 500, image_id=str(number), diagnosis="nv", split="train"))
    return Dataset.open(output)


@pytest.fixture
def puts():
    """The requests of this process that put objects."""
    seen: list[str] = []
    events = s3_client().meta.events
    events.register("before-call.s3.PutObject", lambda **_: seen.append("put"), unique_id="puts")
    yield seen
    events.unregister("before-call.s3.PutObject", unique_id="puts")


def test_a_copy_goes_to_s3_and_back_and_stays_the_same(tmp_path, s3_root):
    dataset = publish(str(tmp_path / "here"))
    there = copy_dataset(dataset.uri, f"{s3_root}/there")
    other = copy_dataset(there.uri, f"{s3_root}/other")
    back = copy_dataset(other.uri, str(tmp_path / "back"))
    assert back.manifest == dataset.manifest
    assert list(back.samples()) == list(dataset.samples())


def test_what_a_stage_has_put_beside_the_shards_goes_along(tmp_path, s3_root):
    documents = {"rejected.csv": "file,row\n", "merge.html": "<p>merged</p>"}
    dataset = publish(str(tmp_path / "here"), **documents)
    (tmp_path / "here" / "notes.txt").write_text("of somebody else")
    copy_dataset(dataset.uri, f"{s3_root}/there")
    copy_dataset(f"{s3_root}/there", str(tmp_path / "back"))
    names = {path.name for path in (tmp_path / "back").iterdir()}
    assert {name for name in names if not name.endswith(".parquet")} == {*documents, "_dataset.json"}
    for name, text in documents.items():
        assert (tmp_path / "back" / name).read_text() == text


def test_a_copy_that_was_interrupted_sends_what_is_missing(tmp_path, s3_root, puts):
    dataset = publish(str(tmp_path / "here"))
    open_storage(s3_root).upload_file(
        tmp_path / "here" / "train-00001-of-00003.parquet", "train-00001-of-00003.parquet"
    )
    open_storage(s3_root).write_bytes("train-00002-of-00003.parquet", b"damaged")
    puts.clear()
    assert copy_dataset(dataset.uri, s3_root).manifest == dataset.manifest
    assert len(puts) == 4  # the claim, two shards and the manifest
    puts.clear()
    copy_dataset(dataset.uri, s3_root)
    assert not puts


def test_a_damaged_shard_is_not_handed_on(tmp_path):
    dataset = publish(str(tmp_path / "here"))
    shard = tmp_path / "here" / "train-00002-of-00003.parquet"
    shard.write_bytes(shard.read_bytes()[:-1] + b"x")
    with pytest.raises(DataError, match=r"train-00002-of-00003.parquet is damaged"):
        copy_dataset(dataset.uri, str(tmp_path / "copy"))
    assert [path.name[:11] for path in sorted((tmp_path / "copy").iterdir())] == ["train-00000", "train-00001"]


def test_another_dataset_is_not_copied_over(tmp_path):
    first, second = publish(str(tmp_path / "a")), publish(str(tmp_path / "b"), 8)
    with pytest.raises(UsageError, match="holds another dataset"):
        copy_dataset(first.uri, second.uri)
    (tmp_path / "b" / "_dataset.json").unlink()
    with pytest.raises(UsageError, match="holds Parquet files of something else"):
        copy_dataset(first.uri, second.uri)
