"""Datasets that are merged, in the order of the collections that they were read from."""

from collections.abc import Mapping, Sequence
from typing import Any

from components.step import uri_of
from lesiongen.dataset import Dataset
from lesiongen.errors import UsageError

__all__ = ["dataset_names", "uris_in_order"]


def dataset_names(collections: Sequence[Mapping[str, Any]]) -> list[str]:
    """Returns the names of the collections' datasets, in their order.

    Raises:
        UsageError: There are fewer than two collections, one names no dataset, or two name the same.
    """
    if len(collections) < 2:
        raise UsageError(f"collections must hold at least two, not {len(collections)}")
    names = [str(one.get("dataset", "")) for one in collections]
    if "" in names:
        raise UsageError(f"collections.{names.index('')}.dataset is missing")
    if repeated := next((name for name in names if names.count(name) > 1), None):
        raise UsageError(f"two collections have the name {repeated}")
    return names


def uris_in_order(artifacts: Sequence[Any], names: Sequence[str]) -> list[str]:
    """Returns where datasets are stored, in the order in which ``names`` has theirs: runners collect in any order.

    Raises:
        UsageError: An artifact holds no reference, or ``names`` does not have the name of its dataset.
    """
    found: dict[str, str] = {}
    for artifact in artifacts:
        dataset = Dataset.open(uri_of(artifact))
        if (name := dataset.manifest.name) not in names:
            raise UsageError(
                f"The dataset {name} is not among the collections {', '.join(names)}",
                hint="Leave name out of ingest_config: each collection has its own.",
            )
        found[name] = dataset.uri
    return [found[name] for name in names if name in found]
