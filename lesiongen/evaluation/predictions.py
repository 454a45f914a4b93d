"""What every classifier predicted for every held-out image, kept beside evaluation.json: folds are pooled from it."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from lesiongen.errors import DataError
from lesiongen.evaluation.classifier.conditions import Trained
from lesiongen.evaluation.material import Material
from lesiongen.records.evaluation import EvaluationRecord
from lesiongen.records.scores import Condition
from lesiongen.storage import open_storage, path_digest

__all__ = ["PREDICTIONS", "KeptPredictions", "read_predictions", "write_predictions"]

PREDICTIONS = "predictions/held_out.parquet"
ELSEWHERE = "outside:"
"""What the ``split`` of a test set from elsewhere begins with; its name follows."""
Part = Literal["validation", "test"]
_SCHEMA = pa.schema(
    [
        ("classifier", pa.dictionary(pa.int8(), pa.string())),
        ("split", pa.dictionary(pa.int8(), pa.string())),
        ("image_id", pa.string()),
        ("condition", pa.dictionary(pa.int8(), pa.string())),
        ("seed", pa.int16()),
        ("probabilities", pa.list_(pa.float32())),
    ]
)


@dataclass(frozen=True)
class KeptPredictions:
    """The predictions for one split.

    Attributes:
        image_ids: [n], in the order of the arrays.
        probabilities: By condition, [seeds, n, classes].
    """

    image_ids: list[str]
    probabilities: Mapping[Condition, NDArray[np.float32]]


def write_predictions(folder: Path, material: Material, trained: Mapping[str, Trained]) -> None:
    """Writes `PREDICTIONS` into a folder: a row for each kind of classifier, condition, split, seed and image.

    The ``probabilities`` of a row are those of the diagnoses in the order of evaluation.json's ``classes``.
    """
    path = folder / PREDICTIONS
    path.parent.mkdir()
    with pq.ParquetWriter(path, _SCHEMA, compression="zstd") as writer:
        for name, of_kind in trained.items():
            for condition, outcome in of_kind.outcomes.items():
                held_out = {
                    "validation": (material.validation, outcome.validation_probabilities),
                    "test": (material.test, outcome.probabilities),
                }
                for name_of_set, each in material.elsewhere.items():
                    held_out[f"{ELSEWHERE}{name_of_set}"] = each.images, outcome.elsewhere[name_of_set]
                for split, (images, probabilities) in held_out.items():
                    labels = {"classifier": name, "split": split, "condition": condition}
                    for seed, rows in enumerate(probabilities):
                        writer.write_table(_table({**labels, "seed": seed}, images.table["image_id"], rows))


def _table(labels: Mapping[str, str | int], image_ids: pd.Series, rows: NDArray[np.float32]) -> pa.Table:
    columns = {name: [value] * len(rows) for name, value in labels.items()}
    columns |= {"image_id": image_ids.astype(str).tolist(), "probabilities": list(rows)}
    return pa.Table.from_pydict(columns, schema=_SCHEMA)


def read_predictions(uri: str, evaluation: EvaluationRecord, split: Part) -> dict[str, KeptPredictions]:
    """Reads what the classifiers of an evaluation predicted for the images of one split.

    Args:
        uri: The evaluation.
        evaluation: Its evaluation.json, which vouches for them.
        split: Which.

    Returns:
        By the name of the classifier, the primary one first.

    Raises:
        DataError: The evaluation has kept none, like those of earlier releases, or the file was changed.
        StorageError: They cannot be reached.
    """
    if PREDICTIONS not in evaluation.files:
        raise DataError(f"{uri} has kept no predictions", hint="Run evaluate again.")
    with open_storage(uri).fetch(PREDICTIONS) as path:
        if path_digest(path) != evaluation.files[PREDICTIONS]:
            raise DataError(
                f"{uri}/{PREDICTIONS} is not what evaluation.json describes", hint="Copy or run the evaluation again."
            )
        table = pq.read_table(path, filters=[("split", "==", split)]).to_pandas()
    of_classifiers = table.groupby("classifier", observed=True, sort=False)
    return {str(name): _kept(rows, evaluation) for name, rows in of_classifiers}


def _kept(table: pd.DataFrame, evaluation: EvaluationRecord) -> KeptPredictions:
    found = {str(name): _stacked(rows) for name, rows in table.groupby("condition", observed=True, sort=False)}
    image_ids = table["image_id"].drop_duplicates().tolist()
    return KeptPredictions(image_ids, {name: found[name] for name in evaluation.utility})


def _stacked(rows: pd.DataFrame) -> NDArray[np.float32]:
    return np.stack([np.stack(seed["probabilities"].tolist()) for _, seed in rows.groupby("seed", sort=True)])
