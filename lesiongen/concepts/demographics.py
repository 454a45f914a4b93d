"""What a caption says of the patient: age, sex, site and skin tone, found clause by clause."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from lesiongen.concepts.ages import AGE, with_age_bands
from lesiongen.concepts.body import body_regions, unknown_words
from lesiongen.concepts.vocabulary import TONES
from lesiongen.concepts.wording import TONE_WORDS, tone_word
from lesiongen.dataset.age_bands import age_in_words

__all__ = ["FACTS", "Fact", "facts_stated", "known_facts", "with_facts"]

Fact = Literal["tone", "skin_type", "site", "age", "sex"]
FACTS: tuple[Fact, ...] = ("tone", "skin_type", "site", "age", "sex")
"""The most important for the image first."""

_SEPARATORS = re.compile(r"(, |\. |; )")
_TONES = "|".join(sorted(map(re.escape, TONE_WORDS), key=len, reverse=True))
_TONE = re.compile(rf"(?:on (?:a )?)?({_TONES})(?: skin tone| skin)")
_TONE_AT_THE_END = re.compile(rf" on a ({_TONES}) skin tone(?=\.?$)", re.IGNORECASE)
_TYPE = re.compile(r"fitzpatrick (?:type )?([ivx]+(?:-[ivx]+)?)")
_SEX = re.compile(r"(male|female)(?: patient)?")
_SITE = re.compile(r"(?:on the |site )?(.+)")
_OF_A_PATIENT = re.compile(
    r"\b(?:fe)?males?\b|\b(?:wo)?m[ae]n\b|\b(?:boy|girl|lady|gentleman|his|her|he|she|patient|child|infant|baby|newborn|"
    r"toddler|teenager|adolescent|adult|elderly|pregnant|fitzpatrick|caucasian|asian|african|hispanic|latino|latina)s?\b|"
    r"\b(?:very light|light|medium|tan|brown|dark|fair|pale|black|white|olive|yellow)[\w\s-]{0,12} skin(?:ned)?\b|"
    r"\bskin (?:tone|type|colou?r)\b|\b(?:age|ages|aged)\b"
)
"""Words of free text that speak of a person."""


@dataclass(frozen=True)
class _Clause:
    """A part of a caption and the separator before it.

    Attributes:
        fact: What it states, None where it is of the lesion.
        value: In the words of `facts_stated`; None for free text, which may state several facts at once.
    """

    before: str
    text: str
    fact: Fact | Literal["free text"] | None = None
    value: str | None = None


def facts_stated(caption: str, site: str | None = None) -> dict[Fact, str]:
    """Returns what a caption states of the patient, in clauses of its own.

    Args:
        caption: As `lesiongen.concepts.compose` writes it; captions of older versions name the age in years.
        site: The site that the table records, which may be any text.

    Returns:
        Each fact in the words of `known_facts`.
    """
    clauses = ((clause.fact, clause.value) for clause in _clauses(caption, site))
    return {fact: value for fact, value in clauses if fact and fact != "free text" and value}


def with_facts(caption: str, kept: Mapping[Fact, str], *, name: str, site: str | None = None) -> str:
    """Returns a caption that states nothing of the patient but the facts that are kept; ages are stated as bands.

    Free text that speaks of a person, or names a place of the body, goes whole.

    Args:
        caption: As for `facts_stated`.
        kept: The facts that may be stated, in the words of `facts_stated`.
        name: Of the diagnosis; it replaces a beginning that speaks of a person.
        site: The site that the table records.
    """
    text, waiting = "", ""
    for clause in _clauses(caption, site):
        waiting = clause.before if waiting in ("", ", ") else waiting
        if clause.fact is None or (clause.fact, clause.value) in kept.items():
            text += waiting + with_age_bands(clause.text)
            waiting = ""
        elif not text:
            text, waiting = name, ""
    return text


def _clauses(caption: str, site: str | None) -> Iterator[_Clause]:
    lead, *rest = _SEPARATORS.split(caption)
    tone = _TONE_AT_THE_END.search(lead)
    lead = lead[: tone.start()] if tone else lead
    # A place of the body may be part of the diagnosis.
    yield _Clause("", lead, "free text" if AGE.search(lead) or _OF_A_PATIENT.search(lead.lower()) else None)
    if tone:  # as in the reference method's prompts
        yield _Clause("", tone.group(), "tone", tone.group(1).lower())
    for before, text in zip(rest[::2], rest[1::2], strict=True):
        yield _clause(before, text, site)


def _clause(before: str, text: str, site: str | None) -> _Clause:
    words = " ".join(text.lower().rstrip(".").split())
    for fact, value in _single_facts(words, site):
        return _Clause(before, text, fact, value)
    if AGE.search(words) or _OF_A_PATIENT.search(words) or body_regions(words):
        return _Clause(before, text, "free text")
    return _Clause(before, text)


def _single_facts(words: str, site: str | None) -> Iterator[tuple[Fact, str]]:
    """Yields the fact that is all that a clause states."""
    if AGE.fullmatch(words):
        yield "age", with_age_bands(words)
    if found := _SEX.fullmatch(words):
        yield "sex", found.group(1)
    if found := _TYPE.fullmatch(words):
        yield "skin_type", f"Fitzpatrick {found.group(1).upper()}"
    if found := _TONE.fullmatch(words):
        yield "tone", found.group(1)
    if (found := _SITE.fullmatch(words)) and _is_site(found.group(1), site):
        yield "site", found.group(1)


def _is_site(words: str, site: str | None) -> bool:
    return words == site or (bool(body_regions(words)) and not unknown_words(words))


def known_facts(
    *, age: float | None, sex: str | None, site: str | None, skin_type: str | None, measured_tone: str | None
) -> dict[Fact, str]:
    """Returns what the table knows of a patient, in the words that a caption of the image states.

    Args:
        age: In years.
        sex: As in the dataset.
        site: As in the dataset.
        skin_type: Recorded, one of `vocabulary.SKIN_TYPES`; the tone that a caption names follows from it.
        measured_tone: Of the image, where no type is recorded.
    """
    tone = skin_type or (measured_tone if measured_tone in TONES else None)
    found: dict[Fact, str | None] = {
        "tone": tone_word(tone) if tone else None,
        "skin_type": skin_type,
        "site": " ".join(site.lower().split()) if site else None,
        "age": age_in_words(age) if age is not None else None,
        "sex": sex.lower() if sex else None,
    }
    return {fact: value for fact, value in found.items() if value}
