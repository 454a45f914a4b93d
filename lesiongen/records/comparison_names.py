"""Names of paired comparisons, the same in the configuration, in ``evaluation.json`` and in the gates."""

from dataclasses import dataclass

from lesiongen.records.scores import Condition

__all__ = ["BOTH_VS_REAL", "FAMILY", "WORST_GROUP_BOTH_VS_REAL", "ComparisonName"]

_WORST_GROUP = ", worst group"
_COMPARED: tuple[Condition, ...] = ("real", "synthetic", "both")
"""Reconstructions are no part of a test."""


@dataclass(frozen=True)
class ComparisonName:
    """Which conditions are compared, and on which test images.

    Attributes:
        first: The condition whose score is the minuend.
        second: The condition that it is compared with.
        worst_group: On the test images of the worst group; else on all of them.
    """

    first: Condition
    second: Condition
    worst_group: bool = False

    def __str__(self) -> str:
        return f"{self.first} vs {self.second}{_WORST_GROUP if self.worst_group else ''}"

    @property
    def metric(self) -> str:
        """What is compared: the worst group's ``recall``, else ``balanced_accuracy``."""
        return "recall" if self.worst_group else "balanced_accuracy"

    @classmethod
    def read(cls, text: str) -> "ComparisonName":
        """Reads a name.

        Raises:
            ValueError: It names no comparison.

        >>> ComparisonName.read("both vs real, worst group")
        ComparisonName(first='both', second='real', worst_group=True)
        """
        first, _, second = text.removesuffix(_WORST_GROUP).partition(" vs ")
        if first not in _COMPARED or second not in _COMPARED or first == second:
            raise ValueError(
                f"must be 'A vs B' or 'A vs B{_WORST_GROUP}', A and B two of {', '.join(_COMPARED)}; found {text!r}"
            )
        return cls(first, second, text.endswith(_WORST_GROUP))


BOTH_VS_REAL = ComparisonName("both", "real")
WORST_GROUP_BOTH_VS_REAL = ComparisonName("both", "real", worst_group=True)
FAMILY = tuple(map(str, (BOTH_VS_REAL, ComparisonName("synthetic", "real"), WORST_GROUP_BOTH_VS_REAL)))
"""The default family: Holm's correction is over these comparisons."""
