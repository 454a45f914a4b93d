"""Images of a dataset that other datasets hold, too: a base model that is tested on these must not see them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from lesiongen.dataset import Dataset, Sample, derive
from lesiongen.dataset.derived import derived_origin
from lesiongen.dataset.examined import examined_images
from lesiongen.dataset.near_duplicates import datasets_near_duplicates
from lesiongen.progress import progress
from lesiongen.records.origin import LeaveOutOrigin, MergedDataset
from lesiongen.records.seen import is_archive_id

__all__ = ["shared_images", "without_shared"]

_IDS = ["image_id", "lesion_id", "patient_id"]


def shared_images(dataset: Dataset, others: Sequence[Dataset]) -> dict[str, str]:
    """Finds the images of a dataset that other datasets hold, too.

    Args:
        dataset: The dataset.
        others: The datasets that it is compared with, all their splits.

    Returns:
        By image id why: ``id`` where the ISIC archive's id of the image, its lesion or its patient is there, else
        ``picture`` where an image there looks alike.

    Raises:
        DataError: Files of a dataset are not those that were published.
    """
    known = {value for other in others for column in _IDS for value in other.metadata([column])[column].dropna()}
    found = {}
    for row in dataset.metadata(_IDS).itertuples(index=False):
        if any(is_archive_id(value) and value in known for value in row):
            found[str(row.image_id)] = "id"
    for image_id in _look_alike(dataset, others):
        found.setdefault(image_id, "picture")
    return found


def _look_alike(dataset: Dataset, others: Sequence[Dataset]) -> Iterator[str]:
    datasets = [dataset, *others]
    examined, prints = examined_images(datasets, doing="Looking for images of other datasets")
    usable = examined["decode_problem"].isna().to_numpy()
    owners = np.repeat(np.arange(len(datasets)), [len(each) for each in datasets])
    names = np.concatenate([each.metadata(["image_id"])["image_id"].to_numpy(dtype=object) for each in datasets])
    image_ids = [names[usable & (owners == number)].tolist() for number in range(len(datasets))]
    own = len(image_ids[0])
    for pair in datasets_near_duplicates(datasets, image_ids, prints):
        if pair.first < own <= pair.second:
            yield image_ids[0][pair.first]


def without_shared(dataset: Dataset, shared: Mapping[str, str], others: Sequence[Dataset], output: str) -> Dataset:
    """Publishes a dataset whose shared images are in the split ``test``, which no training reads.

    Args:
        dataset: The dataset.
        shared: By image id why it is left out.
        others: What it was compared with.
        output: New folder or ``s3://`` prefix.
    """
    origin = LeaveOutOrigin(
        stage="leave-out",
        others=tuple(_named(other) for other in others),
        left_out=dict(sorted(shared.items())),
        **derived_origin(dataset),
    )
    return derive(dataset, output, lambda samples: _moved(samples, shared), name=dataset.manifest.name, origin=origin)


def _named(dataset: Dataset) -> MergedDataset:
    manifest = dataset.manifest
    rows = sum(manifest.splits.values())
    return MergedDataset(
        name=manifest.name, uri=dataset.uri, version=manifest.version, rows=rows, licence=manifest.licence
    )


def _moved(samples: Iterator[Sample], shared: Mapping[str, str]) -> Iterator[Sample]:
    with progress("Leaving out shared images", unit="images") as bar:
        for sample in samples:
            yield replace(sample, split="test") if sample.image_id in shared else sample
            bar.advance()
