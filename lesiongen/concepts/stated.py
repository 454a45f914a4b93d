"""What a caption states of the lesion, read back into the words of a report."""

import re
from collections.abc import Mapping
from functools import cache
from itertools import permutations

from lesiongen.concepts.demographics import facts_stated
from lesiongen.concepts.vocabulary import SIZES, VOCABULARIES
from lesiongen.concepts.wording import PATTERNS_OF

__all__ = ["stated_words"]

Words = tuple[str, ...]

_SEPARATORS = re.compile(r", |\. |; ")
_SIZE_AT_THE_START = re.compile(rf" ({'|'.join(SIZES)}) size on a [a-z ]+ skin tone\.?$", re.IGNORECASE)
"""The size in a beginning of the reference method's prompts."""


def stated_words(caption: str) -> dict[str, Words]:
    """Returns the words of each entry that a caption states, in the words of a report.

    It is the inverse of `lesiongen.concepts.compose`, clause by clause; of free text, only clauses that are such words
    are read. What is stated of the patient is left out, but for the tone of the skin, which is the caption's own word
    (`lesiongen.concepts.wording.TONE_WORDS`).

    Args:
        caption: A caption, or the prompt of a synthetic image.

    >>> stated_words("melanoma. red and dark brown colour, two colours. irregular border, on a tan skin tone")
    {'colour': ('red', 'dark brown'), 'colour_variability': ('two colours',), 'border': ('irregular border',), \
'skin_tone': ('tan',)}
    """
    first, *clauses = _SEPARATORS.split(caption)
    found: dict[str, Words] = {}
    if size := _SIZE_AT_THE_START.search(first):
        found["size"] = (size.group(1).lower(),)
    for clause in clauses:
        for name, words in _read(" ".join(clause.lower().rstrip(".").split())).items():
            found[name] = tuple(dict.fromkeys((*found.get(name, ()), *words)))
    if tone := facts_stated(caption).get("tone"):
        found["skin_tone"] = (tone,)
    return found


def _read(clause: str) -> Mapping[str, Words]:
    """Reads a clause that states one or two words of an entry, or is the middle or the end of a list of them."""
    if known := _clauses().get(clause):
        return {known[0]: known[1]}
    first, joint, last = clause.partition(" and ")
    while joint:
        one, other = _clauses().get(first), _clauses().get(last)
        if one and other and one[0] == other[0]:
            return {one[0]: (*one[1], *other[1])}
        more, joint, last = last.partition(" and ")
        first = f"{first} and {more}"
    return {}


@cache
def _clauses() -> dict[str, tuple[str, Words]]:
    """Every clause that states one or two words of an entry, but for those of the skin's tone.

    Words alone come last: an entry of one word, such as the size, states the first of two.
    """
    return {
        clause: (name, words)
        for name, vocabulary in VOCABULARIES.items()
        if name != "skin_tone"
        for words in (*permutations(vocabulary, 2), *((word,) for word in vocabulary))
        for clause in PATTERNS_OF[name](words)
    }
