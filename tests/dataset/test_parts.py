"""Parts of a job: every row in one of them, and joined they are the dataset of a single job."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lesiongen.dataset import Dataset, DatasetWriter, Part, Sample, derive, join_parts
from lesiongen.errors import UsageError
from lesiongen.records.origin import OtherOrigin


@pytest.fixture
def dataset(tmp_path):
    with DatasetWriter(str(tmp_path / "whole"), name="whole", licence="CC0-1.0", shard_rows=7) as writer:
        for number in range(40):
            split = ("train", "train", "validation", "test")[number % 4]
            writer.add(Sample(image=b"x" * number, image_id=f"{number:02d}", diagnosis="nv", split=split))
    return Dataset.open(str(tmp_path / "whole"))


def _copy(dataset, output, part=None, **origin):
    rows = part.rows(len(dataset)) if part else None
    origin |= {"part": str(part)} if part else {}
    return derive(dataset, str(output), iter, name="copy", origin=OtherOrigin(stage="test", **origin), rows=rows)


@given(st.integers(20, 500), st.integers(1, 20))
def test_each_row_is_in_one_part_and_no_part_is_empty(total, count):
    parts = [Part(number, count).rows(total) for number in range(1, count + 1)]
    assert [row for part in parts for row in part] == list(range(total))
    assert all(parts)


def test_more_parts_than_rows_are_refused():
    with pytest.raises(UsageError, match="Part 1/4: there are 3 to share"):
        Part(1, 4).rows(3)


def test_a_range_of_rows_is_that_stretch_of_the_stream(dataset):
    names = [sample.image_id for sample in dataset.samples()]
    for rows in (range(0, 40), range(5, 6), range(6, 29), range(33, 40), range(12, 12)):
        assert [sample.image_id for sample in dataset.samples(rows=rows)] == names[rows.start : rows.stop]


def test_shards_outside_the_range_are_not_read(dataset, tmp_path):
    first = dataset.manifest.shards[0]
    (tmp_path / "whole" / first.name).write_bytes(b"damaged")
    assert len(list(dataset.samples(rows=range(first.rows, 40)))) == 40 - first.rows


@pytest.mark.parametrize("count", [1, 3, 4])
def test_joined_parts_equal_the_whole(dataset, tmp_path, count):
    whole = _copy(dataset, tmp_path / "one")
    parts = [_copy(dataset, tmp_path / f"part{n}", Part(n, count)) for n in range(1, count + 1)]
    joined = join_parts(parts[::-1], str(tmp_path / "joined"), name="copy")
    assert joined.manifest.version == whole.manifest.version
    assert joined.manifest.origin == whole.manifest.origin


def test_refuses_what_is_not_every_part_of_one_job(dataset, tmp_path):
    first, second = (_copy(dataset, tmp_path / f"part{n}", Part(n, 2)) for n in (1, 2))
    other = _copy(dataset, tmp_path / "other", Part(2, 2), seed=1)
    for parts, message in (
        ([first], "part 1/2; parts given: 1"),
        ([first, first], "part 1/2; parts given: 2"),
        ([first, other], "not of one job"),
        ([dataset, first], "is a whole dataset"),
    ):
        with pytest.raises(UsageError, match=message):
            join_parts(parts, str(tmp_path / "out"), name="copy")
    assert not (tmp_path / "out").exists()
    assert second.manifest.origin.part == "2/2"


@pytest.mark.parametrize("text", ["0/4", "5/4", "1", "a/b", "-1/4", "1/0"])
def test_refuses_a_part_that_cannot_be(text):
    with pytest.raises(UsageError, match="part"):
        Part.parse(text)
