"""The twelve-entry report of a lesion; every entry carries its source and, where measured, the numbers."""

import json
from collections.abc import Iterator
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from lesiongen.concepts.vocabulary import PATTERNS
from lesiongen.errors import DataError

__all__ = ["ENTRIES", "Entry", "Report", "Source", "read_report"]

Source = Literal["expert", "metadata", "measured", "vision-language"]

"""In the order of trust, the most trusted first."""

ENTRIES = (
    "patient", "colour", "colour_variability", "shape", "shape_variability", "size", "border", "texture", "patterns",
    "elevation", "skin_tone", "additional",
)  # fmt: skip
"""The reference method's entries, in its order."""


class Entry(BaseModel):
    """One entry of a report.

    ``value`` holds the words of the vocabulary that apply, most important first; it may be empty where the source
    looked and found nothing. ``evidence`` holds the numbers behind the words (a share, an angle, 1 or 0 for a
    finding that is present or absent).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    value: tuple[str, ...]
    source: Source
    evidence: dict[str, float] = Field(default_factory=dict)

    @field_validator("value")
    @classmethod
    def _words_are_plain(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for word in value:
            if not word.strip() or len(word) > 80 or not word.isprintable():
                raise ValueError(f"{word!r} is not a short phrase")
        return value


class Report(BaseModel):
    """What is known of a lesion; an entry without evidence is None.

    ``patient`` holds what applies of "65 years", the sex and the site. ``patterns`` are dermoscopic patterns.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    patient: Entry | None = None
    colour: Entry | None = None
    colour_variability: Entry | None = None
    shape: Entry | None = None
    shape_variability: Entry | None = None
    size: Entry | None = None
    border: Entry | None = None
    texture: Entry | None = None
    patterns: Entry | None = None
    elevation: Entry | None = None
    skin_tone: Entry | None = None
    additional: Entry | None = None

    def entries(self) -> Iterator[tuple[str, Entry]]:
        """Yields the entries that are known, by name, in the reference method's order."""
        for name in ENTRIES:
            entry: Entry | None = getattr(self, name)
            if entry is not None:
                yield name, entry

    def to_text(self) -> str:
        """Writes the report as the JSON text of the dataset's ``concepts`` column."""
        return self.model_dump_json(exclude_none=True)


def read_report(text: str | None) -> Report:
    """Reads a ``concepts`` column: a report, or a plain mapping of dermoscopic features to 1 or 0 (by an expert).

    Raises:
        DataError: The text is neither.
    """
    if text is None or not text.strip():
        return Report()
    try:
        content = json.loads(text)
        if isinstance(content, dict) and not set(content) & set(ENTRIES):
            return _expert_features(content)
        return Report.model_validate(content)
    except (json.JSONDecodeError, ValidationError, ValueError, TypeError) as error:
        raise DataError(f"concepts = {text[:80]!r} is no report: {error}") from error


def _expert_features(features: dict[str, object]) -> Report:
    evidence = {_pattern(name): float(bool(float(str(mark)))) for name, mark in features.items() if mark is not None}
    present = tuple(name for name, mark in evidence.items() if mark)
    return Report(patterns=Entry(value=present, source="expert", evidence=evidence)) if evidence else Report()


def _pattern(name: str) -> str:
    words = name.replace("_", " ").strip().lower()
    known = {
        "pigment network": "network",
        "milia like cyst": "milia-like cysts",
        "blue whitish veil": "blue-white veil",
    }
    words = known.get(words, words)
    if words not in PATTERNS:
        raise ValueError(f"unknown dermoscopic feature {name!r}")
    return words
