"""What of a table identifies a person: ids that look like a name, a date or a record number, and great ages."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from datetime import date
from functools import cache

import pandas as pd

from lesiongen.concepts.body import unknown_words
from lesiongen.concepts.vocabulary import VOCABULARIES
from lesiongen.dataset import DIAGNOSES
from lesiongen.dataset.age_bands import OLDEST_NAMED_AGE
from lesiongen.dataset.diagnosis_names import NAMES

__all__ = ["ID_COLUMNS", "OLDEST_AGE", "with_identifiers"]

OLDEST_AGE = 120
"""In years; a greater number is not an age."""

ID_COLUMNS = ("image_id", "lesion_id", "patient_id", "case_id")

_SEPARATED = re.compile(
    r"(?<![\d.])(\d{4})[-./_](\d{2})[-./_](\d{2})(?!\d)|(?<![\d.])(\d{1,2})[-./](\d{1,2})[-./](\d{4})(?!\d)"
)
_SHORT_YEAR = re.compile(r"(?<![\d.])(\d{1,2})[./](\d{1,2})[./](\d{2})(?![\d.])")
_EIGHT_DIGITS = re.compile(r"[A-Za-z]{0,8}(\d{8})")
_CIVIL_NUMBER = re.compile(r"(?:\d{2})?(\d{2})(\d{2})(\d{2})[-+]\d{4}")
"""Birth date and four digits, as in Denmark, Finland and Sweden."""

_RECORD = re.compile(
    r"(?:mrn|nhs|ssn|emr|ehr|uhid|hosp(?:ital)?|record|chart|accession|acc|fallnr|fallnummer|kvnr|insurance)"
    r"[-_ #:.]*[a-z]?\d{4,}|[a-z]\d{9}|\d{3}-\d{2}-\d{4}|\d{3}[ -]\d{3}[ -]\d{4}",
    re.IGNORECASE,
)
"""A number that says what it is, or has the form of a German, American or British one."""

_HASH = re.compile(r"[0-9a-f]{16,}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_PAIR_OF_WORDS = re.compile(r"([A-Z][a-z]{2,})([A-Z][a-z]{2,})(?=\d{0,3}$)")
_TERM = re.compile(
    r"\w*(?:omas?|itis|osis|oses|iasis|derma|emia|plasia|pathy|evus|evi|cysts?|cystic|lar|ous|tic|lesions?)$"
)
_COLLECTING = frozenset(
    "anonymous aug augmented back benign camera case clinic clinical close closeup copy crop cropped data dataset derm "
    "dermoscopic dermoscopy dsc dscn edited file final flash front hospital id image images img instance "
    "lesion lesions macro malignant mole moles new number old original overview patient patients phantom photo photos "
    "pic picture real sample samples scan scanned screen screenshot set shot skin study subject synthetic test tile "
    "train training unknown upload val valid validation view visit whatsapp with without zoom".split()
)
_FEW, _SHARE, _IMAGES_OF_ONE = 5, 0.05, 30
"""A word beside more, or a larger share, of the others belongs to how ids are formed; so do words in more ids."""

_COUNTED, _DENSE = 20, 10
"""So many numbers, one in ten of their range or more, were counted and are not record numbers."""


def with_identifiers(table: pd.DataFrame) -> pd.DataFrame:
    """Adds ``id_like_name``, ``id_like_date`` and ``id_like_record_number``: the columns whose id looks so, or None.

    ``identifying_age`` holds an age over `OLDEST_NAMED_AGE`. What an id looks like is judged beside the others of its
    column: prefixes and counters recur, people do not.
    """
    found: dict[str, dict[int, list[str]]] = {"name": {}, "date": {}, "record_number": {}}
    for column in ID_COLUMNS:
        kinds = _kinds(table[column].dropna().astype(str).unique())
        for row, value in enumerate(table[column]):
            if kind := kinds.get(str(value)):
                found[kind].setdefault(row, []).append(column)
    ages = table["age"].astype(float)
    return table.assign(
        identifying_age=ages.where((ages > OLDEST_NAMED_AGE) & (ages <= OLDEST_AGE)),
        **{
            f"id_like_{kind}": pd.Series(
                [", ".join(rows.get(row, ())) or None for row in range(len(table))], table.index
            )
            for kind, rows in found.items()
        },
    )


def _kinds(values: Sequence[str]) -> dict[str, str]:
    """Says of the ids of a column which look like something that identifies; the values never leave here."""
    plain = [value for value in values if not _HASH.fullmatch(value)]
    formed, counted = _words_of_forms(plain), _are_counted(plain)
    kinds = {}
    for value in plain:
        if _is_date(value):
            kinds[value] = "date"
        elif _RECORD.fullmatch(value) or (not counted and any(_long_numbers(value))):
            kinds[value] = "record_number"
        elif _is_name(value, formed):
            kinds[value] = "name"
    return kinds


def _is_date(value: str) -> bool:
    for found in _SEPARATED.finditer(value):
        first, second, third = (int(part) for part in found.groups() if part)
        if _any_date([(first, second, third), (third, second, first), (third, first, second)]):
            return True
    for found in _SHORT_YEAR.finditer(value):
        first, second, year = map(int, found.groups())
        if _any_date([(2000 + year, second, first), (2000 + year, first, second)]):
            return True
    if civil := _CIVIL_NUMBER.fullmatch(value):
        first, second, third = map(int, civil.groups())
        return _any_date([(2000 + third, second, first), (2000 + first, second, third)])
    return any(_is_bare_date(token) for token in re.split(r"[\W_]+", value))


def _is_bare_date(token: str) -> bool:
    if (found := _EIGHT_DIGITS.fullmatch(token)) is None:
        return False
    digits = found.group(1)
    year_first, year_last = (int(digits[:4]), digits[4:]), (int(digits[4:]), digits[:4])
    return _any_date((year, int(rest[:2]), int(rest[2:])) for year, rest in (year_first, year_last)) or _any_date(
        [(year_last[0], int(year_last[1][2:]), int(year_last[1][:2]))]
    )


def _any_date(candidates: Iterable[tuple[int, int, int]]) -> bool:
    return any(_exists(*candidate) for candidate in candidates)


def _exists(year: int, month: int, day: int) -> bool:
    if not 1900 <= year < 2100:
        return False
    try:
        date(year, month, day)
    except ValueError:
        return False
    return True


def _long_numbers(value: str) -> Iterator[int]:
    """Yields the numbers in an id that are as long as record numbers are; many zeros in front are a counter's."""
    tokens = re.split(r"[\W_]+", value)
    shortest, longest = (7, 12) if len(tokens) == 1 else (8, 10)
    for token in tokens:
        padded = token.startswith("000") or (len(token) == 7 and token.startswith("00"))
        if token.isascii() and token.isdigit() and shortest <= len(token) <= longest and not padded:
            yield int(token)


def _are_counted(values: Iterable[str]) -> bool:
    numbers = {number for value in values for number in _long_numbers(value)}
    return len(numbers) >= _COUNTED and max(numbers) - min(numbers) < _DENSE * len(numbers)


def _words_of_forms(values: Iterable[str]) -> frozenset[str]:
    """Returns the words that recur as prefixes and the like do."""
    pairs = Counter(words for value in values if (words := _words(value)))
    few = max(_FEW, int(_SHARE * len(pairs)))
    beside = Counter(word for words in pairs for word in set(words))
    many = {word for words, count in pairs.items() if count > _IMAGES_OF_ONE for word in words}
    return frozenset(many | {word for word, count in beside.items() if count > few})


def _words(value: str) -> tuple[str, ...] | None:
    """Returns the two or three words that an id consists of, beside a short number; None where it is otherwise."""
    *words, last = re.split(r"[\s_.,^-]+", _PAIR_OF_WORDS.sub(r"\1 \2", value.strip()))
    words = words if last.isdigit() and len(last) <= 3 or not last else [*words, last.rstrip("0123456789")]
    if not 2 <= len(words) <= 3 or not all(word.replace("'", "").isalpha() and len(word) > 1 for word in words):
        return None
    return tuple(word.lower() for word in words)


def _is_name(value: str, formed: frozenset[str]) -> bool:
    found = _words(value)
    return found is not None and not any(word in formed or _means_something(word) for word in found)


@cache
def _means_something(word: str) -> bool:
    if word.isascii() and not re.search(r"[aeiouy]", word):
        return True  # an abbreviation
    return word in _COLLECTING or word in _medical_words() or bool(_TERM.fullmatch(word)) or not unknown_words(word)


@cache
def _medical_words() -> frozenset[str]:
    texts = [name for code, diagnosis in DIAGNOSES.items() for name in (code, diagnosis.name, *NAMES[code])]
    texts += [word for words in VOCABULARIES.values() for word in words]
    return frozenset(word for text in texts for word in re.findall(r"[a-z]+", text.lower()))
