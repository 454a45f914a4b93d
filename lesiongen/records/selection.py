"""The content of ``selection.json``: which synthetic images were kept, which were dropped, and why."""

import json
from typing import Literal

from pydantic import JsonValue

from lesiongen.records.base import Count, Number, Record
from lesiongen.records.origin import MergedDataset
from lesiongen.records.scores import ClassifierSource

__all__ = ["SelectedClass", "SelectedImage", "SelectionReport"]


class SelectedClass(Record):
    """Numbers of synthetic images of one diagnosis."""

    diagnosis: str = ""
    images: Count = None
    near_copies: Count = None
    """Dropped: nearer to a training image than the threshold."""
    unrecognised: Count = None
    """Dropped: others of the diagnosis are recognised better."""
    kept: Count = None


class SelectedImage(Record):
    """What became of one synthetic image."""

    dataset: str = ""
    """Name of its dataset in the selection."""
    image_id: str = ""
    """Its image_id in that dataset."""
    diagnosis: str = ""
    chance: Number = None
    """Probability of the diagnosis, mean over the classifiers; None where no classifier was asked."""
    similarity: Number = None
    """Similarity to the nearest training image."""
    outcome: Literal["kept", "near copy", "not recognised"] = "kept"


class SelectionReport(Record):
    """Content of ``selection.json``."""

    schema_version: Literal[1] = 1
    config: dict[str, JsonValue] = {}
    datasets: tuple[MergedDataset, ...] = ()
    real: str = ""
    """Address of the real images."""
    real_version: str = ""
    classifier: ClassifierSource | None = None
    """What recognised the images; None where none was asked."""
    validation_balanced_accuracy: tuple[float, ...] = ()
    """Of each classifier, on the real validation images."""
    similarity: str = ""
    """How similarity is measured, in words."""
    threshold: Number = None
    """Similarity above which an image is a near copy; None where copies are kept."""
    n_validation: Count = None
    """Validation images that set the threshold."""
    calibrated: bool = True
    """Whether they are enough for a firm threshold."""
    classes: tuple[SelectedClass, ...] = ()
    images: tuple[SelectedImage, ...] = ()

    def text(self) -> str:
        """Returns the document as it is stored."""
        return json.dumps(self.model_dump(mode="json"), indent=1, ensure_ascii=False, allow_nan=False) + "\n"
