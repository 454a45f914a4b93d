"""A dataset made from another one: the same rows, other column values."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import xxhash

from lesiongen.dataset.near_duplicates import carried_near_duplicates, near_duplicates_origin
from lesiongen.dataset.reader import Dataset
from lesiongen.dataset.schema import Sample
from lesiongen.dataset.writer import DatasetWriter

__all__ = ["derive", "derived_origin"]


def derived_origin(dataset: Dataset) -> dict[str, Any]:
    """Returns what `derive` adds to the origin of a dataset with the same images.

    Raises:
        DataError: The near-duplicates kept with the dataset are not the ones that were published.
    """
    made_from = {"dataset": dataset.uri, "dataset_version": dataset.manifest.version}
    return {**made_from, **near_duplicates_origin(dataset)}


def derive(
    dataset: Dataset,
    output: str,
    transform: Callable[[Iterator[Sample]], Iterator[Sample]],
    *,
    name: str,
    origin: Mapping[str, Any],
    rows: range | None = None,
    documents: Callable[[Dataset], Mapping[str, str | None]] | None = None,
) -> Dataset:
    """Publishes a dataset with the same rows and other column values.

    The near-duplicates that are kept with what is read are kept with the new dataset, too, unless an image was changed.

    Args:
        dataset: What is read.
        output: New folder or prefix.
        transform: Turns the stream of samples into a stream of new ones.
        name: Name of the new dataset.
        origin: How it was made; the version of what was read is added.
        rows: Only these rows, see `Dataset.samples`.
        documents: Makes the files to lie beside the shards, by name, of the dataset as it will be published.

    Raises:
        DataError: What is read was changed after it was published.
    """
    manifest, carried = dataset.manifest, carried_near_duplicates(dataset)
    with DatasetWriter(
        output,
        name=name,
        licence=manifest.licence,
        attribution=manifest.attribution,
        origin={**origin, **derived_origin(dataset)},
    ) as writer:
        images = _Images()
        for sample in transform(images.noted(dataset.samples(rows=rows))):
            images.compare(sample)
            writer.add(sample)
        if not images.unchanged:
            carried = dict.fromkeys(carried)
            for key in near_duplicates_origin(dataset):
                del writer.origin[key]
        writer.documents |= carried
        if documents is not None:
            writer.documents |= documents(Dataset.open(writer.finished()))
    return Dataset.open(output)


class _Images:
    """Digests of the images that a transform has taken and not yet given back.

    Attributes:
        unchanged: Whether each image that came back is the one that was taken under its name.
    """

    def __init__(self) -> None:
        self.unchanged = True
        self._taken: dict[str, bytes] = {}

    def noted(self, samples: Iterator[Sample]) -> Iterator[Sample]:
        for sample in samples:
            self._taken[sample.image_id] = xxhash.xxh3_128_digest(sample.image)
            yield sample

    def compare(self, sample: Sample) -> None:
        self.unchanged &= self._taken.pop(sample.image_id, None) == xxhash.xxh3_128_digest(sample.image)
