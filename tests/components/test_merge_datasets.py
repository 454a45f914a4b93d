"""Which datasets the ``merge`` step reads, and in which order."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from components.merge.datasets import dataset_names, uris_in_order
from components.step import publish
from lesiongen.dataset import Dataset, DatasetWriter, Sample
from lesiongen.errors import UsageError


@pytest.fixture
def artifacts(tmp_path: Path) -> list[Any]:
    """The artifacts of two datasets, ``own`` and ``other``."""
    found = []
    for name in ("own", "other"):
        with DatasetWriter(str(tmp_path / "datasets" / name), name=name) as writer:
            writer.add(Sample(image=b"x", image_id=name, diagnosis="nv", split="train"))
        found.append(SimpleNamespace(path=str(tmp_path / f"{name}.json"), metadata={}))
        publish(Dataset.open(str(tmp_path / "datasets" / name)).reference(), found[-1])
    return found


def test_datasets_are_in_the_order_of_their_collections(artifacts: list[Any]) -> None:
    for given in (artifacts, artifacts[::-1]):
        names = [Path(uri).name for uri in uris_in_order(given, ["own", "other"])]
        assert names == ["own", "other"]


def test_a_dataset_of_no_collection_is_refused(artifacts: list[Any]) -> None:
    with pytest.raises(UsageError, match="The dataset other is not among the collections own, third"):
        uris_in_order(artifacts, ["own", "third"])


@pytest.mark.parametrize(
    ("collections", "words"),
    [
        ([], "collections must hold at least two, not 0"),
        ([{"dataset": "own"}], "collections must hold at least two, not 1"),
        ([{"dataset": "own"}, {"source": "x"}], r"collections\.1\.dataset is missing"),
        ([{"dataset": "own"}, {"dataset": "other"}, {"dataset": "own"}], "two collections have the name own"),
    ],
)
def test_wrong_collections_are_refused(collections: list[dict[str, str]], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        dataset_names(collections)


def test_the_names_have_the_order_of_the_collections() -> None:
    assert dataset_names([{"dataset": "own"}, {"dataset": "other"}]) == ["own", "other"]
