"""From a table's words to the dataset's values; what is blank or unknown becomes None, never a guess."""

import math
import re

from lesiongen.concepts import read_report
from lesiongen.dataset import SPLITS
from lesiongen.errors import DataError
from lesiongen.ingestion.rows import Field, FieldError
from lesiongen.records.provenance import IngestedProvenance

__all__ = ["age", "image_type", "known", "mark", "official_split", "provenance", "report", "sex", "skin_tone"]

_BLANK = {"", "unknown", "unk", "n/a", "na", "nan", "none", "null", "-1", "-1.0"}
_SEXES = {"male": "male", "m": "male", "female": "female", "f": "female"}
_SPLITS = {
    **{split: split for split in SPLITS},
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "dev": "validation",
    "testing": "test",
}
_FITZPATRICK = {roman: str(number) for number, roman in enumerate(("i", "ii", "iii", "iv", "v", "vi"), start=1)}
_DDI_TONES = ("12", "34", "56")
_MARKS = {"1": True, "1.0": True, "true": True, "0": False, "0.0": False, "false": False}
_IMAGE_TYPES = {
    "dermoscopic": "dermoscopic",
    "dermoscopy": "dermoscopic",
    "clinical": "clinical",
    "clinical: overview": "clinical",
    "clinical: close-up": "clinical",
}


def known(field: Field) -> str | None:
    """Returns the text, or None where it is blank or says that nothing is known."""
    return None if field.text.lower() in _BLANK else field.text


def age(field: Field) -> float | None:
    """Returns an age in years, within 0 to 120; a trailing plus (``85+``) is dropped."""
    text = known(field)
    if text is None:
        return None
    try:
        years = float(text.removesuffix("+"))
    except ValueError:
        years = math.nan
    if re.fullmatch(r"\d+,\d+", text):
        raise FieldError(field, f"has a decimal comma: write {text.replace(',', '.')}")
    if not 0 <= years <= 120:
        raise FieldError(field, "is not an age in years between 0 and 120")
    return years


def sex(field: Field) -> str | None:
    """Returns ``male`` or ``female``."""
    return _choice(field, _SEXES, "is neither male nor female nor blank")


def image_type(field: Field) -> str | None:
    """Returns ``dermoscopic`` or ``clinical``."""
    return _choice(field, _IMAGE_TYPES, "is neither dermoscopic nor clinical nor blank")


def mark(field: Field) -> bool | None:
    """Returns whether something is marked as present; None where nobody marked it."""
    if not field.text:
        return None
    if field.text.lower() not in _MARKS:
        raise FieldError(field, "is neither 1 nor 0 nor blank")
    return _MARKS[field.text.lower()]


def official_split(field: Field) -> str | None:
    """Returns the published split in the dataset's own words."""
    return _choice(field, _SPLITS, "is not one of train, validation, test and their usual spellings")


def skin_tone(tone: Field, scale: str | None) -> str | None:
    """Returns a recorded tone; on the Fitzpatrick scale I to VI are written 1 to 6, on DDI's 12, 34 and 56."""
    text = known(tone)
    if text is None or scale not in ("fitzpatrick", "ddi"):
        return text
    number = text.removesuffix(".0")
    if scale == "ddi":
        if number not in _DDI_TONES:
            raise FieldError(tone, "is not on DDI's scale (12, 34 or 56)")
        return number
    number = _FITZPATRICK.get(number.lower(), number)
    if number not in _FITZPATRICK.values():
        raise FieldError(tone, "is not on the Fitzpatrick scale (1 to 6 or I to VI)")
    return number


def report(field: Field) -> str | None:
    """Returns a clinical report, or an expert's marks of dermoscopic features, as a report's JSON text."""
    if not field.text:
        return None
    try:
        return read_report(field.text).to_text()
    except DataError as error:
        raise FieldError(field, f"invalid report: {str(error.__cause__)[:500]}") from error


def _choice(field: Field, choices: dict[str, str], reason: str) -> str | None:
    text = known(field)
    if text is None:
        return None
    chosen = choices.get(text.lower())
    if chosen is None:
        raise FieldError(field, reason)
    return chosen


def provenance(field: Field) -> str | None:
    """Keeps the table's own word for images that are altered, or of nobody (``synthetic``)."""
    manipulation = known(field)
    return IngestedProvenance(image_manipulation=manipulation.lower()).text() if manipulation else None
