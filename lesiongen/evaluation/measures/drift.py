"""Drift of measured properties between the real training images and the synthetic ones, by evidently."""

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lesiongen.dataset.subgroups import SUBGROUPS
from lesiongen.evaluation.images import LabelledImages
from lesiongen.evaluation.measures.measure import Figures, Measure
from lesiongen.evaluation.pixel_files import each
from lesiongen.records.evaluation import EvaluationRecord
from lesiongen.records.image_measures import Drift, DriftedColumn
from lesiongen.records.text import number
from lesiongen.reporting import Section, Table, Text

if TYPE_CHECKING:  # of the classifiers: `lesiongen drift` would wait for torch
    from lesiongen.evaluation.evidence import Evidence

__all__ = ["CATEGORICAL", "REPORT", "PropertyDrift", "measure_drift", "pixel_properties", "properties"]

REPORT = "drift.html"
"""evidently's own page."""

CATEGORICAL = ("diagnosis", "predicted_diagnosis", *SUBGROUPS)
"""Columns that hold categories; the others hold numbers."""
NUMERIC_METHOD, CATEGORICAL_METHOD, THRESHOLD = "wasserstein", "jensenshannon", 0.1
"""Effect sizes, not p-values: a drift is as large for 200 images as for 20,000."""
DECIMALS = 12


class PropertyDrift(Measure):
    """How far measured properties of the synthetic images are from those of the real ones."""

    place = 60

    def measure(self, evidence: "Evidence") -> Mapping[str, object]:
        """Returns ``drift``, and writes `REPORT`."""
        material, (train, synthetic) = evidence.material, evidence.chances
        real = properties(material.train, train, material.classes)
        drawn = properties(material.synthetic, synthetic, material.classes)
        return {"drift": measure_drift(real, drawn, evidence.folder / REPORT)}

    def sections(self, evaluation: EvaluationRecord, figures: Figures) -> list[Section]:
        """Returns the section on drift."""
        found = evaluation.drift
        rows = [
            (entry.column.replace("_", " "), entry.method, entry.distance, entry.drifted) for entry in found.columns
        ]
        text = (
            f"Properties of the synthetic images against those of the real training images, by {found.tool}; from a "
            f"distance of {number(found.threshold, 'g')} on, a property counts as drifted. Its own report is "
            "drift.html of the evaluation."
        )
        missing = f" Not measured on both sides: {', '.join(found.absent)}." if found.absent else ""
        table = Table(("property", "distance by", "distance", "drifted"), rows)
        return [Section("Drift", [Text(text + missing), table])]

    def headline(self, evaluation: EvaluationRecord) -> Mapping[str, float | None]:
        """Returns the share of properties that drifted."""
        return {"drift_share": evaluation.drift.share_drifted}


def properties(images: LabelledImages, probabilities: NDArray[np.float32], classes: tuple[str, ...]) -> pd.DataFrame:
    """Measures each image: light, contrast, colour, sharpness, and how a classifier sees it."""
    return pd.DataFrame(
        {
            "diagnosis": images.table["diagnosis"],
            "measured_tone": images.table["measured_tone"],
            "predicted_diagnosis": [classes[k] for k in probabilities.argmax(axis=1)],
            "classifier_confidence": probabilities.max(axis=1),
            **pd.DataFrame([pixel_properties(image) for image in each(images.images)]),
        }
    )


def pixel_properties(image: NDArray[np.uint8]) -> dict[str, float]:
    """Measures light, contrast, colour and sharpness of an image [height, width, 3]."""
    pixels = image.astype(np.float32) / 255.0
    grey = pixels.mean(axis=2)
    return {
        "brightness": float(grey.mean()),
        "contrast": float(grey.std()),
        "redness": float((pixels[..., 0] - pixels[..., 1:].mean(axis=2)).mean()),
        "sharpness": float(np.abs(np.diff(grey, axis=0)).mean() + np.abs(np.diff(grey, axis=1)).mean()),
    }


def measure_drift(reference: pd.DataFrame, current: pd.DataFrame, html: Path, threshold: float = THRESHOLD) -> Drift:
    """Compares two tables of properties and saves evidently's own report.

    Args:
        reference: A row for each real training image, or for each image of a reference dataset.
        current: A row for each synthetic image, or for each image of another dataset.
        html: Where evidently's report is written.
        threshold: Distance from which on a column counts as drifted.

    Returns:
        For each column the distance, the method and whether it drifted; the share of columns that did. A column
        without values on either side is named in ``absent``.
    """
    absent = [name for name in reference if reference[name].isna().all() or current[name].isna().all()]
    kept = [name for name in reference if name not in absent]
    snapshot = _run_evidently(_harmless(reference[kept]), _harmless(current[kept]), threshold)
    snapshot.save_html(str(html))
    columns = []
    for metric in snapshot.dict()["metrics"]:
        name = metric["config"].get("column")
        if name is not None:
            method = CATEGORICAL_METHOD if name in CATEGORICAL else NUMERIC_METHOD
            # evidently adds up in the order of a set of texts, which differs between processes in the last digits.
            distance = round(float(metric["value"]), DECIMALS)
            columns.append(
                (-distance, DriftedColumn(column=name, method=method, distance=distance, drifted=distance >= threshold))
            )
    ordered = [column for _, column in sorted(columns, key=lambda pair: pair[0])]
    return Drift(
        tool="evidently",
        threshold=threshold,
        columns=tuple(ordered),
        share_drifted=float(np.mean([column.drifted for column in ordered])),
        absent=tuple(absent),
    )


def _harmless(table: pd.DataFrame) -> pd.DataFrame:
    # evidently writes labels unescaped into a script of its page: a label with "</script>" would end that script.
    labels = {name: table[name].str.replace("<", "\u2039", regex=False) for name in table if name in CATEGORICAL}
    return table.assign(**labels)


def _run_evidently(reference: pd.DataFrame, current: pd.DataFrame, threshold: float) -> Any:
    with warnings.catch_warnings():
        # evidently 0.7 touches names that numpy and litestar have deprecated.
        warnings.simplefilter("ignore", DeprecationWarning)
        from evidently import DataDefinition, Dataset, Report
        from evidently.presets import DataDriftPreset

        categorical = [name for name in reference if name in CATEGORICAL]
        definition = DataDefinition(
            categorical_columns=categorical,
            numerical_columns=[name for name in reference if name not in categorical],
        )
        preset = DataDriftPreset(
            num_method=NUMERIC_METHOD,
            cat_method=CATEGORICAL_METHOD,
            num_threshold=threshold,
            cat_threshold=threshold,
        )
        tables = [Dataset.from_pandas(table, data_definition=definition) for table in (current, reference)]
        return Report([preset]).run(current_data=tables[0], reference_data=tables[1])
