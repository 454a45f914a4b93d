"""Checks free text: other diagnoses, facts that the table denies, and personal data."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

from lesiongen.captions.contradictions import AGE_TOLERANCE
from lesiongen.captions.findings import CheckFinding, CheckName, Rule
from lesiongen.concepts import Source
from lesiongen.concepts.body import body_regions
from lesiongen.dataset import DIAGNOSES, REFERENCE_DIAGNOSES, Sample
from lesiongen.dataset.diagnosis_names import NAMES

__all__ = ["FINDINGS", "TextProblem", "text_problems"]


@dataclass(frozen=True)
class TextProblem:
    """What is wrong with a sentence; the detail never repeats personal data."""

    check: CheckName
    detail: str

    def finding(self, writer: Source, rule: Rule) -> CheckFinding:
        """Returns the finding on a writer's description."""
        return CheckFinding(check=self.check, writer=writer, entry="description", rule=rule, detail=self.detail)


PERSONAL = {
    "an e-mail address": r"[\w.+-]+@[\w-]+\.[\w.]+",
    "a web address": r"https?://|www\.",
    "a telephone number": r"(?<!\d)\+?\d{1,4}[\s()/.-]{1,2}\d{2,4}[\s.-]\d{2,}(?:[\s.-]\d+)*|(?<!\d)\+\d{7,}",
    "a date": r"\b\d{1,2}[./-]\d{1,2}[./-](?:\d{4}|\d{2})\b|\b(?:19|20)\d{2}-\d{1,2}-\d{1,2}\b|"
    r"\b\d{1,2}(?:st|nd|rd|th)?\s+(?:of\s+)?(?:january|february|march|april|may|june|july|august|september|october|"
    r"november|december)\b|\b(?:january|february|march|april|june|july|august|september|october|november|december)"
    r"\s+\d{1,4}\b",
    "a record number": r"\b(?:mrn|nhs|ssn|record|hospital|patient|case|file|insurance)\s*(?:id|no\.?|number|nr\.?|#)\s*"
    r"[:#]?\s*\w*\d\w*|(?<!\d)\d{6,}(?!\d)",
    "an address": r"\b\d+[a-z]?\s+\w+\s+(?:street|road|avenue|lane|drive|boulevard)\b|"
    r"\b\w+(?:stra(?:ss|ß)e|gasse|platz)\s+\d+\b",
}
"""Patterns in lower case, meant to miss something rather than to object to clinical text."""

_NAMED = re.compile(
    r"\b(?:Mr|Mrs|Ms|Miss|Dr|Prof|Herr|Frau)\.?\s+[A-Z][a-z]+|"
    r"\b(?:[Pp]atient|[Nn]ame)(?:'s name)?(?:\s+is|:|\s+named|\s+called)?\s+[A-Z][a-z]+\s+[A-Z][a-z]+"
)

FINDINGS = {
    "vascular", "scar", "abscess", "telangiectases", "hyperpigmentation", "milia", "striae", "hemorrhage", "hematoma",
    "miscellaneous", "melanosis", "inflammatory", "other", "abrasions ulcerations and physical injuries",
    "foreign body granuloma", "sun damaged skin", "lentigo", "keloid", "ak", "sk", "ack", "sek", "nev",
}  # fmt: skip
"""Names of diagnoses that a description of any lesion may use for what it sees."""

_SINGULAR = {"nevi": "nevus", "naevi": "nevus", "naevus": "nevus", "lentigines": "lentigo", "haemangioma": "hemangioma"}
_DISEASE = re.compile(r"\b(?:\w{3,}oma|cancer|keratosis|metastasis)\b")
_NO_DISEASE = {"hematoma", "haematoma", "stroma", "trauma", "hyperkeratosis", "parakeratosis", "zygoma"}
_MALIGNANCY = {"malignant": True, "malignancy": True, "cancerous": True, "cancer": True, "benign": False}

_DIRECTIONS = re.compile(r"\bback of\b|\b(?:upper|lower|anterior|posterior|lateral)\b(?! (?:limb|extrem))")
_SEXED = {
    "male": r"\b(?:male|man|men|boy|gentleman|his|he)\b",
    "female": r"\b(?:female|woman|women|girl|lady|her|she)\b",
}


def text_problems(text: str, sample: Sample) -> Iterator[TextProblem]:
    """Yields what is wrong with a sentence about a sample: at most one problem of each kind."""
    if kind := _personal(text):
        yield TextProblem("personal data", kind)
    if name := _other_diagnosis(text, sample):
        yield TextProblem("invented diagnosis", f"{name}, for {sample.diagnosis}")
    for fact in (_other_age(text, sample), _other_sex(text, sample), _other_site(text, sample)):
        if fact:
            yield TextProblem("contradiction with the metadata", fact)


def _personal(text: str) -> str | None:
    if _NAMED.search(text):
        return "a name"
    return next((kind for kind, pattern in PERSONAL.items() if re.search(pattern, text.lower())), None)


def _other_diagnosis(text: str, sample: Sample) -> str | None:
    """Returns the first diagnosis that a text names and that is not the sample's."""
    words = _plain(text)
    own = _plain(f"{sample.original_diagnosis or ''} {sample.diagnosis.replace('_', ' ')}")
    known = DIAGNOSES.get(sample.diagnosis)
    for match in _names().finditer(words):
        if not _is_own(match.group(), sample.diagnosis, own):
            return match.group()
    rest = _names().sub(" ", words)
    for match in _DISEASE.finditer(rest):
        if match.group() not in _NO_DISEASE | set(own.split()):
            return match.group()
    malignant = known.malignant if known else None
    for word in rest.split():
        if malignant is not None and _MALIGNANCY.get(word, malignant) != malignant:
            return word
    return None


def _is_own(name: str, diagnosis: str, own: str) -> bool:
    """Says whether a name is the sample's diagnosis, or a broader name of it: a nevus, where the table says blue nevus.

    Any name of one of the reference's classes means its class; the wider classes hold many diseases.
    """
    if re.search(rf"\b{re.escape(name)}\b", own) or (own and own in name):
        return True
    return _codes().get(name) == diagnosis and diagnosis in REFERENCE_DIAGNOSES


@cache
def _codes() -> dict[str, str]:
    """The known names of diagnoses, longest first."""
    names = {
        _plain(name): diagnosis.code
        for diagnosis in DIAGNOSES.values()
        for name in (diagnosis.name, *NAMES[diagnosis.code])
        if name not in FINDINGS
    }
    return dict(sorted(names.items(), key=lambda item: -len(item[0])))


@cache
def _names() -> re.Pattern[str]:
    return re.compile(r"\b(?:" + "|".join(map(re.escape, _codes())) + r")\b")


@cache
def _plain(text: str) -> str:
    """Lower case, words alone, in the singular."""
    return " ".join(_singular(word) for word in re.findall(r"[a-z]+", text.lower().replace("'s", "")))


def _singular(word: str) -> str:
    if word in _SINGULAR:
        return _SINGULAR[word]
    if word.endswith("ses") and len(word) > 6:
        return word[:-2] + "is"
    return word[:-1] if word.endswith(("omas", "ers")) else word


def _other_age(text: str, sample: Sample) -> str | None:
    match = re.search(r"\b(\d{1,3})[\s-]*(?:years?|yrs?|y/?o)\b", text.lower())
    if match is None or sample.age is None or "for" in text.lower()[: match.start()].split()[-1:]:
        return None
    said = float(match.group(1))
    return f"age {said:.0f}, the table says {sample.age:.0f}" if abs(said - sample.age) > AGE_TOLERANCE else None


def _other_sex(text: str, sample: Sample) -> str | None:
    said = {sex for sex, pattern in _SEXED.items() if re.search(pattern, text.lower())}
    if sample.sex not in _SEXED or not said or sample.sex in said:
        return None
    return f"{said.pop()}, the table says {sample.sex}"


def _other_site(text: str, sample: Sample) -> str | None:
    """Compares regions of the body, coarsely: a text may name a neighbour, or several places."""
    said, known = body_regions(_DIRECTIONS.sub("", text.lower())), body_regions(sample.site or "")
    if not said or not known or said & known:
        return None
    return f"{', '.join(sorted(said))}, the table says {sample.site}"
