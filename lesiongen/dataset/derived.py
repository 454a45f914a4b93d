"""A dataset made from another one: the same rows, other column values."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import xxhash

from lesiongen.dataset.kept import keep_documents, kept_files
from lesiongen.dataset.reader import Dataset
from lesiongen.dataset.schema import Sample
from lesiongen.dataset.writer import DatasetWriter
from lesiongen.errors import UsageError
from lesiongen.records.origin import CaptionOrigin, FoldOrigin, LeaveOutOrigin, OtherOrigin

__all__ = ["derive", "derived_origin"]


def derived_origin(dataset: Dataset) -> dict[str, Any]:
    """Returns the fields that `derive` adds to the origin of a dataset with the same images."""
    return {"dataset": dataset.uri, "dataset_version": dataset.manifest.version, **kept_files(dataset)}


def derive(
    dataset: Dataset,
    output: str,
    transform: Callable[[Iterator[Sample]], Iterator[Sample]],
    *,
    name: str,
    origin: CaptionOrigin | FoldOrigin | LeaveOutOrigin | OtherOrigin,
    rows: range | None = None,
    documents: Callable[[Dataset], Mapping[str, str | None]] | None = None,
) -> Dataset:
    """Publishes a dataset with the same rows and other column values.

    The documents that are kept with what is read (`KEPT_DOCUMENTS`) are kept with the new dataset, too.

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
        UsageError: The transform returns another image than it was given, or one twice.
    """
    manifest = dataset.manifest
    with DatasetWriter(
        output,
        name=name,
        licence=manifest.licence,
        attribution=manifest.attribution,
        origin=origin.changed(**derived_origin(dataset)),
    ) as writer:
        keep_documents(dataset, writer)
        taken: dict[str, bytes] = {}
        for sample in transform(_noted(dataset.samples(rows=rows), taken)):
            if taken.pop(sample.image_id, None) != xxhash.xxh3_128_digest(sample.image):
                raise UsageError(f"{sample.image_id!r} has another image than in {dataset.uri}, or is repeated")
            writer.add(sample)
        if documents is not None:
            writer.documents |= documents(Dataset.open(writer.finished()))
    return Dataset.open(output)


def _noted(samples: Iterator[Sample], digests: dict[str, bytes]) -> Iterator[Sample]:
    for sample in samples:
        digests[sample.image_id] = xxhash.xxh3_128_digest(sample.image)
        yield sample
