"""The twelve-entry report of a lesion; every entry carries its source and, where measured, the numbers."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError, field_validator
from pydantic_core import core_schema

from lesiongen import limits
from lesiongen.concepts.vocabulary import MEANINGS, SEXES, SKIN_TYPES, STRUCTURES, TONES, VOCABULARIES
from lesiongen.errors import DataError

__all__ = [
    "ENTRIES",
    "REPORT_VERSION",
    "SOURCES",
    "Description",
    "Entry",
    "Report",
    "Source",
    "absent_words",
    "is_age",
    "read_report",
    "report_json_schema",
]

REPORT_VERSION: Literal[2] = 2

Source = Literal["expert", "metadata", "measured", "vision-language"]
SOURCES: tuple[Source, ...] = ("expert", "metadata", "measured", "vision-language")
"""In the order of trust, the most trusted first."""

ENTRIES = tuple(MEANINGS)
"""The reference method's entries, in its order."""

_FINDINGS = ("colour", "texture", "patterns", "elevation", "additional")
"""The entries in which experts mark what they looked for, as present or absent."""

_SENTENCE_END = re.compile(r"(?<=[.!?;])(?<!\b(?:Mr|Dr|Ms|No|no|Nr)\.)(?<!\bMrs\.)(?<!\bProf\.)\s+(?=[A-Z])|\n+")
_AGE = re.compile(r"\d{1,3} years")
_LONGEST_WORDS = 80
_LONGEST_TEXT = 4000


class Entry(BaseModel):
    """One entry of a report.

    Attributes:
        value: The words that apply, most important first; empty where the source looked and found nothing.
        source: Who states it.
        evidence: The numbers behind the words: a share, an angle, 1 or 0 for a finding that is present or absent.
        confidence: How likely the source itself holds the words to be right, in [0, 1]. None where it does not say:
            experts and tables do not.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    value: tuple[str, ...]
    source: Source
    evidence: dict[str, FiniteFloat] = Field(default_factory=dict)
    confidence: float | None = Field(None, ge=0, le=1)

    @field_validator("value")
    @classmethod
    def _words_are_plain(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for word in value:
            if not word.strip() or len(word) > _LONGEST_WORDS or not word.isprintable():
                raise ValueError(f"{word!r} is not a short phrase")
        if len(set(value)) != len(value):
            raise ValueError("a word is named twice")
        return value


class Description(BaseModel):
    """What a source wrote in its own words, such as SkinCAP's dermatologists; the report's one free text."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    text: str = Field(min_length=1, max_length=_LONGEST_TEXT)
    source: Source

    def sentences(self) -> tuple[str, ...]:
        """Returns the text in sentences, each with its full stop."""
        return tuple(sentence for sentence in _SENTENCE_END.split(self.text) if sentence.strip())


@dataclass(frozen=True)
class _Words:
    """Restricts the value of an `Entry` to the vocabulary of one entry of the report, also in its JSON Schema."""

    entry: str

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> core_schema.CoreSchema:
        return core_schema.no_info_after_validator_function(self._check, handler(source))

    def __get_pydantic_json_schema__(self, schema: core_schema.CoreSchema, handler: Any) -> dict[str, Any]:
        entry = handler.resolve_ref_schema(handler(schema))
        value = {**entry["properties"]["value"], "items": self._items(), "uniqueItems": True}
        properties = {**entry["properties"], "value": value}
        return {**entry, "title": self.entry, "description": MEANINGS[self.entry], "properties": properties}

    def _items(self) -> dict[str, Any]:
        if self.entry == "patient":
            return {"type": "string", "minLength": 1, "maxLength": _LONGEST_WORDS}
        return {"type": "string", "enum": list(VOCABULARIES[self.entry])}

    def _check(self, entry: Entry) -> Entry:
        if self.entry == "patient":
            _check_patient(entry)
        elif unknown := [word for word in entry.value if word not in VOCABULARIES[self.entry]]:
            raise ValueError(f"unknown word {unknown[0]!r} for {self.entry}")
        if self.entry == "skin_tone":
            _check_tone(entry)
        return entry


def is_age(words: str) -> bool:
    """Says whether a word of ``patient`` is an age: "65 years"."""
    return _AGE.fullmatch(words) is not None


def _check_patient(entry: Entry) -> None:
    sites = [word for word in entry.value if not is_age(word) and word not in SEXES]
    for kind, number in (
        ("age", sum(map(is_age, entry.value))),
        ("sex", sum(word in SEXES for word in entry.value)),
        ("site", len(sites)),
    ):
        if number > 1:
            raise ValueError(f"patient has more than one {kind}: {', '.join(entry.value)}")


def _check_tone(entry: Entry) -> None:
    """A tone is seen in an image, a type recorded of a patient; neither source has the other's words."""
    seen = entry.source in ("measured", "vision-language")
    wrong = [word for word in entry.value if word not in (TONES if seen else SKIN_TYPES)]
    if wrong:
        kind = "recorded skin type" if seen else "tone of an image"
        raise ValueError(f"{entry.source} cannot state {wrong[0]!r}: that is a {kind}")
    if len(entry.value) > 1:
        raise ValueError(f"skin_tone has more than one word: {', '.join(entry.value)}")


class Report(BaseModel):
    """What is known of a lesion: twelve entries, and free text. An entry without evidence is None.

    Attributes:
        description: A source's own words.
        schema_version: Version of this schema.
    """

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        json_schema_extra={"$id": f"urn:lesiongen:report:{REPORT_VERSION}"},
    )

    patient: Annotated[Entry, _Words("patient")] | None = None
    colour: Annotated[Entry, _Words("colour")] | None = None
    colour_variability: Annotated[Entry, _Words("colour_variability")] | None = None
    shape: Annotated[Entry, _Words("shape")] | None = None
    shape_variability: Annotated[Entry, _Words("shape_variability")] | None = None
    size: Annotated[Entry, _Words("size")] | None = None
    border: Annotated[Entry, _Words("border")] | None = None
    texture: Annotated[Entry, _Words("texture")] | None = None
    patterns: Annotated[Entry, _Words("patterns")] | None = None
    elevation: Annotated[Entry, _Words("elevation")] | None = None
    skin_tone: Annotated[Entry, _Words("skin_tone")] | None = None
    additional: Annotated[Entry, _Words("additional")] | None = None
    description: Description | None = None
    schema_version: Literal[2] = REPORT_VERSION

    def entries(self) -> Iterator[tuple[str, Entry]]:
        """Yields the entries that are known, by name, in the reference method's order."""
        for name in ENTRIES:
            entry: Entry | None = getattr(self, name)
            if entry is not None:
                yield name, entry

    def to_text(self) -> str:
        """Writes the report as the JSON text of the dataset's ``concepts`` column."""
        return self.model_dump_json(exclude_none=True)


def absent_words(name: str, entry: Entry) -> tuple[str, ...]:
    """Returns the words of an entry's vocabulary that its evidence marks as absent.

    Only findings are marked so: a 0 beside a tone, say, is a share.
    """
    if name not in _FINDINGS:
        return ()
    known = {*VOCABULARIES[name], *(STRUCTURES if name == "patterns" else ())}
    return tuple(word for word, number in entry.evidence.items() if number == 0 and word in known)


def read_report(text: str | None) -> Report:
    """Reads a ``concepts`` column: a report, or a plain mapping of dermoscopic features to 1 or 0 (by an expert).

    Raises:
        DataError: The text is neither.
    """
    if text is None or not text.strip():
        return Report()
    if len(text) > limits.MAX_REPORT_CHARACTERS:
        more = f"more than the {limits.MAX_REPORT_CHARACTERS:,} allowed (MAX_REPORT_CHARACTERS)"
        raise _no_report(text, ValueError(f"has {len(text):,} characters, {more}"))
    try:
        content = json.loads(text)
        if isinstance(content, dict) and content and not set(content) & set(Report.model_fields):
            return _expert_features(content)
        return Report.model_validate_json(text)
    # OverflowError: a mark is a number with too many digits; RecursionError: brackets within brackets.
    except (ValidationError, ValueError, TypeError, OverflowError, RecursionError) as error:
        raise _no_report(text, error) from error


def _no_report(text: str, error: Exception) -> DataError:
    problem = DataError(f"concepts = {text[:80]!r}: invalid report: {str(error)[:500]}")
    problem.__cause__ = error  # a reader reports it without the text
    return problem


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
    if words not in VOCABULARIES["patterns"]:
        raise ValueError(f"unknown dermoscopic feature {name!r}")
    return words


def report_json_schema() -> dict[str, Any]:
    """Returns the report's JSON Schema (draft 2020-12), as docs/reference/report.schema.json holds it."""
    schema = Report.model_json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}
