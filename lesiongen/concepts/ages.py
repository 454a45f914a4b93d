"""Ages in a text, which captions state as bands: a single year distinguishes patients, a band does not."""

import re

from lesiongen.dataset.age_bands import AGE_WORDS, age_in_words

__all__ = ["AGE", "with_age_bands"]

_NUMBER = r"(?P<{0}>\d{{1,3}})(?:\.\d+)?"
_UNIT = r"(?P<{0}>years?|yrs?|months?|weeks?|days?)"
_BANDS = "|".join(map(re.escape, AGE_WORDS))

AGE = re.compile(
    rf"\b(?P<band>{_BANDS})\b"
    rf"|\b{_NUMBER.format('old')}[\s-]*{_UNIT.format('unit')}[\s-]*(?P<said>old\b|of age\b)"
    rf"|\b{_NUMBER.format('short')}\s*-?\s*y/?\.?o\b\.?"
    rf"|\b(?:aged?|age of)\s*:?\s*{_NUMBER.format('aged')}\b(?!\s*(?:to|-)\s*\d)(?:\s*(?:years?|yrs?)\b)?"
    rf"|(?:^|(?<=[,;.] )){_NUMBER.format('alone')} years(?=$|[,;.](?:\s|$))",
    re.IGNORECASE,
)
"""An age in free text, a clause that is nothing but an age, or a band; a duration ("for 20 years") is neither."""


def with_age_bands(text: str) -> str:
    """Returns a text with every age replaced by the words of its band: "80 years" is "75 to 89 years".

    >>> with_age_bands("papule of a 63-year-old woman")
    'papule of a 60 to 74 years old woman'
    """
    return AGE.sub(_band, text)


def _band(found: re.Match[str]) -> str:
    if found["band"]:
        return found["band"]
    number = next(found[name] for name in ("old", "short", "aged", "alone") if found[name])
    in_years = not found["unit"] or found["unit"].lower().startswith("y")
    words = age_in_words(float(number) if in_years else 0.0)
    return f"{words} {found['said']}" if found["said"] else words
