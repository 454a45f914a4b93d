"""Writing the synthetic images that were kept as a dataset of their own."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from lesiongen.dataset import Dataset, DatasetManifest, DatasetWriter, Sample
from lesiongen.dataset.licences import combine_licences
from lesiongen.progress import progress
from lesiongen.records.origin import MergedDataset, SelectOrigin

__all__ = ["KeptImages", "datasets_of", "model_version_of", "write_kept"]


@dataclass(frozen=True)
class KeptImages:
    """Which images of which datasets are kept.

    Attributes:
        datasets: The synthetic datasets by name.
        kept: By the same names, whether each image is kept, [n] in the order of `Dataset.samples`.
    """

    datasets: Mapping[str, Dataset]
    kept: Mapping[str, NDArray[np.bool_]]

    @property
    def count(self) -> int:
        """How many images are kept."""
        return sum(int(mask.sum()) for mask in self.kept.values())

    def samples(self) -> Iterator[Sample]:
        """Yields the kept images; where there are several datasets, an image_id begins with the name of its own."""
        with progress("Writing the selection", total=self.count, unit="images") as bar:
            for name, dataset in self.datasets.items():
                manifest = dataset.manifest
                for sample, kept in zip(dataset.samples(), self.kept[name].tolist(), strict=True):
                    if kept:
                        yield sample if len(self.datasets) == 1 else _named(sample, name, manifest)
                        bar.advance()


def _named(sample: Sample, name: str, manifest: DatasetManifest) -> Sample:
    return replace(
        sample,
        image_id=f"{name}/{sample.image_id}",
        licence=sample.licence or manifest.licence,
        attribution=sample.attribution or manifest.attribution,
    )


def datasets_of(datasets: Mapping[str, Dataset]) -> tuple[MergedDataset, ...]:
    """Returns what an origin says of the datasets that a selection is from."""
    return tuple(
        MergedDataset(
            name=name,
            uri=dataset.uri,
            version=dataset.manifest.version,
            rows=dataset.manifest.rows,
            licence=dataset.manifest.licence,
        )
        for name, dataset in datasets.items()
    )


def model_version_of(datasets: Mapping[str, Dataset]) -> str | None:
    """Returns the version of the generator that drew all of the datasets; None where they are not of one."""
    versions = {getattr(dataset.manifest.origin, "model_version", None) for dataset in datasets.values()}
    return versions.pop() if len(versions) == 1 else None


def write_kept(
    images: KeptImages, output: str, *, name: str, origin: SelectOrigin, documents: Mapping[str, str]
) -> Dataset:
    """Publishes the kept images as a dataset.

    Args:
        images: Which are kept.
        output: New folder or ``s3://`` prefix.
        name: Name of the dataset.
        origin: How it was made.
        documents: Files to lie beside the shards, by name.

    Raises:
        UsageError: The output holds another dataset, or another process writes there.
        DataError: No image is kept.
    """
    manifests = [dataset.manifest for dataset in images.datasets.values()]
    attributions = dict.fromkeys(filter(None, (manifest.attribution for manifest in manifests)))
    writer = DatasetWriter(
        output,
        name=name,
        licence=_licence([manifest.licence for manifest in manifests]),
        attribution="; ".join(attributions) or None,
        origin=origin,
    )
    with writer:
        writer.documents |= documents
        for sample in images.samples():
            writer.add(sample)
    return Dataset.open(output)


def _licence(licences: Sequence[str | None]) -> str | None:
    return licences[0] if len(licences) == 1 else combine_licences(licences).text
