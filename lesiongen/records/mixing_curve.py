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
    """Classifiers of the primary kind at several shares.

    Where they are among the shares, 0 is the condition ``real`` and 1 the condition ``synthetic``. The protocol mixes
    nothing at 1: that is another training than those at the shares between.
    """

    protocol: str = ""
    n: Count = None
    """Validation images."""
    lesions: Count = None
    points: tuple[MixingPoint, ...] = ()
