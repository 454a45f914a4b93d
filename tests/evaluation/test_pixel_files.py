"""Images in files: the same pixels as in memory, and memory that does not grow with their number."""

import sys

import numpy as np
import pytest

from lesiongen.dataset import Dataset
from lesiongen.evaluation.material import load_material
from lesiongen.evaluation.pixel_files import HELD, batches, each, joined, release, room, selected


@pytest.fixture
def images():
    return np.random.default_rng(0).integers(0, 256, (2 * HELD + 5, 4, 4, 3), dtype=np.uint8)


@pytest.fixture
def filed(images, tmp_path):
    held = room(images.shape, tmp_path / "pixels")
    held[:] = images
    release(held)
    return held


def test_what_was_released_is_read_again_from_the_file(images, filed):
    assert np.array_equal(filed, images)
    assert np.array_equal(np.stack(list(each(filed[:, :, ::-1]))), images[:, :, ::-1])
    assert [len(batch) for batch in batches(filed, HELD)] == [HELD, HELD, 5]


def test_some_and_joined_images_are_where_the_others_are(images, filed):
    rows = np.arange(len(images)) % 3 == 0
    for held, kind in ((images, np.ndarray), (filed, np.memmap)):
        found = selected(held, rows), selected(held, np.flatnonzero(rows)), joined(held, held[:7], held[1:3])
        assert [type(each) for each in found] == [kind] * 3
        assert np.array_equal(found[0], images[rows])
        assert np.array_equal(found[1], images[rows])
        assert np.array_equal(found[2], np.concatenate([images, images[:7], images[1:3]]))


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_pages_of_many_images_do_not_count_as_memory_once_they_were_looked_at(tmp_path):
    def resident():
        with open("/proc/self/status", encoding="utf-8") as status:
            return next(int(line.split()[1]) for line in status if line.startswith("RssFile"))

    many = room((40 * HELD, 64, 64, 3), tmp_path / "pixels")  # 120 MiB
    before = most = resident()
    for batch in batches(many, 64):
        batch[:] = 1
        most = max(most, resident())
    assert (most - before) / 1024 < 20
    assert many[-1].min() == 1


def test_material_in_files_is_that_in_memory(real, synthetic, small_config, tmp_path):
    datasets = Dataset.open(real), Dataset.open(synthetic)
    held, filed = load_material(small_config, *datasets), load_material(small_config, *datasets, folder=tmp_path)
    for part in ("train", "validation", "test", "synthetic"):
        one, other = getattr(held, part), getattr(filed, part)
        assert isinstance(other.images, np.memmap)
        assert not isinstance(one.images, np.memmap)
        assert np.array_equal(one.images, other.images)
        assert one.table.equals(other.table)
