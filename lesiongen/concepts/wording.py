"""The patterns in which a caption states each entry; several of each, for identical captions are memorised."""

from collections.abc import Callable, Set

from lesiongen.concepts.ages import with_age_bands
from lesiongen.concepts.schema import is_age
from lesiongen.concepts.vocabulary import FITZPATRICK_TYPES, SEXES, SKIN_TYPES, TONES

__all__ = [
    "LEADS",
    "PATTERNS_OF",
    "REFERENCE_PATTERN",
    "TONE_WORDS",
    "by_importance",
    "carriers",
    "inevitable",
    "tone_word",
    "worded",
]

LEADS = (
    "{}", "image of {}", "skin with {}", "dermatology image of {}", "skin image of {}", "close-up of {}", "photo of {}",
    "{} of the skin",
)  # fmt: skip
"""Around the diagnosis."""

REFERENCE_PATTERN = "{} {} size on a {} skin tone"
"""The reference method's prompts of a class: diagnosis, size and tone."""

_TONE_WORDS = ("very light", "light", "medium", "tan", "brown", "dark")
"""For the six classes of tone, and for Fitzpatrick's types I to VI; the reference's prompts call the third medium."""

_PAIR_WORDS = ("light", "medium", "dark")

TONE_WORDS = tuple(dict.fromkeys((*_TONE_WORDS, *_PAIR_WORDS)))
"""Every word by which a caption names a tone."""

_NOUNS = ("macule", "patch", "papule", "plaque", "nodule")

CARRIERS = ("colour", "shape", "lesion", "size")
"""Nouns that only carry an entry's word: "red colour, uniform colour" says no more than "red, uniform colour"."""

Words = tuple[str, ...]


def worded(name: str, words: Words, choice: float, taken: Set[str] = frozenset()) -> str:
    """Returns one of the patterns that state an entry.

    Args:
        name: The entry, or ``description``.
        words: What it says, in the order of `by_importance`; at least one.
        choice: In [0, 1), picks the pattern.
        taken: Carriers that are used elsewhere in the caption, and that this entry leaves out where it can.
    """
    patterns = PATTERNS_OF[name](words)
    fresh = [pattern for pattern in patterns if not carriers(pattern) & taken] or patterns
    return fresh[int(choice * len(fresh))]


def carriers(text: str) -> frozenset[str]:
    """Returns the carriers that a text holds, also in "coloured" and "colours"."""
    return frozenset(carrier for carrier in CARRIERS if carrier in text)


def inevitable(name: str, words: Words) -> frozenset[str]:
    """Returns the carriers without which no pattern states an entry."""
    return frozenset.intersection(*(carriers(pattern) for pattern in PATTERNS_OF[name](words)))


def by_importance(name: str, words: Words) -> Words:
    """Returns an entry's words with the most important first, which is how a report holds them.

    Of the patient, the site is seen, the age perhaps, the sex hardly.
    """
    if name != "patient":
        return words
    return tuple(sorted(words, key=lambda word: is_age(word) + 2 * (word in SEXES)))


def tone_word(word: str) -> str:
    """Returns the word of a caption for a tone that was seen, or for a type that was recorded."""
    if word in TONES:
        return _TONE_WORDS[TONES.index(word)]
    if word in FITZPATRICK_TYPES:
        return _TONE_WORDS[FITZPATRICK_TYPES.index(word)]
    return _PAIR_WORDS[SKIN_TYPES.index(word) - len(FITZPATRICK_TYPES)]


def _listed(words: Words) -> str:
    return words[0] if len(words) == 1 else ", ".join(words[:-1]) + " and " + words[-1]


def _patient(words: Words) -> Words:
    ages = [with_age_bands(word) for word in words if is_age(word)]
    sexes = [word for word in words if word in SEXES]
    sites = [word for word in words if not is_age(word) and word not in sexes]
    patterns = [", ".join([*ages, *sexes, *sites]), ", ".join([*sites, *sexes, *ages])]
    if sites:
        patterns += [", ".join([f"on the {sites[0]}", *ages, *sexes]), ", ".join([*sexes, *ages, f"site {sites[0]}"])]
    elif sexes:
        patterns += [", ".join([f"{sexes[0]} patient", *ages])]
    return tuple(patterns)


def _colour(words: Words) -> Words:
    colours = _listed(words)
    return (colours, f"{colours} colour", f"coloured {colours}", f"{colours} in colour")


def _variability(words: Words) -> Words:
    return {
        "uniform colour": ("uniform colour", "uniformly coloured", "of one colour"),
        "two colours": ("two colours", "in two colours", "of two colours"),
        "many colours": ("many colours", "in many colours", "of many colours"),
    }[words[0]]


def _asymmetry(words: Words) -> Words:
    if words[0] == "symmetric":
        return ("symmetric", "symmetric in both axes", "symmetric lesion")
    return (words[0], words[0].replace(" in ", " about "), f"shape {words[0]}")


def _size(words: Words) -> Words:
    stated = (f"{words[0]} size", f"{words[0]} lesion", f"of {words[0]} size")
    return stated if words[0] == "medium" else (words[0], *stated)  # medium alone could be anything's


def _border(words: Words) -> Words:
    plain = tuple(word.removesuffix(" border") for word in words)
    return (f"{_listed(plain)} border", f"border {_listed(plain)}", f"{_listed(plain)} edge")


def _elevation(words: Words) -> Words:
    nouns = tuple(word for word in words if word in _NOUNS)
    rest = tuple(word for word in words if word not in _NOUNS)
    stated = " ".join([*rest, _listed(nouns)]) if nouns else _listed(rest)
    return (stated, f"a {stated}") if nouns else (stated, f"{stated} lesion")


def _tone(words: Words) -> Words:
    tone = tone_word(words[0])
    stated: Words = (f"{tone} skin tone", f"on a {tone} skin tone")
    if tone != "medium":  # nobody calls skin medium
        stated = (*stated, f"{tone} skin", f"on {tone} skin")
    if words[0] in TONES:
        return stated
    kind = words[0].replace("Fitzpatrick", "Fitzpatrick type")
    return (*(f"{text}, {kind}" for text in stated), f"{kind}, {stated[0]}")


def _described(words: Words) -> Words:
    return (", ".join(words),)


PATTERNS_OF: dict[str, Callable[[Words], Words]] = {
    "patient": _patient,
    "colour": _colour,
    "colour_variability": _variability,
    "shape": lambda words: (words[0], f"{words[0]} shape", f"{words[0]} outline", f"of {words[0]} shape"),
    "shape_variability": _asymmetry,
    "size": _size,
    "border": _border,
    "texture": lambda words: (_listed(words), f"{_listed(words)} surface", f"surface {_listed(words)}"),
    "patterns": lambda words: (_listed(words), f"with {_listed(words)}", f"showing {_listed(words)}"),
    "elevation": _elevation,
    "skin_tone": _tone,
    "additional": lambda words: (_listed(words), f"with {_listed(words)}", f"also {_listed(words)}"),
    "description": _described,
}
