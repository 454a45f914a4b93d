"""Images of a dataset that other datasets hold, too: a base model that is tested on these must not see them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from lesiongen.dataset import Dataset, Sample, derive, groups
from lesiongen.dataset.derived import derived_origin
from lesiongen.dataset.examined import examined_images
from lesiongen.dataset.near_duplicates import datasets_near_duplicates
from lesiongen.imaging import duplicate_groups
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
        ``picture`` where an image there looks alike, else ``related`` where it is of the lesion, the patient or the
        case of such an image.

    Raises:
        DataError: Files of a dataset are not those that were published.
    """
    known = {value for other in others for column in _IDS for value in other.metadata([column])[column].dropna()}
    table = dataset.metadata([*_IDS, "case_id"])
    alike = set(_look_alike(dataset, others))
    reasons: NDArray[np.object_] = np.full(len(table), None, dtype=object)
    reasons[table["image_id"].isin(alike).to_numpy()] = "picture"
    reasons[table[_IDS].map(lambda value: is_archive_id(value) and value in known).any(axis=1).to_numpy()] = "id"
    bound = groups(table)
    hit = reasons != None  # noqa: E711 - by element
    reasons[~hit & np.isin(bound, bound[hit])] = "related"
    return {image_id: reason for image_id, reason in zip(table["image_id"], reasons, strict=True) if reason}


def _look_alike(dataset: Dataset, others: Sequence[Dataset]) -> Iterator[str]:
    datasets = [dataset, *others]
    examined, prints = examined_images(datasets, doing="Looking for images of other datasets")
    usable = examined["decode_problem"].isna().to_numpy()
    owners = np.repeat(np.arange(len(datasets)), [len(each) for each in datasets])
    names = np.concatenate([each.metadata(["image_id"])["image_id"].to_numpy(dtype=object) for each in datasets])
    image_ids = [names[usable & (owners == number)].tolist() for number in range(len(datasets))]
    # Of equal images only the first is paired with others: what counts is the group, not the pair.
    looks = duplicate_groups(datasets_near_duplicates(datasets, image_ids, prints), sum(map(len, image_ids)))
    own = len(image_ids[0])
    shared = np.isin(looks[:own], looks[own:])
    yield from (image_id for image_id, is_shared in zip(image_ids[0], shared, strict=True) if is_shared)


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
