import numpy as np
import pandas as pd
import pytest

from lesiongen.dataset.examined import examined_images
from lesiongen.dataset.pixel_hashes import pixel_hashes
from lesiongen.dataset.reader import Dataset
from lesiongen.imaging import decode, duplicate_groups, near_duplicates
from tests.dataset.conftest import encoded, photograph

JPEG = encoded(photograph(1), "JPEG", quality=90)


def looks(prints):
    return duplicate_groups(near_duplicates(prints), len(prints))


def hashes_of(*datasets):
    seen, prints = examined_images(datasets, doing="Looking")
    table = pd.concat([one.metadata(["image_id"]).assign(dataset=n) for n, one in enumerate(datasets)])
    return list(pixel_hashes(seen.assign(look=looks(prints), **table.reset_index(drop=True)), datasets))


@pytest.fixture
def read_again(monkeypatch):
    """The ids that are asked for once more."""
    asked = []
    plain = Dataset.select
    monkeypatch.setattr(Dataset, "select", lambda self, ids: (asked.extend(sorted(ids)), plain(self, ids))[1])
    return asked


def test_equal_pixels_have_equal_hashes_in_whatever_file_and_dataset(collection, read_again):
    same = [JPEG, encoded(decode(JPEG)), encoded(decode(JPEG), "BMP")]
    a = collection("a", [{"image": same[0]}, {"seed": 2}, {"image": same[1]}])
    b = collection("b", [{"seed": 3}, {"image": same[2]}, {"image": encoded(photograph(1), "JPEG", quality=60)}])
    found = hashes_of(a, b)
    assert found[0] == found[2] == found[4]
    assert len({*found}) == 4
    assert read_again == ["0", "2", "1", "2"]


def test_equal_files_and_pictures_of_other_sizes_are_not_read_again(collection, read_again):
    small = encoded(decode(JPEG).resize((72, 72)))
    found = hashes_of(collection("a", [{"image": JPEG}, {"seed": 2}, {"image": JPEG}, {"image": small}]))
    assert found[0] == found[2]
    assert len({*found}) == 3
    assert not read_again


def test_a_broken_file_has_no_hash_and_moves_no_other(collection):
    rows = [{"image": JPEG}, {"image": JPEG[:-400]}, {"seed": 5}, {"image": encoded(decode(JPEG))}]
    dataset = collection("a", rows)
    seen, prints = examined_images([dataset], doing="Looking")
    look = np.full(4, np.nan)
    look[seen["decode_problem"].isna()] = looks(prints)
    found = pixel_hashes(seen.assign(look=look, dataset=0, **dataset.metadata(["image_id"])), [dataset])
    assert found[0] == found[3] != found[2]
    assert found[1] is None
