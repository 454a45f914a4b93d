"""Which words of a report cannot both be right."""

from collections.abc import Iterator, Mapping

from lesiongen.concepts import Entry, Report, Source
from lesiongen.concepts.findings import SIZE_LIMITS
from lesiongen.concepts.schema import SOURCES, is_age
from lesiongen.concepts.vocabulary import (
    ASYMMETRY,
    COLOUR_VARIABILITY,
    COLOURS,
    FITZPATRICK_TYPES,
    PATTERNS,
    SEXES,
    SIZES,
    SKIN_TYPES,
    TONES,
)

__all__ = ["across_entries", "denied_words", "difference", "gravity", "within_entry"]

TONE_TOLERANCE = 1
"""Classes by which a tone may differ: the classes are narrow, and a Fitzpatrick type is not a colour."""

AREA_TOLERANCE = 0.05
"""Share of the image by which a lesion may miss the limits of its size's name."""

CLEARLY_ROUND, CLEARLY_OVAL = 1.1, 1.4
"""Ratios of the axes between which round and oval are both right."""

AGE_TOLERANCE = 5.0
"""Years; public tables round ages to five."""

ONE_WORD = ("colour_variability", "shape", "shape_variability", "size", "skin_tone")

_RAISED = {
    "palpable", "nodular", "papule", "plaque", "nodule", "dome-shaped", "pedunculated", "exophytic", "acuminate",
}  # fmt: skip
_UNEVEN = {
    "rough", "scaly", "crusted", "ulcerated", "eroded", "excoriated", "fissured", "warty", "lichenified", "friable",
}  # fmt: skip
_DIFFUSE = {word for word in PATTERNS if word.startswith("diffuse ")}
_LOCALIZED = {word for word in PATTERNS if word.startswith("localized ")}

OPPOSITES: dict[str, tuple[tuple[set[str], set[str]], ...]] = {
    "shape": (({"round", "oval"}, {"irregular"}),),
    "border": (({"smooth border"}, {"irregular border"}), ({"sharp border"}, {"blurred border"})),
    "texture": (({"smooth"}, _UNEVEN),),
    "patterns": (
        ({"typical network"}, {"atypical network"}),
        ({"regular streaks"}, {"irregular streaks"}),
        ({"regular dots and globules"}, {"irregular dots and globules"}),
        ({"diffuse regular pigmentation"}, {"diffuse irregular pigmentation"}),
        ({"localized regular pigmentation"}, {"localized irregular pigmentation"}),
        (_DIFFUSE, _LOCALIZED),
    ),
    "elevation": (({"flat"}, _RAISED),),
}
"""Words of one entry of which the left ones exclude the right ones."""

_ALIKE = {"hyperpigmented brown": ("light brown", "dark brown"), "hypopigmented white": ("white",),
          "blue": ("blue-gray",), "gray": ("blue-gray",)}  # fmt: skip
"""SkinCon's colours in the ABCD rule's words; purple, yellow and salmon have none there."""

_FORMS = {
    "network": {"network", "typical network", "atypical network"},
    "streaks": {"streaks", "regular streaks", "irregular streaks"},
    "globules": {"globules", "regular dots and globules", "irregular dots and globules"},
    "dots and globules": {"globules", "regular dots and globules", "irregular dots and globules"},
    "vessels": {word for word in PATTERNS if "vessels" in word},
    "pigmentation": {word for word in PATTERNS if "pigmentation" in word},
    "regression": {"blue regression", "white regression", "combined regression", "vessels within regression"},
}
_RAISED_FINDINGS = {"vesicle", "bulla", "pustule", "abscess", "cyst", "wheal"}


def denied_words(entry: Entry, absent: Mapping[str, Source]) -> dict[str, Source]:
    """Returns the words of an entry that somebody looked for and did not find, and who that was.

    Args:
        entry: The entry that states them.
        absent: Words, or names of structures, that were recorded as absent, and by whom.
    """
    denied = {form: source for word, source in absent.items() for form in _FORMS.get(word, {word})}
    return {word: denied[word] for word in entry.value if word in denied}


def within_entry(name: str, entry: Entry) -> Iterator[tuple[tuple[str, ...], str]]:
    """Yields the words of one entry that exclude each other or its own numbers, and why."""
    words = entry.value
    if name in ONE_WORD and len(words) > 1:
        yield words, f"{' and '.join(words)} at once"
        return
    for left, right in OPPOSITES.get(name, ()):
        both = tuple(word for word in words if word in left | right)
        if set(both) & left and set(both) & right:
            yield both, f"{' and '.join(both)} at once"
    if absent := tuple(word for word in words if entry.evidence.get(word) == 0):
        yield absent, f"{absent[0]} is recorded as absent"
    if name == "size" and words and (reason := _misses(words[0], entry.evidence.get("area_share"))):
        yield words, reason


def difference(name: str, trusted: Entry, other: Entry) -> str | None:
    """Says in which way two sources' statements on one entry cannot both be right; None where they can.

    The tolerances are those of this module: one class of tone, one axis of asymmetry, 0.05 of the image's area, and
    five years. Colours differ where none is shared. What only one of the two names is not a contradiction.
    """
    if not trusted.value or not other.value:
        return None
    if _differ(name, trusted, other):
        return f"{trusted.source}: {', '.join(trusted.value)}; {other.source}: {', '.join(other.value)}"
    return None


def gravity(name: str, trusted: Entry, other: Entry) -> float:
    """Says how far two contradicting statements lie apart, in [0, 1]: of tones by classes, of all else one half."""
    if name != "skin_tone" or not trusted.value or not other.value:
        return 0.5
    return _apart(trusted.value[0], other.value[0]) / (len(TONES) - 1)


def _differ(name: str, trusted: Entry, other: Entry) -> bool:
    first, second = trusted.value[0], other.value[0]
    match name:
        case "patient":
            return _other_patient(trusted.value, other.value)
        case "colour":
            left, right = _comparable(trusted.value), _comparable(other.value)
            return bool(left and right and not left & right)
        case "colour_variability":
            return abs(COLOUR_VARIABILITY.index(first) - COLOUR_VARIABILITY.index(second)) > 1
        case "shape_variability":
            return abs(ASYMMETRY.index(first) - ASYMMETRY.index(second)) > 1
        case "size":
            return _sizes_differ(trusted, other)
        case "skin_tone":
            return _apart(first, second) > TONE_TOLERANCE
    return _opposed(name, trusted.value, other.value) or (name == "shape" and _rounder(trusted, other))


def _opposed(name: str, left: tuple[str, ...], right: tuple[str, ...]) -> bool:
    pairs = [pair for one, two in OPPOSITES.get(name, ()) for pair in ((one, two), (two, one))]
    return any(set(left) & one and set(right) & two for one, two in pairs)


def _comparable(words: tuple[str, ...]) -> set[str]:
    return {colour for word in words for colour in _ALIKE.get(word, (word,)) if colour in COLOURS}


def _rounder(trusted: Entry, other: Entry) -> bool:
    for said, measured in ((trusted, other), (other, trusted)):
        ratio = measured.evidence.get("elongation")
        if ratio is None or said.value[0] == measured.value[0]:
            continue
        if (said.value[0] == "round" and ratio > CLEARLY_OVAL) or (said.value[0] == "oval" and ratio < CLEARLY_ROUND):
            return True
    return False


def _sizes_differ(trusted: Entry, other: Entry) -> bool:
    for said, measured in ((trusted, other), (other, trusted)):
        if "area_share" in measured.evidence:
            return _misses(said.value[0], measured.evidence["area_share"]) is not None
    return abs(SIZES.index(trusted.value[0]) - SIZES.index(other.value[0])) > 1


def _misses(size: str, area_share: float | None) -> str | None:
    """Says that a size's name does not fit the area, beyond the tolerance."""
    if area_share is None:
        return None
    limits = (0.0, *SIZE_LIMITS, 1.0)
    place = SIZES.index(size)
    if limits[place] - AREA_TOLERANCE <= area_share <= limits[place + 1] + AREA_TOLERANCE:
        return None
    return f"{size}, but {area_share:.0%} of the image"


def _apart(left: str, right: str) -> float:
    """Returns by how many classes two tones or types differ at least; DDI's pairs hold two types."""
    return min(abs(one - two) for one in _places(left) for two in _places(right))


def _places(word: str) -> tuple[int, ...]:
    """Returns the places of a word on its scale of tones; a pair of types has two."""
    if word in TONES:
        return (TONES.index(word),)
    if word in FITZPATRICK_TYPES:
        return (FITZPATRICK_TYPES.index(word),)
    pair = SKIN_TYPES.index(word) - len(FITZPATRICK_TYPES)
    return (2 * pair, 2 * pair + 1)


def _other_patient(trusted: tuple[str, ...], other: tuple[str, ...]) -> bool:
    sexes = [word for words in (trusted, other) for word in words if word in SEXES]
    ages = [float(word.split()[0]) for words in (trusted, other) for word in words if is_age(word)]
    return len(set(sexes)) > 1 or (len(ages) == 2 and abs(ages[0] - ages[1]) > AGE_TOLERANCE)


def across_entries(report: Report) -> Iterator[tuple[str, str, str]]:
    """Yields pairs of entries that cannot both be right: the one to drop, the other, and why.

    The less trusted goes; of one source's two, the one that says less.
    """
    for first, second, reason in _clashes(report):
        one, two = getattr(report, first), getattr(report, second)
        firmer = SOURCES.index(one.source) < SOURCES.index(two.source)
        yield (second, first, reason) if firmer else (first, second, reason)


def _clashes(report: Report) -> Iterator[tuple[str, str, str]]:
    """Yields two entries that exclude each other, and why."""
    if reason := _colours_miscounted(report.colour, report.colour_variability):
        yield "colour_variability", "colour", reason
    if _has(report.shape, {"irregular"}) and _has(report.shape_variability, {"symmetric"}):
        yield "shape", "shape_variability", "irregular, but symmetric"
    for name, raised in (("texture", {"warty"}), ("additional", _RAISED_FINDINGS)):
        if _has(report.elevation, {"flat"}) and _has(getattr(report, name), raised):
            words = ", ".join(word for word in getattr(report, name).value if word in raised)
            yield "elevation", name, f"flat, but {words}"


def _has(entry: Entry | None, words: set[str]) -> bool:
    return entry is not None and bool(set(entry.value) & words)


def _colours_miscounted(colour: Entry | None, variability: Entry | None) -> str | None:
    """More colours than are counted contradict; fewer only where the source names all that it sees: experts do not."""
    if colour is None or variability is None or not colour.value or not variability.value:
        return None
    counted, named = COLOUR_VARIABILITY.index(variability.value[0]) + 1, len(colour.value)
    if min(named, 3) > counted or (min(named, 3) < counted and colour.source != "expert"):
        return f"{variability.value[0]}, but {', '.join(colour.value)}"
    return None
