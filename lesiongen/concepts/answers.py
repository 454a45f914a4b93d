"""What a model that looks at the image may answer: the visual entries' words, and nothing that it could make up."""

from collections.abc import Sequence
from typing import Any

from lesiongen.concepts.schema import ENTRIES
from lesiongen.concepts.vocabulary import COLOURS, MEANINGS, TONES, VOCABULARIES

__all__ = ["VISUAL_ENTRIES", "answer_schema"]

VISUAL_ENTRIES = tuple(name for name in ENTRIES if name != "patient")
"""The entries that an image can show; who the patient is cannot be seen."""

_WORDS = {**VOCABULARIES, "colour": COLOURS, "skin_tone": TONES}
"""A model names the ABCD rule's six colours, the same that are measured, and the tone of the skin, never a type."""

_ASKED = {**MEANINGS, "skin_tone": "Tone of the healthy skin around the lesion."}


def answer_schema(entries: Sequence[str] = VISUAL_ENTRIES) -> dict[str, Any]:
    """Returns the JSON Schema that a vision-language model's answer must follow.

    Every entry is a list of its vocabulary's words, empty where the image does not show it. A source,
    evidence, a diagnosis and free text cannot be stated. Every entry is required and nothing else allowed, as strict
    structured output asks.

    Args:
        entries: The visual entries to ask for.

    Raises:
        ValueError: An entry is not visual.
    """
    if unknown := [name for name in entries if name not in VISUAL_ENTRIES]:
        raise ValueError(f"{unknown[0]!r} cannot be seen in an image; visual: {', '.join(VISUAL_ENTRIES)}")
    properties = {
        name: {
            "type": "array",
            "description": f"{_ASKED[name]} Empty where it cannot be seen.",
            "items": {"type": "string", "enum": list(_WORDS[name])},
        }
        for name in entries
    }
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}
