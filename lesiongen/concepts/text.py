"""Turns a report into a caption that fits the text encoder, most important entries first."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from lesiongen.concepts import vocabulary
from lesiongen.concepts.schema import Entry, Report
from lesiongen.dataset.taxonomy import DIAGNOSES, diagnosis_phrase
from lesiongen.errors import UsageError

__all__ = [
    "IMPORTANCE",
    "Composed",
    "Tokenizer",
    "compose",
    "composer_vocabulary",
    "count_tokens",
    "label_only",
    "reference_prompts",
]

IMPORTANCE = (
    "patterns", "colour", "skin_tone", "size", "shape_variability", "border", "shape", "texture", "colour_variability",
    "elevation", "patient", "additional",
)  # fmt: skip
"""Most important first: what changes the picture most, and what no other entry implies."""

LEADS = ("{}", "image of {}", "skin with {}", "dermatology image of {}")
TONE_WORDS = dict(zip(vocabulary.TONES, ("very light", "light", "medium", "tan", "brown", "dark"), strict=True))
"""The reference method's prompts call intermediate skin medium."""

SITES = (
    "abdomen", "acral", "back", "buttocks", "chest", "ear", "face", "foot", "genital", "hand", "head", "neck", "oral",
    "lower extremity", "upper extremity", "lower limbs", "upper limbs", "palms", "soles", "torso", "anterior",
    "posterior", "lateral", "scalp", "trunk", "areas", "arm", "forearm", "thigh", "leg", "nose", "lip",
)  # fmt: skip


class Tokenizer(Protocol):
    """A tokenizer of the transformers library, as far as it is used here."""

    def __call__(self, text: str, /, **options: Any) -> Any:
        """Returns a mapping whose ``input_ids`` include the special tokens."""


@dataclass(frozen=True)
class Composed:
    """A caption, its length in tokens (special tokens included) and the entries that did not fit."""

    text: str
    tokens: int
    dropped: tuple[str, ...]


def count_tokens(tokenizer: Tokenizer, text: str) -> int:
    """Counts the tokens of a text with the tokenizer's own special tokens, nothing truncated."""
    return len(tokenizer(text, truncation=False, verbose=False)["input_ids"])


def compose(
    report: Report, diagnosis: str | None, tokenizer: Tokenizer, max_tokens: int, rng: np.random.Generator
) -> Composed:
    """Writes the caption of a report within ``max_tokens``, which count the special tokens.

    The diagnosis always stands first. Entries follow by importance; where they do not all fit, the least important
    go first and are named in ``dropped``.

    Raises:
        UsageError: Not even the diagnosis fits.
    """
    clauses = [(name, clause) for name, clause in _clauses(report, rng)]
    for lead in _leads(diagnosis, rng):
        text = ", ".join([lead, *(clause for _, clause in clauses)])
        tokens = count_tokens(tokenizer, text)
        if tokens <= max_tokens:
            return Composed(text, tokens, ())
    return _shorten(lead, clauses, tokenizer, max_tokens)


def _shorten(lead: str, clauses: list[tuple[str, str]], tokenizer: Tokenizer, max_tokens: int) -> Composed:
    dropped: list[str] = []
    while clauses:
        dropped.append(clauses.pop()[0])
        text = ", ".join([lead, *(clause for _, clause in clauses)])
        tokens = count_tokens(tokenizer, text)
        if tokens <= max_tokens:
            return Composed(text, tokens, tuple(dropped))
    raise UsageError(
        f"max_tokens = {max_tokens}: the diagnosis alone ({lead!r}) does not fit",
        hint="Allow more tokens, or use the text encoder's own tokenizer.",
    )


def _leads(diagnosis: str | None, rng: np.random.Generator) -> tuple[str, ...]:
    """The wordings of the diagnosis to try in turn; the last is the shortest."""
    if diagnosis is None:
        return ("skin lesion",)
    name = diagnosis_phrase(diagnosis)
    lead = LEADS[int(rng.integers(len(LEADS)))]
    long_name = DIAGNOSES[diagnosis].phrase if diagnosis in DIAGNOSES and rng.random() < 0.25 else name
    return (lead.format(long_name), lead.format(name), name)


def _clauses(report: Report, rng: np.random.Generator) -> Iterator[tuple[str, str]]:
    for name in IMPORTANCE:
        entry: Entry | None = getattr(report, name)
        choice = rng.random()
        if entry is None or not entry.value:
            continue
        wordings = WORDINGS[name](entry.value)
        yield name, wordings[int(choice * len(wordings))]


def _listed(words: tuple[str, ...]) -> str:
    return words[0] if len(words) == 1 else ", ".join(words[:-1]) + " and " + words[-1]


def _colour(words: tuple[str, ...]) -> tuple[str, ...]:
    return (_listed(words), _listed(words) + " colour")


def _tone(words: tuple[str, ...]) -> tuple[str, ...]:
    word = TONE_WORDS.get(words[0], words[0])
    return (f"{word} skin", f"{word} skin tone", f"on a {word} skin tone")


def _size(words: tuple[str, ...]) -> tuple[str, ...]:
    return (words[0], f"{words[0]} size")


def _shape(words: tuple[str, ...]) -> tuple[str, ...]:
    return (words[0], f"{words[0]} shape")


def _border(words: tuple[str, ...]) -> tuple[str, ...]:
    return (" ".join([*(word.removesuffix(" border") for word in words), "border"]),)


def _patterns(words: tuple[str, ...]) -> tuple[str, ...]:
    return (_listed(words), "with " + _listed(words))


def _patient(words: tuple[str, ...]) -> tuple[str, ...]:
    return (", ".join(words),)


WORDINGS: dict[str, Callable[[tuple[str, ...]], tuple[str, ...]]] = {
    "patient": _patient,
    "colour": _colour,
    "colour_variability": lambda words: (words[0],),
    "shape": _shape,
    "shape_variability": lambda words: (words[0],),
    "size": _size,
    "border": _border,
    "texture": lambda words: (_listed(words), _listed(words) + " surface"),
    "patterns": _patterns,
    "elevation": lambda words: (words[0],),
    "skin_tone": _tone,
    "additional": lambda words: (_listed(words),),
}


def label_only(diagnosis: str | None) -> str:
    """Returns the caption of the reference method's ablation: the diagnosis and nothing else."""
    return f"a high quality image of {_phrase(diagnosis)} skin lesion"


def reference_prompts(diagnosis: str | None) -> tuple[str, str, str]:
    """Returns the reference method's three prompts of a class, size by skin tone."""
    condition = _phrase(diagnosis)
    return (
        f"{condition} small size on a dark skin tone",
        f"{condition} large size on a light skin tone",
        f"{condition} medium size on a medium skin tone",
    )


def _phrase(diagnosis: str | None) -> str:
    if diagnosis is None:
        return "unknown"
    return DIAGNOSES[diagnosis].phrase if diagnosis in DIAGNOSES else diagnosis


def composer_vocabulary() -> frozenset[str]:
    """Returns every word, number and sign that captions of known diagnoses and vocabularies are made of.

    Letters run together form a word, digits a number; any other sign stands alone. Free text of an expert may hold
    further words.
    """
    values = [word for words in vocabulary.VOCABULARIES.values() for word in words]
    texts = [*values, *SITES, *LEADS, "and", "with", "male", "female", "unknown", ",", "skin lesion", "colour"]
    for diagnosis in DIAGNOSES.values():
        texts += [diagnosis.name, label_only(diagnosis.code), *reference_prompts(diagnosis.code)]
    for wordings in WORDINGS.values():
        texts += wordings(("light",))
    texts += [f"{age} years" for age in range(101)]
    return frozenset(word for text in texts for word in re.findall(r"[a-z]+|\d+|[^\sa-z\d{}]", text.lower()))
