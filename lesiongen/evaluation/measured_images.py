"""The real images of a dataset as a table of properties, for its drift."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lesiongen.dataset import Dataset, groups
from lesiongen.dataset.subgroups import SUBGROUP_COLUMNS, subgroups_of
from lesiongen.errors import DataError
from lesiongen.evaluation.drift_config import DriftConfig
from lesiongen.evaluation.images import small_image
from lesiongen.evaluation.measures.drift import pixel_properties
from lesiongen.progress import progress
from lesiongen.records.evaluation import Source
from lesiongen.records.provenance import is_generated

__all__ = ["MeasuredImages", "measured_images"]

_IDS = ("lesion_id", "patient_id", "case_id")


@dataclass(frozen=True)
class MeasuredImages:
    """The real images of one dataset.

    Attributes:
        source: The dataset.
        table: A row for each image, a column for each property.
        groups: [n], the number of each image's lesion or patient.
        synthetic: Number of synthetic images and of reconstructions, which were left out.
    """

    source: Source
    table: pd.DataFrame
    groups: NDArray[np.int32]
    synthetic: int


def measured_images(config: DriftConfig, dataset: Dataset) -> MeasuredImages:
    """Measures the real images of a dataset one by one; no image is kept.

    Raises:
        DataError: There are fewer than ``min_images``, or one cannot be decoded.
    """
    rows, synthetic = [], 0
    with progress(f"Measuring {dataset.manifest.name}", total=len(dataset), unit="images") as bar:
        for sample in dataset.samples():
            if is_generated(sample.provenance):
                synthetic += 1
            else:
                known = {name: getattr(sample, name) for name in ("diagnosis", *_IDS, *SUBGROUP_COLUMNS)}
                rows.append(known | pixel_properties(small_image(sample, dataset.uri, config.image_size)))
            bar.advance()
    if len(rows) < config.min_images:
        raise DataError(
            f"{dataset.uri} has {len(rows)} real images, fewer than the {config.min_images} that a comparison needs",
            hint="Compare larger datasets, or lower min_images: of few images only a strong drift is found.",
        )
    table = pd.DataFrame(rows)
    table = table.assign(**subgroups_of(table))
    source = Source(uri=dataset.uri, version=dataset.manifest.version)
    return MeasuredImages(source, table[list(config.properties)], groups(table, _IDS), synthetic)
