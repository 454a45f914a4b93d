"""Numbers with their intervals, as the page writes them."""

from lesiongen.records.image_measures import Bounded
from lesiongen.records.scores import ClassRecall, Comparison, Score, Share, SubgroupScore

__all__ = ["bounds_of", "with_interval"]


def with_interval(value: float | None, bounds: Score | ClassRecall | Share | SubgroupScore) -> str | None:
    """Returns a number and its interval, or None if the number is missing."""
    return None if value is None else f"{value:.3f} ({bounds_of(bounds, joint='–')})"


def bounds_of(bounds: Score | ClassRecall | Comparison | Share | SubgroupScore | Bounded, joint: str = " to ") -> str:
    """Returns an interval, or that there is none."""
    if bounds.low is None or bounds.high is None:
        return "no interval"
    return f"{bounds.low:.3f}{joint}{bounds.high:.3f}"
