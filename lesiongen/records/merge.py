"""The content of ``merge_report.json``: what was merged, what the datasets share, and what was left out."""

from typing import Any, Literal

from pydantic import Field

from lesiongen.records.base import Record
from lesiongen.records.origin import MergedDataset

__all__ = ["ClassCount", "DroppedImage", "Duplicates", "MergeReport", "SharedImage"]

Duplicates = Literal["drop", "keep", "fail"]
"""The rule for images that several datasets show."""


class ClassCount(Record):
    """Numbers of images of one source, diagnosis and split that were kept and that were left out."""

    source: str
    diagnosis: str
    split: str
    images: int
    dropped: int


class SharedImage(Record):
    """An image that an earlier dataset shows too, beside the first such image; each is named ``dataset/image_id``."""

    image: str
    copied: str = Field(serialization_alias="copy")
    kind: Literal["exact", "near"]
    """Whether the decoded pixels are the same, or only show the same photograph."""
    split: str
    copy_split: str
    diagnosis: str
    copy_diagnosis: str
    kept: str
    """The image that was kept; ``both`` or ``neither``."""
    datasets: tuple[int, int]
    """Positions of the two datasets among those that were merged."""
    image_ids: tuple[str, str]
    """The image_ids within these datasets."""


class DroppedImage(Record):
    """An image that was left out."""

    dataset: str
    image_id: str
    split: str
    reason: str


class MergeReport(Record):
    """Content of ``merge_report.json``."""

    schema_version: Literal[1] = 1
    datasets: tuple[MergedDataset, ...]
    rule: Duplicates
    images: int
    sources: dict[str, dict[str, int]]
    """Number of images by source and split."""
    classes: tuple[ClassCount, ...]
    overlapping_classes: str | None
    """A warning, where benign or malignant are classes beside exact diagnoses."""
    licence: str
    licence_conflicts: tuple[str, ...]
    """Why the whole may not be handed on, in sentences."""
    leaks: int
    """Groups of images that belong together and were in several splits."""
    leaks_kept: int
    label_conflicts: int
    """Images that have another diagnosis in another dataset."""
    renamed: dict[str, int]
    """For each column of ids, how many kept rows got another one."""
    duplicates: tuple[SharedImage, ...]
    dropped: tuple[DroppedImage, ...]

    def content(self) -> dict[str, Any]:
        """Returns the report as it is stored."""
        return self.model_dump(mode="json", by_alias=True)
