"""The datasets of an evaluation, opened before anything is trained."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from lesiongen.dataset import Dataset
from lesiongen.evaluation.config import EvaluateConfig
from lesiongen.records.controls import ControlName
from lesiongen.records.evaluation import Source

__all__ = ["EvaluatedDatasets", "source_of"]


@dataclass(frozen=True)
class EvaluatedDatasets:
    """What an evaluation reads.

    Attributes:
        real: The real images with their three splits.
        synthetic: The synthetic images.
        reconstructed: What `reconstruct` made of the real ones; None: not given.
        controls: The images of the controls that have a dataset of their own.
        test_sets: Test sets from elsewhere, by name.
    """

    real: Dataset
    synthetic: Dataset
    reconstructed: Dataset | None
    controls: Mapping[ControlName, Dataset]
    test_sets: Mapping[str, Dataset]

    @classmethod
    def opened(
        cls,
        config: EvaluateConfig,
        real_uri: str,
        synthetic_uri: str,
        reconstructed_uri: str | None,
        test_sets: Mapping[str, str],
    ) -> Self:
        """Opens the datasets at their addresses, and those that the configuration names for its controls."""
        return cls(
            real=Dataset.open(real_uri),
            synthetic=Dataset.open(synthetic_uri),
            reconstructed=None if reconstructed_uri is None else Dataset.open(reconstructed_uri),
            controls={name: Dataset.open(uri) for name, uri in config.control_datasets.items() if uri is not None},
            test_sets={name: Dataset.open(uri) for name, uri in test_sets.items()},
        )

    @property
    def sources(self) -> dict[str, Source]:
        """Address and version of each, but for the test sets, which have an entry of their own."""
        found = {"real": source_of(self.real), "synthetic": source_of(self.synthetic)}
        if self.reconstructed is not None:
            found["reconstructed"] = source_of(self.reconstructed)
        return found | {name.replace("-", "_"): source_of(dataset) for name, dataset in self.controls.items()}


def source_of(dataset: Dataset) -> Source:
    """Returns the address and the version of a dataset."""
    return Source(uri=dataset.uri, version=dataset.manifest.version)
