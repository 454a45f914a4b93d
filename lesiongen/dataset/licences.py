"""Licences as terms that can be combined: what may be done with data that come from several collections."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

__all__ = ["CombinedLicence", "Licence", "combine_licences", "read_licence"]


@dataclass(frozen=True)
class Licence:
    """The terms of a licence, as far as they matter when data are combined.

    Attributes:
        text: As the collection states it.
        rank: 0 (no terms) to 7 (unknown); a higher rank allows less.
        share_alike: Whether what is made of it must carry this very licence.
    """

    text: str
    rank: int
    share_alike: bool = False


@dataclass(frozen=True)
class CombinedLicence:
    """What several licences allow together.

    Attributes:
        text: The strictest of them, joined by AND with others that stay in force beside it.
        conflicts: Why the whole may not be handed on at all, in sentences; empty where it may.
    """

    text: str
    conflicts: tuple[str, ...] = ()


# What a licence asks for, in the order of how little is left: naming, sharing alike, no commerce, no changes.
_TERMS = {
    "cc0": (0, False),
    "by": (1, False),
    "by-sa": (2, True),
    "by-nc": (3, False),
    "by-nc-sa": (4, True),
    "by-nd": (5, False),
    "by-nc-nd": (5, False),
}
_RESEARCH = re.compile(r"research|non.?commercial use only|academic|agreement|terms of use", re.IGNORECASE)
_PUBLIC = re.compile(r"\bcc[- ]?0\b|zero|public domain|\bpdm\b", re.IGNORECASE)
_CREATIVE = re.compile(r"(?:\bcc[- ]*|licenses/|^)(by(?:[- ](?:nc|nd|sa))*)(?=$|/|[- ]\d| int| lic)")
_WORDS = (
    ("creative commons", "cc"),
    ("attribution", "by"),
    ("non-commercial", "nc"),
    ("noncommercial", "nc"),
    ("no derivatives", "nd"),
    ("noderivatives", "nd"),
    ("noderivs", "nd"),
    ("share alike", "sa"),
    ("sharealike", "sa"),
)
RESEARCH_RANK, UNKNOWN_RANK = 6, 7


def read_licence(text: str | None) -> Licence:
    """Reads a licence as collections write it (``CC BY-NC 4.0``, ``CC-BY-NC-SA-3.0``, ``CC0-1.0``).

    What is stated nowhere, or is not understood, counts as unknown: the strictest.

    >>> read_licence("CC BY-NC 4.0").text
    'CC BY-NC 4.0'
    """
    stated = " ".join((text or "").split())
    short = stated.lower()
    for words, letters in _WORDS:
        short = short.replace(words, letters)
    if _PUBLIC.search(short):
        return Licence(stated, 0)
    if (match := _CREATIVE.search(short)) and (terms := _TERMS.get(match[1].replace(" ", "-"))):
        return Licence(stated, *terms)
    if _RESEARCH.search(stated):
        return Licence(stated, RESEARCH_RANK)
    return Licence(stated or "unknown", UNKNOWN_RANK)


def combine_licences(texts: Iterable[str | None]) -> CombinedLicence:
    """Combines licences to the strictest of them.

    Two licences that each ask that the whole carry their own terms and no others (BY-SA and BY-NC-SA, say) cannot
    both be met: such a whole may be used where each part may be, but not handed on. Neither can BY-SA and a licence
    that forbids commerce, which BY-SA allows to everybody. This is a reading of the licences' main terms, no legal
    advice.

    >>> combine_licences(["CC0-1.0", "CC-BY-NC-4.0"]).text
    'CC-BY-NC-4.0'
    """
    licences = sorted({read_licence(text) for text in texts}, key=lambda licence: (licence.rank, licence.text))
    if not licences:
        return CombinedLicence("unknown")
    strictest = licences[-1]
    conflicts = tuple(_conflicts(licences))
    # A licence that another one contains is left out; agreements of their own all stay in force.
    standing = [
        licence
        for licence in licences[:-1]
        if licence.rank >= RESEARCH_RANK or (licence.share_alike and licence.rank < strictest.rank)
    ]
    return CombinedLicence(" AND ".join(licence.text for licence in [*standing, strictest]), conflicts)


def _conflicts(licences: list[Licence]) -> Iterable[str]:
    strictest = licences[-1]
    for licence in licences:
        if licence.share_alike and licence.rank < strictest.rank:
            yield (
                f"{licence.text} asks that the whole be shared under its own terms, and {strictest.text} does not "
                "allow that: the merged dataset may not be handed on"
            )
