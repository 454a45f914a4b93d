"""What must be looked up in pixels or in other rows, turned into columns that expectations can judge."""

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lesiongen.concepts import read_report
from lesiongen.dataset import Dataset, is_synthetic
from lesiongen.dataset.stored_images import DatasetImages
from lesiongen.errors import DataError
from lesiongen.imaging import FingerprintFile, duplicate_groups
from lesiongen.imaging.examination import EXAMINED, examine_all
from lesiongen.parallel import in_processes
from lesiongen.progress import progress
from lesiongen.validation.links import NEAR_GROUP, with_links

__all__ = ["examined_images", "measured_table"]

SMALL = 8 << 20
"""Bytes of a dataset that one process has examined before others have started."""


def measured_table(dataset: Dataset) -> pd.DataFrame:
    """Reads every sample once and returns the metadata with the derived columns, one row for each, in order.

    Images are decoded on all cores. Memory holds the table and a few images.

    Raises:
        DataError: The dataset was changed after it was published.
    """
    measured, prints = examined_images(dataset)
    table = pd.concat([dataset.metadata(), measured], axis=1)
    table["min_side"] = table[["width", "height"]].min(axis=1)
    table["concepts_problem"] = _unreadable(table["concepts"])
    table["synthetic"] = [is_synthetic(provenance) for provenance in table["provenance"]]
    outside = table["synthetic"] & (table["split"] != "train")
    table["synthetic_outside_train"] = table["split"].where(outside, None)
    table[NEAR_GROUP] = _near_groups(prints, table["decode_problem"].isna())
    return with_links(table)


def examined_images(dataset: Dataset) -> tuple[pd.DataFrame, FingerprintFile]:
    """Decodes and examines every image, on all cores unless the dataset is small.

    Returns:
        A row for each sample, in order, with the columns of `EXAMINED`; and the fingerprints of those that decode.
    """
    parts: list[dict[str, NDArray[Any]]] = []
    prints = FingerprintFile()
    size = sum(shard.bytes for shard in dataset.manifest.shards)
    with progress("Checking images", total=len(dataset), unit="images") as bar, DatasetImages(dataset) as images:
        for found in in_processes(examine_all, images, processes=1 if size < SMALL else None):
            images.advance()
            prints.extend(found.fingerprints)
            parts.append(found.columns)
            bar.advance(len(found))
    return pd.DataFrame({name: np.concatenate([part[name] for part in parts]) for name in EXAMINED}), prints


def _unreadable(concepts: pd.Series) -> pd.Series:
    problems = {text: _report_problem(text) for text in concepts.dropna().unique()}
    return pd.Series([problems.get(text) for text in concepts], index=concepts.index, dtype=object)


def _report_problem(concepts: str) -> str | None:
    try:
        read_report(concepts)
    except DataError as error:
        return str(error)
    return None


def _near_groups(prints: FingerprintFile, decoded: pd.Series) -> pd.Series:
    """Returns the group of each image that looks like another one; NaN for all others."""
    groups = duplicate_groups(prints)
    counts = np.bincount(groups, minlength=1)[groups] if len(groups) else groups
    result = pd.Series(np.nan, index=decoded.index)
    result[decoded] = np.where(counts > 1, groups, np.nan)
    return result
