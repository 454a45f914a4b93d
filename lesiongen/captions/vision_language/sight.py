"""Finds out whether an endpoint shows its model the images at all.

A server may drop the image of a request and let the model answer from the text: every visual entry would be made up.
"""

import re

from PIL import Image

from lesiongen.captions.vision_language.question import Question

__all__ = ["SHOWN", "card", "sees"]

SYSTEM = "You look at one picture and answer with one JSON object."
COLOURS = {"red": (220, 20, 20), "green": (20, 160, 40), "blue": (20, 60, 220), "yellow": (240, 220, 20)}
TEXT = f'Which colour fills the picture? One of {", ".join(COLOURS)}, as {{"colour": "..."}}.'
SIDE = 224


SHOWN = ("yellow", "blue")
"""Two, as one could be guessed; who does not see gives the same answer twice."""


def card(colour: str) -> Question:
    """Asks for the colour of a picture of one colour."""
    properties = {"colour": {"type": "string", "enum": list(COLOURS)}}
    schema = {"type": "object", "properties": properties, "required": ["colour"], "additionalProperties": False}
    return Question(Image.new("RGB", (SIDE, SIDE), COLOURS[colour]), SYSTEM, TEXT, schema)


def sees(colour: str, answer: str) -> bool:
    """Says whether an answer names this colour and no other of the choice."""
    return {name for name in COLOURS if re.search(rf"\b{name}\b", answer.lower())} == {colour}
