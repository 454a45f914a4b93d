"""What must be looked up in pixels or in other rows, turned into columns that expectations can judge."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from lesiongen.concepts import read_report
from lesiongen.dataset import Dataset
from lesiongen.dataset.examined import examined_images
from lesiongen.dataset.near_duplicates import dataset_near_duplicates
from lesiongen.dataset.pixel_hashes import pixel_hashes
from lesiongen.errors import DataError
from lesiongen.imaging import SAME_PHOTOGRAPH, NearDuplicate, duplicate_groups
from lesiongen.records.provenance import is_generated
from lesiongen.validation.links import NEAR_GROUP, with_links

__all__ = ["measured_table"]


def measured_table(dataset: Dataset) -> pd.DataFrame:
    """Reads every sample and returns the metadata with the derived columns, one row for each, in order.

    Images are decoded on all cores. Memory holds the table and a few images. Only of images that look alike are some
    read twice.

    Raises:
        DataError: The dataset was changed after it was published.
    """
    measured, prints = examined_images([dataset], doing="Checking images")
    table = pd.concat([dataset.metadata(), measured], axis=1)
    table["min_side"] = table[["width", "height"]].min(axis=1)
    table["concepts_problem"] = _unreadable(table["concepts"])
    table["synthetic"] = [is_generated(provenance) for provenance in table["provenance"]]
    outside = table["synthetic"] & (table["split"] != "train")
    table["synthetic_outside_train"] = table["split"].where(outside, None)
    decoded = np.flatnonzero(table["decode_problem"].isna())
    alike = dataset_near_duplicates(dataset, table["image_id"].iloc[decoded].tolist(), prints)
    table[NEAR_GROUP] = _near_groups(alike, table.index[decoded], len(table))
    table["digest"] = pixel_hashes(table.assign(dataset=0, look=table[NEAR_GROUP]), [dataset])
    maybe = [pair for pair in alike if pair.agreement < SAME_PHOTOGRAPH]
    places = [(int(decoded[pair.first]), int(decoded[pair.second])) for pair in maybe]
    return with_links(table, places)


def _unreadable(concepts: pd.Series) -> pd.Series:
    problems = {text: _report_problem(text) for text in concepts.dropna().unique()}
    return pd.Series([problems.get(text) for text in concepts], index=concepts.index, dtype=object)


def _report_problem(concepts: str) -> str | None:
    try:
        read_report(concepts)
    except DataError as error:
        return str(error)
    return None


def _near_groups(alike: Sequence[NearDuplicate], decoded: pd.Index, count: int) -> pd.Series:
    """Returns the group of each image that shows the photograph of another one; NaN for all others."""
    same = [pair for pair in alike if pair.agreement >= SAME_PHOTOGRAPH]
    groups = duplicate_groups(same, len(decoded))
    sizes = np.bincount(groups, minlength=1)[groups] if len(groups) else groups
    result = pd.Series(np.nan, index=pd.RangeIndex(count))
    result[decoded] = np.where(sizes > 1, groups, np.nan)
    return result
