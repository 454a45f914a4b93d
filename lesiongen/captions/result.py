"""What the caption stage returns and reports."""

from collections import Counter
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, Field

from lesiongen.captions.check_counts import CheckCounts
from lesiongen.captions.checks import Checked
from lesiongen.captions.journal import Described
from lesiongen.concepts import Composed
from lesiongen.references import DatasetReference

__all__ = ["CaptionCounts", "CaptionResult"]

Counts = Counter[str]


class CaptionCounts(BaseModel):
    """What was counted while the images passed: the content of ``caption_report.json``.

    Counts of several parts of a dataset add up with ``+``.

    Attributes:
        images: Number of images.
        budget: Longest caption in tokens.
        covered: For each entry and source, the images of which it has something to say.
        dropped: For each entry, the captions in which it did not fit.
        shortened: For each entry, the captions in which a part of it did not fit.
        checks: What the checks found, writer by writer.
        not_measurable: For each kind of measurement, the images that do not allow it.
        refused: For each writer, how often it answered what it may not state.
        lengths: For each length in tokens, special tokens included, the captions of that length.
    """

    model_config = ConfigDict(extra="forbid")

    budget: int
    images: int = 0
    covered: dict[str, Counts] = {}
    dropped: Counts = Counter()
    shortened: Counts = Counter()
    checks: CheckCounts = Field(default_factory=CheckCounts)
    not_measurable: Counts = Counter()
    refused: Counts = Counter()
    lengths: Counter[int] = Counter()

    def add(self, image_id: str, described: Described, checked: Checked, composed: Composed) -> None:
        """Counts one image."""
        self.images += 1
        for name, entry in checked.report.entries():
            if entry.value:
                self.covered.setdefault(name, Counter())[entry.source] += 1
        self.dropped.update(composed.dropped)
        self.shortened.update(name for name in composed.shortened if name not in composed.dropped)
        self.checks.add(image_id, checked)
        for writer, written in described.items():
            self.not_measurable.update(written.not_measurable.keys())
            if written.refused:
                self.refused[writer] += len(written.refused)
        self.lengths[composed.tokens] += 1

    def __add__(self, other: "CaptionCounts") -> "CaptionCounts":
        names = sorted(self.covered.keys() | other.covered.keys())
        covered = {name: self.covered.get(name, Counter()) + other.covered.get(name, Counter()) for name in names}
        summed = {
            name: getattr(self, name) + getattr(other, name)
            for name in ("images", "dropped", "shortened", "checks", "not_measurable", "refused", "lengths")
        }
        return CaptionCounts(budget=self.budget, covered=covered, **summed)

    def coverage(self) -> dict[str, dict[str, float]]:
        """Returns, for each entry and source, the share of the images that have it."""
        return {
            name: {source: count / self.images for source, count in sorted(sources.items())}
            for name, sources in sorted(self.covered.items())
        }

    @property
    def mean_tokens(self) -> float:
        """Mean length of the captions in tokens."""
        return sum(length * count for length, count in self.lengths.items()) / max(self.images, 1)

    @property
    def longest(self) -> int:
        """Length of the longest caption in tokens."""
        return max(self.lengths, default=0)


@dataclass(frozen=True)
class CaptionResult:
    """The captioned dataset and how it came about.

    Attributes:
        dataset: The new dataset.
        counts: What was counted.
        page: Address of the caption report's page.
        preview: Address of the preview page, where one was asked for.
    """

    dataset: DatasetReference
    counts: CaptionCounts
    page: str
    preview: str | None = None
