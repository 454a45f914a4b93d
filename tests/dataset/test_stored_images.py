"""A dataset's images where they lie: which process may read what, and for how long."""

from pathlib import Path

import pytest

from lesiongen.dataset import Dataset, DatasetWriter, Sample
from lesiongen.dataset.stored_images import DatasetImages
from lesiongen.errors import DataError

COUNT = 700


def publish(output: str) -> Dataset:
    """Writes two shards of 300 rows, so of three row groups each, and one of 100."""
    with DatasetWriter(output, name="stored", shard_rows=300) as writer:
        for number in range(COUNT):
            split = "test" if number % 7 == 0 else "train"
            writer.add(Sample(image=b"%d" % number, image_id=str(number), diagnosis="nv", split=split))
    return Dataset.open(output)


def test_images_come_by_row_groups_in_the_order_of_the_samples(tmp_path):
    dataset = publish(str(tmp_path / "here"))
    with DatasetImages(dataset) as images:
        groups = [list(group) for group in images]
    assert [image for group in groups for image in group] == [sample.image for sample in dataset.samples()]
    assert len(groups) == 7
    assert max(map(len, groups)) == 128


def test_a_shard_from_s3_is_there_until_its_last_group_was_taken(s3_root):
    dataset = publish(s3_root)
    expected = [sample.image for sample in dataset.samples()]
    found: list[bytes] = []
    with DatasetImages(dataset) as images:
        drawn = list(images)
        paths: list[Path] = list(dict.fromkeys(group.path for group in drawn))
        assert len(paths) == len(dataset.manifest.shards) == 3
        for number, group in enumerate(drawn):
            assert group.path.exists()
            found += group
            images.advance()
            still_needed = {later.path for later in drawn[number + 1 :]}
            assert {path for path in paths if path.exists()} == still_needed
    assert found == expected


def test_nothing_from_s3_stays_where_the_work_is_broken_off(s3_root):
    with DatasetImages(publish(s3_root)) as images:
        path = next(iter(images)).path
        assert path.exists()
    assert not path.exists()


def test_a_shard_that_was_changed_is_named_before_it_is_read(tmp_path):
    dataset = publish(str(tmp_path / "here"))
    shard = tmp_path / "here" / dataset.manifest.shards[1].name
    shard.write_bytes(shard.read_bytes()[:-1] + b"x")
    with DatasetImages(dataset) as images, pytest.raises(DataError, match=f"{shard.name} is damaged"):
        list(images)
