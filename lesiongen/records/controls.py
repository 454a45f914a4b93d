"""What an evaluation says of its controls, which synthetic images have to beat."""

from typing import Literal

from lesiongen.records.base import Count, Record
from lesiongen.records.scores import Comparison, ConditionScores

__all__ = ["Control", "ControlName"]

ControlName = Literal["permuted-labels", "longer", "further-images", "label-only"]
"""What is trained in the place of the condition ``both``."""


class Control(Record):
    """The classifiers of a control, and what sets them apart from the conditions ``both`` and ``real``.

    The comparisons are outside the declared family: ``p_holm`` and ``family`` are None, and none is called significant.
    """

    meaning: str = ""
    n_images: Count = None
    """Images that take the place of the synthetic ones; 0 where nothing does."""
    n_left_out: Count = None
    """Images of the dataset that were left out: of another diagnosis, or held-out or training images."""
    scores: ConditionScores = ConditionScores()
    both_vs_control: Comparison = Comparison()
    control_vs_real: Comparison = Comparison()
