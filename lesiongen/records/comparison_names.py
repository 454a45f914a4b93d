"""Names of paired comparisons, the same in the configuration, in ``evaluation.json`` and in the gates."""

from dataclasses import dataclass

from lesiongen.records.scores import Condition

__all__ = ["BOTH_VS_REAL", "FAMILY", "WORST_GROUP_BOTH_VS_REAL", "ComparisonName"]

_WORST_GROUP = ", worst group"
_ON = " on "
_COMPARED: tuple[Condition, ...] = ("real", "synthetic", "both")
"""No test is made with reconstructions."""


@dataclass(frozen=True)
class ComparisonName:
    """Which conditions are compared, and on which test images.

    Attributes:
        first: The condition whose score is the minuend.
        second: The condition that it is compared with.
        worst_group: On the test images of the worst group; else on all of them.
        test_set: On a test set from elsewhere, by its name; blank: on the run's own test split.
    """

    first: Condition
    second: Condition
    worst_group: bool = False
    test_set: str = ""

    def __str__(self) -> str:
        group = _WORST_GROUP if self.worst_group else ""
        return f"{self.first} vs {self.second}{group}{_ON if self.test_set else ''}{self.test_set}"

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
        ComparisonName(first='both', second='real', worst_group=True, test_set='')
        >>> ComparisonName.read("both vs real on pad").test_set
        'pad'
        """
        conditions, on, test_set = text.partition(_ON)
        first, _, second = conditions.removesuffix(_WORST_GROUP).partition(" vs ")
        if first not in _COMPARED or second not in _COMPARED or first == second or bool(on) != bool(test_set.strip()):
            raise ValueError(
                f"must be 'A vs B' or 'A vs B{_WORST_GROUP}', A and B two of {', '.join(_COMPARED)}; found {text!r} "
                f"(on a test set from elsewhere: 'A vs B{_ON}NAME')"
            )
        return cls(first, second, conditions.endswith(_WORST_GROUP), test_set.strip())


BOTH_VS_REAL = ComparisonName("both", "real")
WORST_GROUP_BOTH_VS_REAL = ComparisonName("both", "real", worst_group=True)
FAMILY = tuple(map(str, (BOTH_VS_REAL, ComparisonName("synthetic", "real"), WORST_GROUP_BOTH_VS_REAL)))
"""The default family: Holm's correction is over these comparisons."""
