"""Reads a model's answer and keeps what it may state: words of the vocabulary, in entries that were asked for."""

import json
import math
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import islice
from typing import Any

from lesiongen.captions.free_text import FINDINGS
from lesiongen.captions.vision_language.entries import most_words, words_of
from lesiongen.concepts import VISUAL_ENTRIES
from lesiongen.dataset.diagnosis_names import NAMES
from lesiongen.dataset.taxonomy import DIAGNOSES

__all__ = ["Reading", "confidences", "named_diagnosis", "read_answer"]

LONGEST = 20_000
_MOST_BRACES = 50
"""Beginnings of an object that are tried, of an answer that is made of them."""
_JUDGEMENTS = {"benign", "malignant", "malignancy", "cancer", "cancerous", "carcinoma", "precancerous"}
_THOUGHT = re.compile(r"^\s*<think>.*?</think>", re.DOTALL)


@dataclass(frozen=True)
class Reading:
    """What an answer states.

    Attributes:
        words: For each entry that was answered with words of its vocabulary, those words.
        refused: What it stated and may not, in a few words each.
        problem: Why nothing of it can be used, or None. A model can be asked again with it.
        diagnosis: Whether it names a diagnosis; such an answer describes the disease, not the image.
    """

    words: dict[str, tuple[str, ...]]
    refused: tuple[str, ...] = ()
    problem: str | None = None
    diagnosis: bool = False


def read_answer(text: str, entries: Sequence[str]) -> Reading:
    """Reads an answer: a JSON object, by itself or within prose or a code fence.

    An entry with a word outside its vocabulary is left out, as is a key that was not asked for; each is named in
    ``refused``. An answer that names a diagnosis anywhere is left out as a whole.
    """
    text = _THOUGHT.sub("", text)[:LONGEST]
    if disease := named_diagnosis(text):
        return Reading({}, (f"names a diagnosis: {disease}",), "the answer names a diagnosis", diagnosis=True)
    content = _json_object(text, entries)
    if content is None:
        return Reading({}, ("no JSON object",), "the answer is not a complete JSON object")
    # Once more, for names that the object spells by escapes.
    if disease := named_diagnosis(json.dumps(content, ensure_ascii=False)):
        return Reading({}, (f"names a diagnosis: {disease}",), "the answer names a diagnosis", diagnosis=True)
    words: dict[str, tuple[str, ...]] = {}
    refused = [f"unasked key: {_short(key)}" for key in content if key not in entries]
    answered = 0
    for name in entries:
        if name not in content:
            continue
        if content[name] is None:
            answered += 1
            continue
        chosen, problem = _chosen(name, content[name])
        answered += problem is None
        if problem is not None:
            refused.append(f"{name}: {problem}")
        elif chosen:
            words[name] = chosen
    return Reading(words, tuple(refused), None if answered else "no entry was answered as asked")


def _chosen(name: str, value: Any) -> tuple[tuple[str, ...], str | None]:
    """Returns the words of an entry, or why there are none; capitals and a word outside a list do no harm."""
    listed = [value] if isinstance(value, str) else value
    if not isinstance(listed, list) or not all(isinstance(word, str) for word in listed):
        return (), "not a list of words"
    chosen = tuple(dict.fromkeys(word.strip().lower() for word in listed))
    for word in chosen:
        if word not in words_of(name):
            return (), f"unknown word {_short(word)}"
    if len(chosen) > most_words(name):
        return (), f"{len(chosen)} words, at most {most_words(name)} can apply"
    return chosen, None


def _short(text: str) -> str:
    return ascii(text if len(text) <= 40 else text[:37] + "...")


def _json_object(text: str, entries: Sequence[str]) -> dict[str, Any] | None:
    """Returns the first complete object, at any depth, that has one of the entries; else the first complete one."""
    decoder = json.JSONDecoder(object_pairs_hook=_without_repetition)
    found: list[dict[str, Any]] = []
    for brace in islice(re.finditer(r"\{", text), _MOST_BRACES):
        try:
            content, _ = decoder.raw_decode(text, brace.start())
        except (ValueError, RecursionError):
            continue
        if not content.keys().isdisjoint(entries):
            return dict(content)
        found.append(content)
    return found[0] if found else None


def _without_repetition(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) < len(pairs):
        raise ValueError("a key is given twice: which is meant cannot be known")
    return content


def named_diagnosis(text: str) -> str | None:
    """Returns a diagnosis that a text names, or None; the report's own words are none (milia-like cysts)."""
    plain = unicodedata.normalize("NFKC", text).lower()
    found = _diagnoses().search(_report_words().sub(" ", plain))
    return found.group(0) if found else None


@cache
def _report_words() -> re.Pattern[str]:
    words = sorted({word for name in VISUAL_ENTRIES for word in words_of(name)}, key=len, reverse=True)
    phrases = [re.escape(word) for word in words if not word.isalpha()]
    return re.compile(rf"\"(?:{'|'.join(map(re.escape, words))})\"|\b(?:{'|'.join(phrases)})\b")


@cache
def _diagnoses() -> re.Pattern[str]:
    names = {name.lower() for known in DIAGNOSES.values() for name in (known.name, known.phrase, *NAMES[known.code])}
    spelled = sorted((re.escape(name) for name in (names | _JUDGEMENTS) - FINDINGS), key=len, reverse=True)
    return re.compile(rf"(?<![a-z])(?:{'|'.join(spelled)})(?:s|es)?(?![a-z])")


def confidences(reading: Reading, pieces: Sequence[tuple[str, float]]) -> dict[str, float]:
    """Returns each entry's probability under the model: the product over the tokens that spell its words.

    Args:
        reading: What the answer states.
        pieces: The answer's tokens with their natural log-probabilities; they spell the whole answer.
    """
    text = "".join(piece for piece, _ in pieces)
    found: dict[str, float] = {}
    for name in reading.words:
        span = _value_span(text, name)
        if span is not None:
            found[name] = round(math.exp(min(_log_probability(pieces, *span), 0.0)), 4)
    return found


def _value_span(text: str, name: str) -> tuple[int, int] | None:
    """Returns where the JSON value of a name begins and ends in a text."""
    match = re.search(rf'"{re.escape(name)}"\s*:\s*', text)
    if match is None:
        return None
    try:
        _, end = json.JSONDecoder().raw_decode(text, match.end())
    except (ValueError, RecursionError):
        return None
    return match.end(), end


def _log_probability(pieces: Sequence[tuple[str, float]], start: int, end: int) -> float:
    """Returns the log probability of the tokens that overlap a span of the text."""
    place, total = 0, 0.0
    for piece, log_probability in pieces:
        if place < end and place + len(piece) > start:
            total += log_probability
        place += len(piece)
    return total
