"""What must be looked up in pixels or in other rows, turned into columns that expectations can judge."""

from collections.abc import Iterable
from io import BytesIO
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from lesiongen.concepts import read_report
from lesiongen.dataset import Dataset, Sample, is_synthetic
from lesiongen.errors import DataError
from lesiongen.imaging import ImageError, content_digest, decode
from lesiongen.progress import progress

__all__ = ["measured_table"]

THUMBNAIL = 64
_NOTHING: dict[str, Any] = {"decode_problem": None, "mode": None, "min_side": None, "contrast": None, "digest": None}


def measured_table(dataset: Dataset) -> pd.DataFrame:
    """Reads every sample once and returns the metadata with the derived columns, one row for each, in order.

    Memory holds the table and one image.
    """
    rows = []
    with progress("Checking images", total=len(dataset), unit="images") as bar:
        for sample in dataset.samples():
            rows.append(_pixels(sample.image) | _row(sample))
            bar.advance()
    metadata = dataset.metadata()
    derived = pd.DataFrame(
        rows, index=metadata.index, columns=[*_NOTHING, "concepts_problem", "synthetic", "synthetic_outside_train"]
    )
    return _with_links(pd.concat([metadata, derived], axis=1))


def _row(sample: Sample) -> dict[str, Any]:
    synthetic = is_synthetic(sample.provenance)
    return {
        "synthetic": synthetic,
        "concepts_problem": _report_problem(sample.concepts),
        "synthetic_outside_train": sample.split if synthetic and sample.split != "train" else None,
    }


def _report_problem(concepts: str | None) -> str | None:
    try:
        read_report(concepts)
    except DataError as error:
        return str(error)
    return None


def _pixels(data: bytes) -> dict[str, Any]:
    try:
        image = decode(data)
    except ImageError as error:
        return _NOTHING | {"decode_problem": str(error)}
    with Image.open(BytesIO(data)) as stored:
        mode = stored.mode
    grey = np.asarray(image.convert("L").resize((THUMBNAIL, THUMBNAIL), Image.Resampling.BOX), dtype=np.float32)
    return {
        "decode_problem": None,
        "mode": mode,
        "min_side": min(image.size),
        "contrast": float(grey.std()),
        "digest": content_digest(image),
    }


def _with_links(table: pd.DataFrame) -> pd.DataFrame:
    links = {
        "twin_in_other_split": _conflicts(table, ["digest"], "split"),
        "twin_in_same_split": _conflicts(table, ["digest", "split"], "image_id"),
        "twin_with_other_diagnosis": _conflicts(table, ["digest"], "diagnosis"),
        "lesion_in_other_split": _conflicts(table, ["lesion_id"], "split"),
        "patient_in_other_split": _conflicts(table, ["patient_id"], "split"),
        "case_in_other_split": _conflicts(table, ["case_id"], "split"),
        "lesion_of_other_patient": _conflicts(table, ["lesion_id"], "patient_id"),
        "lesion_with_other_diagnosis": _conflicts(table, ["lesion_id"], "diagnosis"),
    }
    return table.assign(**links)


def _conflicts(table: pd.DataFrame, keys: list[str], differs: str) -> pd.Series:
    """Names, for each row, the rows that share its keys but not its value of another column."""
    found = pd.Series([None] * len(table), index=table.index, dtype=object)
    known = table.dropna(subset=[*keys, differs])
    counts = known.groupby(keys)[differs].transform("nunique")
    for _, group in known[counts > 1].groupby(keys):
        for index, value in group[differs].items():
            others = group[group[differs] != value]
            found[index] = _named(others["image_id"], others[differs] if differs != "image_id" else ())
    return found


def _named(names: Iterable[str], values: Iterable[object]) -> str:
    shown = [str(name) for name in names]
    for position, value in enumerate(values):
        shown[position] += f" ({value})"
    return ", ".join(shown[:3]) + (f" and {len(shown) - 3} more" if len(shown) > 3 else "")
