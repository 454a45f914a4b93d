"""What an evaluation says of test sets from elsewhere, each apart from the run's own test split."""

from typing import Literal

from lesiongen.records.base import Count, Number, Record
from lesiongen.records.image_measures import Bounded
from lesiongen.records.scores import Comparison, Condition, ConditionScores, Malignancy

__all__ = ["LeftOutReason", "NamedImages", "OutsideTestSet", "Shift"]

LeftOutReason = Literal["diagnosis", "image_id", "lesion_id", "patient_id", "case_id", "picture", "base", "related"]
"""Why an image is not tested on.

``diagnosis``: it is not one of the classes. ``picture``: it shows, or may show, the photograph of an image that was
learnt from. ``base``: the generator's base model has seen it. ``related``: it is of the lesion, patient or case of an
image that overlaps. Others: the value that it shares."""


class NamedImages(Record):
    """Some images of a test set."""

    n: Count = None
    examples: tuple[str, ...] = ()
    """The ids of the first of them."""


class Shift(Record):
    """Balanced accuracy on the test set less that on the run's own test split, over the classes that both hold."""

    classes: tuple[str, ...] = ()
    own: Number = None
    there: Number = None
    difference: Bounded = Bounded()


class OutsideTestSet(Record):
    """A test set from elsewhere: what it is, what was left out of it, and how the classifiers do on it."""

    uri: str = ""
    version: str = ""
    licences: tuple[str, ...] = ()
    """Licences of the images that are tested on; ``not stated`` where an image has none."""
    n: Count = None
    lesions: Count = None
    per_class: dict[str, Count] = {}
    left_out: dict[LeftOutReason, NamedImages] = {}
    """Images that are not tested on, by the first reason that holds."""
    also_in: dict[str, NamedImages] = {}
    """Images that the own test split (``test``) or another test set holds too; they are tested on all the same."""
    utility: dict[Condition, ConditionScores] = {}
    shift: dict[Condition, Shift] = {}
    malignancy: Malignancy = Malignancy()
    comparisons: tuple[Comparison, ...] = ()
    """Those that the family does not declare: ``p_holm`` and ``family`` are None, and none is called significant."""
    further_classifiers: dict[str, dict[Condition, ConditionScores]] = {}
    """Scores of the other classifiers, by their names."""
