"""The diagnostic classes that the project knows, and the names under which public tables hold them."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from lesiongen.dataset.diagnosis_names import NAMES
from lesiongen.dataset.isic_names import ISIC_NAMES

__all__ = [
    "DIAGNOSES",
    "FIRST_LEVELS",
    "MALIGNANCY",
    "REFERENCE_DIAGNOSES",
    "Diagnosis",
    "diagnosis_phrase",
    "is_malignant",
    "overlapping_classes",
    "resolve_diagnosis",
]


@dataclass(frozen=True)
class Diagnosis:
    """A diagnostic class.

    Attributes:
        code: Short code, which the ``diagnosis`` column holds.
        name: Short name, for tables and captions.
        phrase: The wording in full; the reference method's for its seven classes.
        malignant: Whether the class is counted as malignant or pre-malignant; None where it holds both.
    """

    code: str
    name: str
    phrase: str
    malignant: bool | None


# HAM10000's seven classes (Tschandl et al. 2018), worded as the reference method words them.
_REFERENCE = (
    Diagnosis("akiec", "actinic keratosis", "actinic keratoses and intraepithelial carcinoma / Bowen's disease", True),
    Diagnosis("bcc", "basal cell carcinoma", "basal cell carcinoma", True),
    Diagnosis(
        "bkl",
        "benign keratosis",
        "benign keratosis-like lesions, solar lentigines / seborrheic keratoses and lichen-planus like keratoses",
        False,
    ),
    Diagnosis("df", "dermatofibroma", "dermatofibroma", False),
    Diagnosis("mel", "melanoma", "melanoma", True),
    Diagnosis("nv", "melanocytic nevus", "melanocytic nevi", False),
    Diagnosis(
        "vasc",
        "vascular lesion",
        "vascular lesions (angiomas, angiokeratomas, pyogenic granulomas and hemorrhage)",
        False,
    ),
)
# What other collections distinguish, and Fitzpatrick17k's partitions (Groh et al. 2021) for what is none of the above.
_FURTHER = (
    Diagnosis("scc", "squamous cell carcinoma", "invasive squamous cell carcinoma and keratoacanthoma", True),
    Diagnosis("lentigo", "lentigo", "lentigo simplex, melanotic macule and melanosis", False),
    Diagnosis("benign_epidermal", "benign epidermal growth", "benign growth of the epidermis", False),
    Diagnosis("benign_dermal", "benign dermal growth", "benign growth or cyst of the dermis", False),
    Diagnosis("malignant_epidermal", "epithelial cancer", "other epithelial or adnexal cancer of the skin", True),
    Diagnosis("malignant_dermal", "dermal cancer", "sarcoma or metastasis in the skin", True),
    Diagnosis("lymphoma", "cutaneous lymphoma", "lymphoma or leukemia of the skin", True),
    Diagnosis("inflammatory", "inflammatory dermatosis", "inflammatory, infectious or reactive skin disease", False),
    Diagnosis("genodermatosis", "genodermatosis", "inherited skin disease", False),
    Diagnosis("other", "unclassified lesion", "other or indeterminate skin lesion", None),
)

DIAGNOSES: dict[str, Diagnosis] = {diagnosis.code: diagnosis for diagnosis in (*_REFERENCE, *_FURTHER)}
REFERENCE_DIAGNOSES = tuple(diagnosis.code for diagnosis in _REFERENCE)
"""The reference method's classes, which are HAM10000's."""

MALIGNANCY = {"benign": "benign lesion", "malignant": "malignant lesion"}
"""What a collection without diagnoses tells apart: the codes, and how captions name them.

No diagnosis is one of them: a dataset has these two classes, or those of `DIAGNOSES`.
"""
FIRST_LEVELS = (*MALIGNANCY, "indeterminate")


def _plain(text: str) -> str:
    """Reduces a label to lower case words: tables differ in hyphens, underscores, apostrophes and commas."""
    words = re.sub(r"['\u2018\u2019`]", "", text.lower())
    return " ".join(re.sub(r"[-_,\s]+", " ", words).split())


_CODES = {
    _plain(spelling): diagnosis.code
    for diagnosis in DIAGNOSES.values()
    for spelling in (diagnosis.code, diagnosis.name, diagnosis.phrase, *NAMES[diagnosis.code])
}
_CODES |= {_plain(name): code for code, names in ISIC_NAMES.items() for name in names}
_CODES |= {name: name for name in MALIGNANCY} | {"indeterminate": "other"}


def resolve_diagnosis(text: str) -> str | None:
    """Returns the code of a diagnosis given by code, name or a known spelling, or None.

    Of the ISIC archive's levels (``Benign:Cysts:Milium``) the most exact that is known counts.

    >>> resolve_diagnosis("Melanoma, NOS"), resolve_diagnosis("a rash of mine")
    ('mel', None)
    """
    first, *deeper = text.split(":")
    if deeper and _plain(first) in FIRST_LEVELS:
        return next((code for level in reversed(deeper) if (code := _CODES.get(_plain(level)))), None)
    return _CODES.get(_plain(text))


def diagnosis_phrase(code: str) -> str:
    """Returns the short name of a diagnosis; a label outside the taxonomy is its own name.

    >>> diagnosis_phrase("bcc")
    'basal cell carcinoma'
    """
    known = DIAGNOSES.get(code)
    return known.name if known else MALIGNANCY.get(code, code)


def is_malignant(code: str) -> bool | None:
    """Tells whether a class is counted as malignant or pre-malignant; None where nobody knows.

    >>> [is_malignant(code) for code in ("akiec", "nv", "malignant", "other", "a class of mine")]
    [True, False, True, None, None]
    """
    if code in MALIGNANCY:
        return code == "malignant"
    return DIAGNOSES[code].malignant if code in DIAGNOSES else None


def overlapping_classes(classes: Iterable[str]) -> str | None:
    """Returns a warning, without the full stop, where benign or malignant are classes beside exact diagnoses.

    >>> overlapping_classes(["nv", "mel"]) is None
    True
    """
    names = sorted(set(classes))
    exact = [name for name in names if name not in MALIGNANCY]
    coarse = [name for name in names if name in MALIGNANCY]
    if not exact or not coarse:
        return None
    shown = ", ".join(exact[:3]) + (", …" if len(exact) > 3 else "")
    what = f"Class{'es' if len(coarse) > 1 else ''} {' and '.join(coarse)}"
    return f"{what} beside exact diagnoses ({shown}): images of one disease may be in two classes"
