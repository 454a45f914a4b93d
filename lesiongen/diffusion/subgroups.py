"""What subgroups of training images can be told by."""

from typing import Literal, get_args

import pandas as pd

from lesiongen.dataset import Dataset
from lesiongen.dataset.age_bands import age_bands

__all__ = ["SUBGROUPS", "Subgroup", "with_subgroups"]

Subgroup = Literal["measured_tone", "skin_tone", "sex", "age_band", "site", "image_type"]
"""Columns of the dataset, and the band of age."""
SUBGROUPS: tuple[Subgroup, ...] = get_args(Subgroup)
_READ = ("image_id", "lesion_id", "patient_id", "diagnosis", "caption", "age", "skin_tone_scale")


def with_subgroups(dataset: Dataset, split: str) -> pd.DataFrame:
    """Reads ids, diagnosis, caption and everything that subgroups are told by, one row for each image of a split."""
    columns = dict.fromkeys((*_READ, *(name for name in SUBGROUPS if name != "age_band")))
    table = dataset.metadata(columns=list(columns), split=split)
    return table.assign(age_band=age_bands(table["age"]))
