"""Shards of which bits are flipped: what is read is right, or it is refused by the shard's name."""

import json
import random
from collections import Counter

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lesiongen.dataset import Dataset, DatasetWriter, Sample
from lesiongen.errors import DataError, LesionGenError

ROWS = 40
READS = {
    "metadata": lambda dataset: dataset.metadata().to_dict("records"),
    "select": lambda dataset: list(dataset.select({"image-3", "image-7", "image-39"})),
    "row_groups": lambda dataset: dataset.row_groups().tolist(),
    "pick": lambda dataset: dataset.pick(["image-7"]),
    "samples": lambda dataset: list(dataset.samples()),
    "hashed_ahead": lambda dataset: hashed_ahead(dataset),
}


def hashed_ahead(dataset: Dataset) -> list[Sample]:
    with dataset.hashed_ahead():
        return list(dataset.samples())


@pytest.fixture
def dataset(tmp_path, monkeypatch) -> Dataset:
    monkeypatch.setattr("lesiongen.dataset.writer.ROW_GROUP_ROWS", 20)
    draw = random.Random(4)
    with DatasetWriter(str(tmp_path / "data"), name="data") as writer:
        for number in range(ROWS):
            texts = {
                "image_id": f"image-{number}",
                "diagnosis": "mel" if number % 3 else "nv",
                "caption": f"a {number}",
            }
            writer.add(Sample(image=draw.randbytes(200), split="train", age=30.0 + number, **texts))
    return Dataset.open(str(tmp_path / "data"))


def headers_of(content: bytes) -> list[int]:
    """Returns places within the page headers, which neither checksum covers, of the columns of a shard."""
    footer = pq.read_metadata(pa.BufferReader(content))
    groups = [footer.row_group(group) for group in range(footer.num_row_groups)]
    chunks = [group.column(column) for group in groups for column in range(group.num_columns)]
    starts = [page for chunk in chunks for page in (chunk.dictionary_page_offset, chunk.data_page_offset) if page]
    return [start + offset for start in starts for offset in range(24)]


def outcome(read, dataset: Dataset, right: object) -> str:
    try:
        found = read(dataset)
    except DataError as error:
        assert "train-00000-of-00001.parquet is damaged: " in str(error)
        assert "\nCopy the dataset again from where" in str(error)
        return "refused"
    # repr: the ages that are absent are not a number, which equals nothing
    return "right" if repr(found) == repr(right) else "changed"


def flips(dataset: Dataset, read: str, places: list[tuple[int, int]]) -> Counter:
    path = dataset._storage.root / "train-00000-of-00001.parquet"
    whole = path.read_bytes()
    right, found = READS[read](dataset), Counter()
    for place, bit in places:
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1 << bit]) + whole[place + 1 :])
        found[outcome(READS[read], dataset, right)] += 1
    path.write_bytes(whole)
    return found


@pytest.mark.parametrize("read", READS)
def test_no_flipped_bit_passes_for_data(dataset, read):
    draw = random.Random(read)
    content = (dataset._storage.root / "train-00000-of-00001.parquet").read_bytes()
    footer = len(content) - 8 - int.from_bytes(content[-8:-4], "little")
    places = [
        *draw.choices(range(len(content)), k=15),
        *draw.choices(range(footer, len(content)), k=10),
        len(content) - 6,
    ]
    places += draw.choices(headers_of(content), k=25)

    found = flips(dataset, read, [(place, draw.randrange(8)) for place in places])

    assert found["changed"] == 0
    assert found["refused"] >= 11  # the flips in the footer at least


@pytest.mark.faults
@pytest.mark.parametrize("read", READS)
def test_no_bit_of_many_passes_for_data(dataset, read):
    draw = random.Random(read)
    content = (dataset._storage.root / "train-00000-of-00001.parquet").read_bytes()
    places = [*draw.choices(range(len(content)), k=1000), *draw.choices(headers_of(content), k=1000)]
    assert flips(dataset, read, [(place, draw.randrange(8)) for place in places])["changed"] == 0


def test_a_dataset_of_an_earlier_release_is_read_and_its_damage_is_told(dataset, tmp_path):
    path = dataset._storage.root / "train-00000-of-00001.parquet"
    pq.write_table(pq.read_table(path), path)
    shard = dataset.manifest.shards[0].model_copy(update={"bytes": path.stat().st_size, "footer_sha256": None})
    old = Dataset(dataset.uri, dataset.manifest.model_copy(update={"shards": (shard,)}))
    assert len(old.metadata()) == ROWS
    content = path.read_bytes()
    for damaged in (content[:-8] + bytes(4) + b"PAR1", content[:-400] + bytes(392) + content[-8:]):
        path.write_bytes(damaged)
        for read in ("metadata", "select", "row_groups"):
            with pytest.raises(DataError, match="train-00000-of-00001.parquet is damaged"):
                READS[read](old)


def test_no_bit_of_the_manifest_passes_for_another(dataset):
    path, draw = dataset._storage.root / "_dataset.json", random.Random(9)
    content, damaged = path.read_bytes(), 0
    for place in draw.choices(range(len(content)), k=300):
        path.write_bytes(content[:place] + bytes([content[place] ^ 1 << draw.randrange(8)]) + content[place + 1 :])
        try:
            assert Dataset.open(dataset.uri).manifest == dataset.manifest
        except LesionGenError as error:
            assert "_dataset.json" in str(error)
            damaged += 1
    assert damaged > 200
    path.write_bytes(content)
    before = json.loads(content)
    del before["manifest_sha256"]  # of an earlier release
    path.write_text(json.dumps(before))
    assert Dataset.open(dataset.uri).manifest == dataset.manifest
