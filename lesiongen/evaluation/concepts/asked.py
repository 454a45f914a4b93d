"""The concepts that captions ask for and that can be measured on an image."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from lesiongen.concepts import Measurement, measured_report
from lesiongen.concepts.vocabulary import ASYMMETRY, COLOUR_VARIABILITY, COLOURS, SIZES
from lesiongen.concepts.wording import TONE_WORDS, tone_word

__all__ = ["GRADED", "YES_NO", "Graded", "Measured", "Words", "YesNo", "measured"]

Words = Mapping[str, tuple[str, ...]]
"""The words of each entry of a report, as `lesiongen.concepts.stated.stated_words` reads them from a caption."""


@dataclass(frozen=True)
class Graded:
    """A concept of which a caption asks for more or less.

    Attributes:
        name: The concept.
        entry: The entry of the report that names the grade.
        grades: The entry's words, from the least to the most.
        measured: What is measured, and its unit.
        value: Reads it from a measurement; None where it was not measurable.
    """

    name: str
    entry: str
    grades: tuple[str, ...]
    measured: str
    value: Callable[[Measurement], float | None]

    def asked(self, words: Words) -> int | None:
        """Returns the grade that a caption asks for, from 0; None where it names none, or several."""
        named = [self.grades.index(word) for word in words.get(self.entry, ()) if word in self.grades]
        return named[0] if len(named) == 1 else None


@dataclass(frozen=True)
class YesNo:
    """A concept that a caption asks for, or asks against.

    Attributes:
        name: The concept.
        entry: The entry of the report that names it.
        present: Words that ask for it.
        absent: Words that ask against it; empty: any other words of the entry do.
    """

    name: str
    entry: str
    present: frozenset[str]
    absent: frozenset[str] = frozenset()

    def asked(self, words: Words) -> bool | None:
        """Tells whether a caption asks for presence or for absence; None where it says neither."""
        stated = set(words.get(self.entry, ()))
        if stated & self.present:
            return True
        return False if stated & self.absent or (stated and not self.absent) else None

    def shown(self, words: Words) -> bool | None:
        """Tells whether the words of a measurement hold it; None where the entry was not measurable."""
        return bool(set(words[self.entry]) & self.present) if self.entry in words else None


GRADED = (
    Graded("size", "size", SIZES, "share of the image", lambda found: found.area_share),
    Graded(
        "asymmetry",
        "shape_variability",
        ASYMMETRY,
        "mismatch when folded, mean of two axes",
        lambda found: None if found.asymmetry is None else sum(found.asymmetry) / 2,
    ),
    Graded(
        "border irregularity",
        "border",
        ("smooth border", "irregular border"),
        "deviation of the radius, in lesion radii",
        lambda found: found.irregularity,
    ),
    Graded(
        "border width",
        "border",
        ("sharp border", "blurred border"),
        "width, in lesion radii",
        lambda found: found.border_width,
    ),
    Graded(
        "number of colours",
        "colour_variability",
        COLOUR_VARIABILITY,
        "colours of at least a tenth of the lesion",
        lambda found: float(len(found.colours)) if found.colours else None,
    ),
    Graded(
        "lightness of the skin",
        "skin_tone",
        tuple(reversed(TONE_WORDS)),
        "individual typology angle, degrees",
        lambda found: found.ita,
    ),
)
"""The concepts with an order, each with a number of its own."""

YES_NO = (
    YesNo("small lesion", "size", frozenset({"small"})),
    YesNo("large lesion", "size", frozenset({"large"})),
    YesNo("irregular shape", "shape", frozenset({"irregular"})),
    YesNo("asymmetric", "shape_variability", frozenset(ASYMMETRY[1:])),
    YesNo("irregular border", "border", frozenset({"irregular border"}), frozenset({"smooth border"})),
    YesNo("blurred border", "border", frozenset({"blurred border"}), frozenset({"sharp border"})),
    YesNo("several colours", "colour_variability", frozenset(COLOUR_VARIABILITY[1:])),
    *(YesNo(f"colour {name}", "colour", frozenset({name})) for name in COLOURS),
    YesNo("light skin", "skin_tone", frozenset(TONE_WORDS[:2])),
    YesNo("dark skin", "skin_tone", frozenset(TONE_WORDS[3:])),
)
"""Concepts that are there or not; of sizes and tones, the ends of the scale."""


@dataclass(frozen=True)
class Measured:
    """What was measured on one image.

    Attributes:
        lesion: Whether a lesion was found.
        values: The numbers of `GRADED` by name; without what was not measurable.
        words: The words of each entry that was measurable; the tone in a caption's word.
    """

    lesion: bool
    values: Mapping[str, float]
    words: Words


def measured(found: Measurement) -> Measured:
    """Returns the numbers and the words of a measurement, of the concepts that are compared."""
    values = {concept.name: concept.value(found) for concept in GRADED}
    words = {name: entry.value for name, entry in measured_report(found).entries()}
    if "skin_tone" in words:
        words["skin_tone"] = tuple(map(tone_word, words["skin_tone"]))
    return Measured(
        lesion=found.area_share is not None,
        values={name: value for name, value in values.items() if value is not None},
        words=words,
    )
