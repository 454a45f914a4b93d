"""Turns a report into a caption that fits the text encoders, most important entries first."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from lesiongen.concepts import vocabulary
from lesiongen.concepts.ages import with_age_bands
from lesiongen.concepts.schema import Report
from lesiongen.concepts.wording import (
    LEADS,
    PATTERNS_OF,
    REFERENCE_PATTERN,
    by_importance,
    carriers,
    inevitable,
    tone_word,
    worded,
)
from lesiongen.dataset.age_bands import AGE_WORDS
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
    "patterns", "colour", "skin_tone", "size", "texture", "additional", "shape_variability", "border", "elevation",
    "shape", "colour_variability", "description", "patient",
)  # fmt: skip
"""Most important first: what changes the image most, and what no other entry implies."""

GROUPS = (
    ("patterns", "additional"), ("colour", "colour_variability"), ("size", "shape", "shape_variability", "border"),
    ("texture", "elevation"), ("skin_tone",), ("patient",),
)  # fmt: skip
"""Entries that are placed together; the groups' order is drawn for each caption."""

SEPARATORS = (", ", ". ", "; ")
"""Between groups; within a group it is a comma."""

AS_REFERENCE = 0.2
"""Share of the captions that begin in the words of the reference's prompts, where size and tone are known."""

LONG_NAME = 0.25
"""Share of the captions that name the diagnosis at length, where that fits."""

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
    """A caption and what of the report did not fit into it.

    Attributes:
        text: The caption.
        tokens: Its length in tokens, special tokens included: of several text encoders' tokenizers, the longest.
        dropped: The entries that did not fit, the least important first.
        shortened: For each entry of which something did not fit, the words that went.
    """

    text: str
    tokens: int
    dropped: tuple[str, ...] = ()
    shortened: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def count_tokens(tokenizers: Sequence[Tokenizer], text: str) -> int:
    """Counts the tokens of a text with special tokens, nothing truncated: the most that any of the tokenizers needs."""
    return max(len(tokenizer(text, truncation=False, verbose=False)["input_ids"]) for tokenizer in tokenizers)


def compose(
    report: Report,
    diagnosis: str | None,
    tokenizers: Sequence[Tokenizer],
    max_tokens: int,
    rng: np.random.Generator,
) -> Composed:
    """Writes the caption of a report within ``max_tokens``, which count the special tokens.

    The diagnosis always comes first. Wordings, the order of the groups of entries and the way in which they are
    joined are drawn. Where not everything fits, the least important entry goes first, within it the least important
    word, and all that went is named. Ages are stated as bands, in free text too.

    Args:
        report: What may be said.
        diagnosis: Code of the taxonomy, or a label of its own.
        tokenizers: Of every text encoder that will read the caption; it fits all of them.
        max_tokens: Of each.
        rng: Draws the wording.

    Raises:
        UsageError: Not even the diagnosis fits.
    """
    draft = _drafted(report, rng)
    for lead in _leads(diagnosis, draft, rng):
        text = draft.text(lead)
        tokens = count_tokens(tokenizers, text)
        if tokens <= max_tokens:
            return Composed(text, tokens)
    return _shorten(lead, draft, tokenizers, max_tokens)


@dataclass
class _Draft:
    """What a caption is to say, and how."""

    words: dict[str, tuple[str, ...]]
    choices: dict[str, float]
    order: tuple[tuple[str, ...], ...]
    separator: str
    as_reference: bool

    def text(self, lead: str) -> str:
        """Writes it all after the wording of the diagnosis."""
        first = (lead,)
        said: tuple[str, ...] = ()
        if self.as_reference and "size" in self.words and "skin_tone" in self.words:
            tone = tone_word(self.words["skin_tone"][0])
            first, said = (REFERENCE_PATTERN.format(lead, self.words["size"][0], tone),), ("size", "skin_tone")
        clauses = self._clauses(first[0], said)
        groups = [
            ", ".join(clauses[name] for name in group if name in clauses) for group in (*self.order, ("description",))
        ]
        return self.separator.join([*first, *(group for group in groups if group)])

    def _clauses(self, first: str, said: tuple[str, ...]) -> dict[str, str]:
        """Words the entries that were not said at first, no noun twice that only carries a word where that can be."""
        ordered = [name for group in (*self.order, ("description",)) for name in group]
        stated = [name for name in ordered if name in self.words and name not in said]
        fixed = {name: inevitable(name, self.words[name]) for name in stated}
        clauses: dict[str, str] = {}
        for name in stated:
            elsewhere = [carriers(text) for text in (first, *clauses.values())]
            to_come = [fixed[other] for other in stated if other != name]
            clauses[name] = worded(name, self.words[name], self.choices[name], frozenset().union(*elsewhere, *to_come))
        return clauses


def _drafted(report: Report, rng: np.random.Generator) -> _Draft:
    choices = dict(zip(IMPORTANCE, rng.random(len(IMPORTANCE)), strict=True))
    order = tuple(GROUPS[index] for index in rng.permutation(len(GROUPS)))
    words = {name: by_importance(name, entry.value) for name, entry in report.entries() if entry.value}
    if report.description is not None:
        words["description"] = _phrases(with_age_bands(report.description.text))
    separator = SEPARATORS[int(rng.integers(len(SEPARATORS)))]
    return _Draft(words, choices, order, separator, bool(rng.random() < AS_REFERENCE))


def _phrases(text: str) -> tuple[str, ...]:
    """Splits free text where it can end: at full stops, semicolons and commas."""
    return tuple(phrase.strip() for phrase in re.split(r"[.;,](?:\s+|$)", text) if phrase.strip())


def _shorten(lead: str, draft: _Draft, tokenizers: Sequence[Tokenizer], max_tokens: int) -> Composed:
    dropped: list[str] = []
    shortened: dict[str, tuple[str, ...]] = {}
    while draft.words:
        name = next(name for name in reversed(IMPORTANCE) if name in draft.words)
        *kept, lost = draft.words[name]
        if kept:
            draft.words[name] = tuple(kept)
        else:
            del draft.words[name]
            dropped.append(name)
        shortened[name] = (*shortened.get(name, ()), lost)
        text = draft.text(lead)
        tokens = count_tokens(tokenizers, text)
        if tokens <= max_tokens:
            return Composed(text, tokens, tuple(dropped), shortened)
    raise UsageError(
        f"max_tokens = {max_tokens}: the diagnosis alone ({lead!r}) does not fit",
        hint="Allow more tokens, or use the text encoder's own tokenizer.",
    )


def _leads(diagnosis: str | None, draft: _Draft, rng: np.random.Generator) -> tuple[str, ...]:
    """The wordings of the diagnosis to try in turn; the last is the shortest."""
    pattern = "{}" if draft.as_reference else LEADS[int(rng.integers(len(LEADS)))]
    at_length = rng.random() < LONG_NAME
    if diagnosis is None:
        return ("skin lesion",)
    name = diagnosis_phrase(diagnosis)
    long_name = DIAGNOSES[diagnosis].phrase if at_length and diagnosis in DIAGNOSES else name
    return tuple(dict.fromkeys((pattern.format(long_name), pattern.format(name), name)))


def label_only(diagnosis: str | None) -> str:
    """Returns the caption of the reference method's ablation: the diagnosis and nothing else."""
    return f"a high quality image of {_phrase(diagnosis)} skin lesion"


def reference_prompts(diagnosis: str | None) -> tuple[str, str, str]:
    """Returns the reference method's three prompts of a class, size by skin tone."""
    sizes_and_tones = (("small", "dark"), ("large", "light"), ("medium", "medium"))
    first, second, third = (REFERENCE_PATTERN.format(_phrase(diagnosis), *pair) for pair in sizes_and_tones)
    return first, second, third


def _phrase(diagnosis: str | None) -> str:
    if diagnosis is None:
        return "unknown"
    return DIAGNOSES[diagnosis].phrase if diagnosis in DIAGNOSES else diagnosis


def composer_vocabulary() -> frozenset[str]:
    """Returns every word, number and sign that captions of known diagnoses and vocabularies are made of.

    Letters run together form a word, digits a number; any other sign is a token of its own. Free text of an expert may
    hold further words.
    """
    texts = [*SITES, *LEADS, "and", ",", ".", ";", "skin lesion"]
    for diagnosis in DIAGNOSES.values():
        texts += [diagnosis.name, label_only(diagnosis.code), *reference_prompts(diagnosis.code)]
    for name, words in vocabulary.VOCABULARIES.items():
        texts += [text for word in words for text in PATTERNS_OF[name]((word,))]
    for patient in (("65 years", "male", "back"), ("female",)):
        texts += PATTERNS_OF["patient"](patient)
    texts += AGE_WORDS
    return frozenset(word for text in texts for word in re.findall(r"[a-z]+|\d+|[^\sa-z\d{}]", text.lower()))
