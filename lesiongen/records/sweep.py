"""The documents of a sweep: ``sweep.json``, and what each finished candidate predicted."""

import json
from typing import Literal

from pydantic import JsonValue

from lesiongen.records.base import Count, Number, Record
from lesiongen.records.documents import parsed_document
from lesiongen.records.scores import ClassifierSource

__all__ = [
    "Candidate",
    "CandidatePredictions",
    "ChosenBy",
    "ImageScores",
    "SweepRecord",
    "SweptSource",
    "read_sweep",
]


class SweptSource(Record):
    """A dataset that a sweep has read."""

    uri: str = ""
    version: str = ""


class Candidate(Record):
    """One way of using synthetic images, and how it did on validation images."""

    name: str = ""
    """Its settings in words, unique in the sweep."""
    sets: tuple[str, ...] = ()
    """The sets of synthetic images; several are pooled; none: real images alone."""
    mixing: dict[str, JsonValue] = {}
    """Fields of `EvaluateConfig`; none for real images alone."""
    keep: float = 1.0
    drop_near_copies: bool = False
    rank: int = 0
    """Place in the order of simplicity, from 0, the simplest."""
    n_synthetic: int = 0
    """Synthetic images after the filter."""
    per_seed: tuple[float, ...] = ()
    """Balanced accuracy on the validation images of each classifier."""
    mean: Number = None
    standard_error: Number = None
    """Of the mean, over validation lesions and seeds."""
    low: Number = None
    high: Number = None
    behind: Number = None
    """How far the mean is below that of the best candidate."""
    behind_error: Number = None
    """Standard error of that difference, paired by lesion and seed."""
    from_real: Number = None
    """Mean less that of real images alone, with its paired interval below."""
    from_real_low: Number = None
    from_real_high: Number = None


class CandidatePredictions(Record):
    """What the classifiers of a finished candidate predicted, for an attempt that resumes the sweep."""

    name: str = ""
    n_synthetic: int = 0
    predictions: tuple[tuple[int, ...], ...] = ()
    """[seeds][validation images], class numbers."""
    classifier: ClassifierSource = ClassifierSource()


class ImageScores(Record):
    """What the images are filtered by, kept so that an attempt that resumes the sweep keeps the same images."""

    synthetic: dict[str, tuple[float, ...]] = {}
    """By set, the probability of the diagnosis or the similarity to the nearest training image, of each image."""
    validation: tuple[float, ...] = ()
    """The similarities of the validation images; none beside probabilities."""


class SweepRecord(Record):
    """Content of ``sweep.json``, which is written without opening the test split."""

    schema_version: Literal[1] = 1
    name: str = ""
    lesiongen_version: str = ""
    created: str = ""
    config: dict[str, JsonValue] = {}
    real: SweptSource = SweptSource()
    synthetic: dict[str, SweptSource] = {}
    """The sets by name."""
    classes: tuple[str, ...] = ()
    n_train: Count = None
    n_validation: Count = None
    validation_lesions: Count = None
    judge: str = ""
    """Name of the classifier that judged."""
    classifier: ClassifierSource = ClassifierSource()
    rule: str = ""
    """How the choice was made, in words."""
    candidates: tuple[Candidate, ...] = ()
    left_out: dict[str, str] = {}
    """Candidates that could not be trained, by name, and why."""
    notes: tuple[str, ...] = ()
    """What limits how far the choice can be trusted, in sentences."""
    best: str = ""
    """Name of the candidate with the highest mean."""
    choice: str = ""
    """Name of the candidate that the rule chose."""
    tested: str = ""
    """Name of the candidate that `evaluate` takes: the choice; where that is real images alone, the candidate that the
    same rule chooses among the others."""
    chosen_images: SweptSource = SweptSource()
    """The dataset of synthetic images of the tested candidate, pooled and filtered."""
    evaluate: dict[str, JsonValue] = {}
    """Fields of `EvaluateConfig` that an evaluation of the choice has to have."""

    def candidate(self, name: str) -> Candidate:
        """Returns the candidate of a name.

        Raises:
            KeyError: No candidate has this name.
        """
        return {one.name: one for one in self.candidates}[name]

    def text(self) -> str:
        """Returns the document as it is stored."""
        return json.dumps(self.model_dump(mode="json"), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


class ChosenBy(Record):
    """The sweep that chose the settings of an evaluation, before this evaluation opened the test split."""

    uri: str = ""
    digest: str = ""
    """SHA-256 of its ``sweep.json``."""
    created: str = ""
    choice: str = ""
    """Name of the candidate that it chose."""
    tested: str = ""
    """Name of the candidate whose settings were evaluated."""


def read_sweep(data: bytes, name: str) -> SweepRecord:
    """Reads ``sweep.json``.

    Args:
        data: Its content.
        name: Its address, for errors.

    Raises:
        DataError: It is not JSON, not a sweep, or was written by a later release.
    """
    return SweepRecord.read(parsed_document(data, name, what="a sweep", hint="Run the sweep again.", key="candidates"))
