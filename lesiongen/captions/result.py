"""What the caption stage returns and reports."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from lesiongen.concepts import Composed, Report
from lesiongen.references import DatasetReference

__all__ = ["CaptionResult", "Tally"]


@dataclass(frozen=True)
class CaptionResult:
    """The captioned dataset and how it came about.

    Attributes:
        dataset: The new dataset.
        coverage: For each entry and source, the share of the images that have it.
        dropped: For each entry, the number of captions in which it did not fit.
        tokens: ``budget``, ``mean`` and ``longest`` of the captions, special tokens included.
        contradictions: For each entry, the number of images where a less trusted writer said otherwise.
        not_measurable: For each kind of measurement, the number of images that do not allow it.
        preview: Address of the preview page, where one was asked for.
    """

    dataset: DatasetReference
    coverage: dict[str, dict[str, float]]
    dropped: dict[str, int]
    tokens: dict[str, float]
    contradictions: dict[str, int]
    not_measurable: dict[str, int]
    preview: str | None = None


@dataclass
class Tally:
    """Counts while the images pass."""

    images: int = 0
    covered: Counter[tuple[str, str]] = field(default_factory=Counter)
    dropped: Counter[str] = field(default_factory=Counter)
    contradictions: Counter[str] = field(default_factory=Counter)
    not_measurable: Counter[str] = field(default_factory=Counter)
    tokens: list[int] = field(default_factory=list)

    def add(self, report: Report, composed: Composed) -> None:
        """Counts one image."""
        self.images += 1
        self.covered.update((name, entry.source) for name, entry in report.entries())
        self.dropped.update(composed.dropped)
        self.tokens.append(composed.tokens)

    def summary(self, budget: int) -> dict[str, Any]:
        """Returns the counts as the fields of a `CaptionResult`."""
        coverage: dict[str, dict[str, float]] = {}
        for (name, source), count in sorted(self.covered.items()):
            coverage.setdefault(name, {})[source] = round(count / self.images, 4)
        return {
            "coverage": coverage,
            "dropped": dict(sorted(self.dropped.items())),
            "tokens": {"budget": budget, "mean": sum(self.tokens) / self.images, "longest": max(self.tokens)},
            "contradictions": dict(sorted(self.contradictions.items())),
            "not_measurable": dict(sorted(self.not_measurable.items())),
        }
