"""What must be looked up in pixels or in other rows, turned into columns that expectations can judge."""

from collections.abc import Iterable, Iterator
from dataclasses import fields
from typing import Any

import numpy as np
import pandas as pd

from lesiongen.concepts import read_report
from lesiongen.dataset import Dataset, is_synthetic
from lesiongen.errors import DataError
from lesiongen.imaging import FingerprintFile, duplicate_groups
from lesiongen.imaging.examination import Examination, examine_all
from lesiongen.parallel import in_processes
from lesiongen.progress import progress
from lesiongen.validation.links import NEAR_GROUP, with_links

__all__ = ["examined_images", "measured_table"]

_BATCH_IMAGES, _BATCH_BYTES = 64, 4 << 20
SMALL = 8 << 20
"""Bytes of a dataset that one process has examined before others have started."""
_FROM_PIXELS = tuple(field.name for field in fields(Examination) if field.name != "fingerprint")


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
        A row for each sample, in order, with the columns of `Examination`; and the fingerprints of those that decode.
    """
    columns: dict[str, list[Any]] = {name: [] for name in _FROM_PIXELS}
    prints = FingerprintFile()
    size = sum(shard.bytes for shard in dataset.manifest.shards)
    batches = _batches(sample.image for sample in dataset.samples())
    with progress("Checking images", total=len(dataset), unit="images") as bar:
        for batch in in_processes(examine_all, batches, processes=1 if size < SMALL else None):
            for examination in batch:
                for name, values in columns.items():
                    values.append(getattr(examination, name))
                if examination.fingerprint is not None:
                    prints.append(examination.fingerprint)
            bar.advance(len(batch))
    return pd.DataFrame({name: _column(values) for name, values in columns.items()}), prints


def _batches(images: Iterable[bytes]) -> Iterator[list[bytes]]:
    batch: list[bytes] = []
    for image in images:
        batch.append(image)
        if len(batch) == _BATCH_IMAGES or sum(map(len, batch)) >= _BATCH_BYTES:
            yield batch
            batch = []
    if batch:
        yield batch


def _column(values: list[Any]) -> pd.Series:
    """Numbers with blanks are floats; anything else stays as it is."""
    known = next((value for value in values if value is not None), None)
    return pd.Series(values, dtype=float if isinstance(known, int | float) else object)


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
