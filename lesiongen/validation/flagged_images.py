"""The images that a report shows: those of each finding, and images that were linked side by side."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image

from lesiongen.dataset import Dataset
from lesiongen.imaging import ImageError, decode
from lesiongen.records.provenance import is_synthetic
from lesiongen.validation.checks import CANONICAL_CHECKS
from lesiongen.validation.findings import Finding

__all__ = ["SHOWN", "SHOWN_GROUPS", "FlaggedImages", "flagged_images", "linked_images", "shows_groups"]

SHOWN = 24
SHOWN_GROUPS = 12
GROUP_SIZE = 4
SIDE = 192
UNSEEN = Image.new("RGB", (32, 32), "#777777")
_LINKING = {check.name for check in CANONICAL_CHECKS if check.links}


@dataclass(frozen=True)
class FlaggedImages:
    """Images by image_id, grey where an image cannot be decoded, and what is written beneath each.

    Attributes:
        thumbnails: Only images that may be shown.
        labels: Split and diagnosis of the same images.
    """

    thumbnails: dict[str, Image.Image]
    labels: dict[str, str]


def shows_groups(finding: Finding) -> bool:
    """Tells whether the values of a finding name other images, to be shown beside each row's own."""
    return finding.check in _LINKING


def linked_images(finding: Finding) -> list[tuple[str, ...]]:
    """Returns the groups of images that a finding links, each once and its images in order, the first few groups.

    Names are read from the finding's own values, ``a (train), b (test) and 3 more``.
    """
    groups: dict[tuple[str, ...], None] = {}
    for row, value in zip(finding.rows, finding.values, strict=True):
        if len(groups) == SHOWN_GROUPS:
            break
        groups[tuple(sorted({row, *_names(value)})[:GROUP_SIZE])] = None
    return list(groups)


def _names(value: str) -> list[str]:
    listed = re.sub(r" and [\d,]+ more$", "", value)
    return [re.sub(r" \([^()]*\)$", "", name) for name in listed.split(", ")]


def flagged_images(dataset: Dataset, findings: Sequence[Finding], *, allow_real_images: bool) -> FlaggedImages:
    """Reads the images that the findings show; none of a real patient where that is not allowed."""
    wanted = _wanted(findings)
    flagged = FlaggedImages({}, {})
    for sample in dataset.select(wanted):
        if allow_real_images or is_synthetic(sample.provenance):
            flagged.thumbnails[sample.image_id] = _thumbnail(sample.image)
            flagged.labels[sample.image_id] = f"{sample.split}, {sample.diagnosis}"
    return flagged


def _wanted(findings: Sequence[Finding]) -> set[str]:
    wanted: set[str] = set()
    for finding in findings:
        wanted.update(finding.rows[:SHOWN])
        if shows_groups(finding):
            wanted.update(name for group in linked_images(finding) for name in group)
    return wanted


def _thumbnail(data: bytes) -> Image.Image:
    try:
        image = decode(data)
    except ImageError:
        return UNSEEN
    small = image.copy()
    small.thumbnail((SIDE, SIDE))
    return small
