"""The row of an image in the columns of the ISIC archive, which are a ``metadata.csv`` of Hugging Face as well."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from lesiongen.concepts.body import body_regions
from lesiongen.dataset import DIAGNOSES, diagnosis_phrase
from lesiongen.exporting.licence import isic_licence

__all__ = ["COLUMNS", "OLDEST_AGE", "approximate_age", "general_site", "isic_row"]

COLUMNS = (
    "file_name",
    "isic_id",
    "attribution",
    "copyright_license",
    "age_approx",
    "anatom_site_general",
    "diagnosis",
    "diagnosis_1",
    "diagnosis_2",
    "diagnosis_3",
    "fitzpatrick_skin_type",
    "image_manipulation",
    "image_type",
    "sex",
    "measured_tone",
    "caption",
    "model_name",
    "model_version",
    "seed",
    "index",
    "guidance_scale",
    "steps",
)
"""``file_name`` as Hugging Face wants it; the archive's own columns, ``isic_id`` to ``sex``; then the provenance."""
OLDEST_AGE = 85
"""The archive's highest age, which means 85 and over."""
LEVELS = {
    "bcc": ("Malignant", "Malignant adnexal epithelial proliferations - Follicular", "Basal cell carcinoma"),
    "bkl": ("Benign", "Benign epidermal proliferations"),
    "df": ("Benign", "Benign soft tissue proliferations - Fibro-histiocytic", "Dermatofibroma"),
    "mel": ("Malignant", "Malignant melanocytic proliferations (Melanoma)", "Melanoma, NOS"),
    "nv": ("Benign", "Benign melanocytic proliferations", "Nevus"),
    "scc": ("Malignant", "Malignant epidermal proliferations"),
    "benign": ("Benign",),
    "malignant": ("Malignant",),
    **dict.fromkeys(("vasc", "lentigo", "benign_epidermal", "benign_dermal", "inflammatory"), ("Benign",)),
    **dict.fromkeys(("malignant_epidermal", "malignant_dermal", "lymphoma"), ("Malignant",)),
}
"""The archive's levels of each class, as far as they hold for all of it; of akiec some are malignant, some not."""
_SITES = (
    "anterior torso",
    "head/neck",
    "lateral torso",
    "lower extremity",
    "oral/genital",
    "palms/soles",
    "posterior torso",
    "upper extremity",
)
_OF_REGION = {"head": "head/neck", "arm": "upper extremity", "leg": "lower extremity", "genital": "oral/genital"}
_OF_TRUNK = {
    "back": "posterior torso",
    "chest": "anterior torso",
    "abdomen": "anterior torso",
    "breast": "anterior torso",
}
_FITZPATRICK = ("I", "II", "III", "IV", "V", "VI")


def isic_row(
    file_name: str, image: Mapping[str, Any], facts: Mapping[str, Any], terms: tuple[str, str | None]
) -> list[object]:
    """Returns the cells of an image in the order of `COLUMNS`; None where something is not known.

    No id of a lesion, a patient, a case or an image of the dataset is among them.

    Args:
        file_name: From the folder of the table.
        image: The columns of the dataset.
        facts: What of the provenance is handed on.
        terms: Licence of the image, and whom to name.
    """
    code = image["diagnosis"]
    levels = dict(zip(("diagnosis_1", "diagnosis_2", "diagnosis_3"), LEVELS.get(code, ()), strict=False))
    cells = {
        "file_name": file_name,
        "isic_id": file_name.rsplit("/", 1)[-1].removesuffix(".png"),
        "attribution": terms[1],
        "copyright_license": isic_licence(terms[0]),
        "age_approx": approximate_age(image["age"]),
        "anatom_site_general": general_site(image["site"]),
        "diagnosis": diagnosis_phrase(code) if code in DIAGNOSES else code,
        "fitzpatrick_skin_type": _fitzpatrick(image["skin_tone"], image["skin_tone_scale"]),
        "image_type": image["image_type"],
        "sex": image["sex"],
        "measured_tone": image["measured_tone"],
        "caption": facts.get("prompt"),
        **levels,
        **{name: facts.get(name) for name in COLUMNS if name in facts},
    }
    return [cells.get(name) for name in COLUMNS]


def approximate_age(age: float | None) -> int | None:
    """Returns an age as the archive gives it: to the nearest 5 years, at most 85.

    >>> approximate_age(62.0), approximate_age(93.0), approximate_age(None)
    (60, 85, None)
    """
    return None if age is None or pd.isna(age) else min(5 * int(age / 5 + 0.5), OLDEST_AGE)


def general_site(site: str | None) -> str | None:
    """Returns the archive's general site of a site in any words; None where they name none, or several.

    >>> general_site("lower extremity"), general_site("left forearm"), general_site("Mr. Smith's tattoo")
    ('lower extremity', 'upper extremity', None)
    """
    if site is None or pd.isna(site):
        return None
    words = site.lower().strip()
    if words in _SITES:
        return words
    regions = body_regions(words)
    if regions == {"trunk"}:
        sides = {side for word, side in _OF_TRUNK.items() if word in words.split()}
        return sides.pop() if len(sides) == 1 else None
    return _OF_REGION.get(regions.pop()) if len(regions) == 1 else None


def _fitzpatrick(tone: str | None, scale: str | None) -> str | None:
    known = scale == "fitzpatrick" and tone in ("1", "2", "3", "4", "5", "6")
    return _FITZPATRICK[int(str(tone)) - 1] if known else None
