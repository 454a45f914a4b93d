"""The entries that an image of a given type can show, and the words that a model may choose from."""

from collections.abc import Sequence
from typing import Any

from lesiongen.concepts import VISUAL_ENTRIES, answer_schema

__all__ = ["bounded_schema", "most_words", "shown_by", "words_of"]

MOST_WORDS = 6
_SINGLE = {"colour_variability", "shape", "shape_variability", "size", "skin_tone"}
_HIDDEN = {"dermoscopic": {"elevation"}, "clinical": {"patterns"}}
"""A dermoscope flattens what it touches; without one its structures cannot be seen."""

_SCHEMA = answer_schema(VISUAL_ENTRIES)["properties"]


def shown_by(entries: Sequence[str], image_type: str | None) -> tuple[str, ...]:
    """Keeps the entries that an image of this type can show."""
    return tuple(name for name in entries if name not in _HIDDEN.get(image_type or "", ()))


def words_of(entry: str) -> tuple[str, ...]:
    """Returns the words that a model may choose from."""
    return tuple(_SCHEMA[entry]["items"]["enum"])


def most_words(entry: str) -> int:
    """Returns how many words of an entry can apply at once."""
    return 1 if entry in _SINGLE else MOST_WORDS


def bounded_schema(entries: Sequence[str]) -> dict[str, Any]:
    """Returns the schema of an answer with the length of each list bounded, lest a model repeats words without end."""
    schema = answer_schema(entries)
    lists = {name: {**entry, "maxItems": most_words(name)} for name, entry in schema["properties"].items()}
    return {**schema, "properties": lists}
