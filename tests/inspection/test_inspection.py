import json
from dataclasses import replace

import numpy as np
import pytest

from lesiongen.dataset import Dataset, DatasetWriter, Sample
from lesiongen.inspection import draw_images, inspect_dataset, inspection_page
from lesiongen.reporting import render
from lesiongen.storage import open_storage

SYNTHETIC = json.dumps({"image_manipulation": "synthetic"})


@pytest.fixture
def dataset(collection):
    rows = [
        {"seed": 1, "diagnosis": "mel", "age": 29.9, "sex": "male", "skin_tone": "2", "skin_tone_scale": "fitzpatrick"},
        {"seed": 2, "diagnosis": "mel", "age": 30.0, "sex": "male", "lesion_id": "L", "split": "test"},
        {"seed": 3, "diagnosis": "nv", "age": 85.0, "site": "<b>back</b>", "lesion_id": "L", "split": "test"},
        {"seed": 4, "diagnosis": "nv", "provenance": SYNTHETIC, "licence": "CC BY 4.0"},
    ]
    return collection("seen", rows)


def test_counts_are_those_of_the_rows(dataset):
    seen = inspect_dataset(dataset.uri).summary()

    assert seen["classes"] == {
        "mel": {"train": 1, "validation": 0, "test": 1},
        "nv": {"train": 1, "validation": 0, "test": 1},
    }
    assert {band: sum(counts.values()) for band, counts in seen["subgroups"]["age_band"].items()} == {
        "under 30": 1,
        "30 to 44": 1,
        "75 to 89": 1,
        "not recorded": 1,
    }
    assert list(seen["subgroups"]["skin_tone"]) == ["fitzpatrick 2", "not recorded"]
    assert (seen["lesions"], seen["patients"], seen["synthetic"]) == (1, None, 1)
    assert seen["coverage"]["sex"] == 2
    assert "measured_tone" not in seen["subgroups"]
    assert list(seen["licences"]) == ["CC BY 4.0", "not recorded"]


def test_a_draw_is_the_same_for_a_seed_and_shows_every_class_and_split(dataset):
    first, again = (draw_images(dataset.uri, per_cell=1, seed=3) for _ in range(2))
    assert list(first) == [("mel", "train"), ("nv", "train"), ("mel", "test"), ("nv", "test")]
    assert {cell: [name for name, _ in shown] for cell, shown in first.items()} == {
        cell: [name for name, _ in shown] for cell, shown in again.items()
    }


def test_without_real_images_only_synthetic_ones_are_drawn(dataset):
    drawn = draw_images(dataset.uri, per_cell=5, allow_real_images=False)
    assert [[name for name, _ in shown] for shown in drawn.values()] == [["3"]]


def test_the_page_escapes_what_the_rows_hold(dataset):
    page = render(inspection_page(inspect_dataset(dataset.uri), draw_images(dataset.uri, per_cell=2)))
    assert "&lt;b&gt;back&lt;/b&gt;" in page
    assert "<b>back" not in page
    assert page.count("<figure>") == 4


def test_an_empty_cell_needs_no_picture(collection):
    dataset = collection("one", [{"seed": 1, "split": "test"}])
    page = render(inspection_page(inspect_dataset(dataset.uri), draw_images(dataset.uri, per_cell=2)))
    assert "Images of test" in page
    assert "Images of train" not in page


def noise(number: int) -> bytes:
    """Bytes that Parquet's compression cannot make smaller."""
    return np.random.default_rng(number).bytes(10_000)


@pytest.fixture
def heavy(s3_root):
    """2,560 images of 10 kB on S3, in twenty row groups."""
    with DatasetWriter(s3_root, name="heavy") as writer:
        sample = Sample(image=b"", image_id="", diagnosis="nv", split="train", site="back")
        for number in range(2560):
            writer.add(replace(sample, image=noise(number), image_id=f"{number:06d}"))
    return Dataset.open(s3_root)


@pytest.fixture
def transferred(monkeypatch):
    """Counts the bytes that are asked of the server by ranges."""
    from lesiongen.storage.s3 import S3Storage

    counted = []
    plain = S3Storage.read_range

    def read_range(self, key, start, end, etag):
        counted.append(end - start)
        return plain(self, key, start, end, etag)

    monkeypatch.setattr(S3Storage, "read_range", read_range)
    return counted


def metadata_bytes(dataset: Dataset) -> int:
    """The bytes of every column chunk but the image's, and of the footers."""
    import pyarrow.parquet as pq

    total = 0
    for shard in dataset.manifest.shards:
        with open_storage(dataset.uri).fetch(shard.name) as path:
            footer = pq.read_metadata(path)
        total += footer.serialized_size
        for group in range(footer.num_row_groups):
            row_group = footer.row_group(group)
            columns = (row_group.column(number) for number in range(row_group.num_columns))
            total += sum(c.total_compressed_size for c in columns if not c.path_in_schema.startswith("image."))
    return total


def test_counting_reads_no_byte_of_pixels(heavy, transferred):
    least, whole = metadata_bytes(heavy), sum(shard.bytes for shard in heavy.manifest.shards)
    transferred.clear()
    assert inspect_dataset(heavy.uri).manifest.rows == 2560
    # The end of a shard (64 kB) is read in any case, for its footer; else nothing beside the columns is.
    assert sum(transferred) <= least + len(heavy.manifest.shards) * 65536 + len(transferred) * 64
    assert sum(transferred) < 0.02 * whole


def test_pictures_are_drawn_from_few_row_groups(heavy, transferred):
    whole = sum(shard.bytes for shard in heavy.manifest.shards)
    drawn = list(heavy.select({"000003", "000100"}))
    assert [sample.image_id for sample in drawn] == ["000003", "000100"]
    assert drawn[0].image == noise(3)
    assert sum(transferred) < 0.1 * whole


def test_row_groups_are_numbered_in_the_order_of_the_metadata(heavy):
    numbers = heavy.row_groups()
    assert len(numbers) == len(heavy.metadata(["image_id"])) == 2560
    assert list(dict.fromkeys(numbers)) == list(range(numbers[-1] + 1))
    assert list(heavy.select(set())) == []
