"""How a classifier does on validation images with more and more synthetic images."""

from lesiongen.records.base import Count, Number, Record
from lesiongen.records.scores import Score

__all__ = ["MixingCurve", "MixingPoint"]


class MixingPoint(Record):
    """The classifiers of one share of synthetic images."""

    share: Number = None
    balanced_accuracy: Score = Score()
    """On the validation images; the interval is over their lesions."""


class MixingCurve(Record):
    """Classifiers of the primary kind at several shares; the first and the last are real and synthetic images alone."""

    protocol: str = ""
    n: Count = None
    """Validation images."""
    lesions: Count = None
    points: tuple[MixingPoint, ...] = ()
