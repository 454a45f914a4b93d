"""The content of ``evaluation.json``: what an evaluation measured, on what, and how."""

import json
from typing import Literal

from pydantic import JsonValue

from lesiongen.records.base import Count, Number, Record, added
from lesiongen.records.concept_fidelity import ConceptFidelity
from lesiongen.records.controls import Control, ControlName
from lesiongen.records.documents import parsed_document
from lesiongen.records.image_measures import ClassAgreement, Drift, Fidelity, Memorisation, Reconstruction
from lesiongen.records.mixing_curve import MixingCurve
from lesiongen.records.scores import (
    ClassifierScores,
    ClassifierSource,
    Comparison,
    Condition,
    ConditionScores,
    Malignancy,
    WorstGroup,
)
from lesiongen.records.sweep import ChosenBy
from lesiongen.records.test_sets import OutsideTestSet

__all__ = [
    "MEASURED",
    "Counts",
    "EvaluationRecord",
    "MixProtocol",
    "PartCounts",
    "Protocol",
    "Source",
    "read_evaluation",
]


class Source(Record):
    """A dataset that was evaluated."""

    uri: str = ""
    version: str = ""


class MixProtocol(Record):
    """How synthetic images are mixed into the training of the condition ``both``.

    A number that the protocol does not have is None.
    """

    name: str = added("")
    """Blank in files of earlier releases, whose protocol was ``curriculum``."""
    synthetic_share: Number = None
    until: Number = None
    synthetic_weight: Number = added(None)
    meaning: str = ""


class Protocol(Record):
    """How the classifiers are trained, picked, tested and compared, in words."""

    training: str = ""
    selection: str = ""
    test: str = ""
    both: MixProtocol = MixProtocol()
    intervals: str = ""
    tests: str = ""
    reconstruction: str = added("")
    """Blank if this condition was not trained."""


class PartCounts(Record):
    """Number of images of one part, and of each class in it."""

    n: Count = None
    per_class: dict[str, Count] = {}


class Counts(Record):
    """Numbers of images and of test lesions, and of images left out because their pixels occur elsewhere."""

    train: PartCounts = PartCounts()
    validation: PartCounts = PartCounts()
    test: PartCounts = PartCounts()
    synthetic: PartCounts = PartCounts()
    test_lesions: Count = None
    validation_excluded: Count = None
    test_excluded: Count = None
    validation_seen: tuple[str, ...] = added(())
    """Validation images that were left out because the generator's base had seen them."""
    test_seen: tuple[str, ...] = added(())
    """Test images that were left out because the generator's base had seen them."""


MEASURED = frozenset(
    {
        "best_condition",
        "class_agreement",
        "classifier",
        "comparisons",
        "controls",
        "concept_fidelity",
        "drift",
        "fidelity",
        "further_classifiers",
        "malignancy",
        "memorisation",
        "mixing_curve",
        "reconstruction",
        "test_sets",
        "utility",
        "worst_group",
    }
)
"""The fields of `EvaluationRecord` that measures fill."""


class EvaluationRecord(Record):
    """Content of ``evaluation.json``."""

    schema_version: Literal[1] = 1
    name: str = ""
    lesiongen_version: str = ""
    config: dict[str, JsonValue] = {}
    sources: dict[Literal["real", "synthetic", "reconstructed", "further_images", "label_only"], Source] = {}
    chosen_by: ChosenBy | None = added(None)
    """The sweep that chose the settings on validation images; None where no sweep was named."""
    created: str = ""
    classes: tuple[str, ...] = ()
    protocol: Protocol = Protocol()
    notes: tuple[str, ...] = ()
    counts: Counts = Counts()
    utility: dict[Condition, ConditionScores] = {}
    best_condition: Condition = "real"
    worst_group: WorstGroup = added(WorstGroup())
    malignancy: Malignancy = added(Malignancy())
    comparisons: tuple[Comparison, ...] = ()
    reconstruction: Reconstruction | None = added(None)
    """None where no reconstructions were given."""
    classifier: ClassifierSource | None = added(None)
    """The primary classifier, whose scores are in ``utility``; None in files of earlier releases."""
    further_classifiers: dict[str, ClassifierScores] = added({})
    """The other classifiers, by the name that they were asked for by."""
    mixing_curve: MixingCurve | None = added(None)
    """None where none was asked for."""
    controls: dict[ControlName, Control] = added({})
    """Outside the declared family, and never the best condition."""
    test_sets: dict[str, OutsideTestSet] = added({})
    """Test sets from elsewhere, by name; not written where there are none."""
    fidelity: Fidelity = Fidelity()
    class_agreement: ClassAgreement = ClassAgreement()
    drift: Drift = Drift()
    memorisation: Memorisation = Memorisation()
    concept_fidelity: ConceptFidelity | None = added(None)
    """None in files of earlier releases."""
    further: dict[str, JsonValue] = {}
    """Entries of measures that this record has no field for, by name; not written where there are none."""
    files: dict[str, str] = {}
    """SHA-256 of every other file of the evaluation."""

    def scores(self, condition: Condition) -> ConditionScores:
        """Returns the scores of a condition; empty ones where it was not evaluated."""
        return self.utility.get(condition, ConditionScores())

    def made_as(self, other: "EvaluationRecord") -> bool:
        """Tells whether two evaluations have the same name, settings, sources, sweep and release."""
        same = ("schema_version", "name", "lesiongen_version", "config", "sources", "chosen_by")
        ours, theirs = (
            {name: (each.uri, each.version) for name, each in record.test_sets.items()} for record in (self, other)
        )
        return ours == theirs and all(getattr(self, name) == getattr(other, name) for name in same)

    def text(self) -> str:
        """Returns the document as it is stored."""
        plain = self.model_dump(mode="json", exclude=None if self.further else {"further"})
        return json.dumps(plain, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def read_evaluation(data: bytes, name: str) -> EvaluationRecord:
    """Reads ``evaluation.json``.

    Args:
        data: Its content.
        name: Its address, for errors.

    Raises:
        DataError: It is not JSON, not an evaluation, or was written by a later release.
    """
    return EvaluationRecord.read(parsed_document(data, name, what="an evaluation", hint="Run evaluate again."))
