"""The content of ``crossfit.json``: what a cross-fitted evaluation found, over all folds and in each."""

from typing import Any, Literal

from pydantic import JsonValue

from lesiongen.records.base import Count, Number, Record, added
from lesiongen.records.evaluation import EvaluationRecord, Source
from lesiongen.records.scores import Condition

__all__ = ["CrossfitRecord", "FoldResult"]


class FoldResult(Record):
    """What one fold contributed, and its balanced accuracies, which are means over the classifiers."""

    fold: Count
    evaluation: Source
    images: Count
    """Test images."""
    lesions: Count
    """Test lesions."""
    excluded: Count
    """Images of the fold that were not tested on: their pixels are also those of another part."""
    classes: Count = added(None)
    """Diagnoses among the test images, over which the balanced accuracy is a mean."""
    balanced_accuracy: dict[Condition, Number]


class CrossfitRecord(Record):
    """Content of ``crossfit.json``."""

    schema_version: Literal[1] = 1
    name: str
    lesiongen_version: str
    created: str
    config: dict[str, JsonValue]
    dataset: Source
    folds: tuple[FoldResult, ...]
    detectable: dict[str, Number]
    """By comparison, the difference that a test at its level of significance finds four times in five."""
    pooled: EvaluationRecord
    """Scores and comparisons over the test images of all folds; what is not measured there has its default."""
    files: dict[str, str]
    """SHA-256 of every other file."""

    def content(self) -> dict[str, Any]:
        """Returns the document as it is stored."""
        return self.model_dump(mode="json", exclude={"pooled": {"further"}})
