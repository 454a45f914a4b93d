import pytest

from lesiongen.dataset import Dataset
from lesiongen.diffusion.sampling.drawn import Drawn
from lesiongen.storage import open_storage


@pytest.fixture
def samples(dataset_uri):
    return list(Dataset.open(dataset_uri).samples())[:6]


@pytest.fixture
def drawn(tmp_path):
    return Drawn(open_storage(tmp_path), "run")


def _ids(samples):
    return [item.image_id for item in samples]


def _damaged(content):
    """Yields the content with single bits changed, at both ends and all over, and cut at several places."""
    for place in sorted({*range(0, len(content), 97), *range(48), *range(len(content) - 48, len(content))}):
        yield content[:place] + bytes([content[place] ^ (1 << place % 8)]) + content[place + 1 :]
    for length in (0, 1, 31, 32, 33, 100, len(content) // 2, len(content) - 1):
        yield content[:length]


def test_a_batch_is_read_back(drawn, samples):
    assert drawn.get(_ids(samples)) is None
    drawn.put(samples)
    assert drawn.get(_ids(samples)) == samples


def test_no_damage_to_a_batch_is_taken_for_a_batch(drawn, samples, tmp_path):
    drawn.put(samples)
    (path,) = tmp_path.rglob("*.rows")
    for content in _damaged(path.read_bytes()):
        path.write_bytes(content)
        assert drawn.get(_ids(samples)) is None


def test_clearing_leaves_the_batches_of_other_parts(drawn, samples):
    mine, others = samples[:2], samples[2:]
    drawn.put(mine)
    drawn.put(others)
    drawn.clear([_ids(mine)])
    assert drawn.get(_ids(mine)) is None
    assert drawn.get(_ids(others)) == others
