"""The diagnoses that the project knows by name, in HAM10000's seven classes."""

from dataclasses import dataclass

__all__ = ["DIAGNOSES", "Diagnosis", "diagnosis_phrase", "resolve_diagnosis"]


@dataclass(frozen=True)
class Diagnosis:
    """A diagnostic class.

    Attributes:
        code: HAM10000's short code, which the ``diagnosis`` column holds.
        name: Short name, for tables and captions.
        phrase: The reference method's wording in full.
        malignant: Whether the class is counted as malignant or pre-malignant.
        aliases: Other spellings found in public tables, in lower case.
    """

    code: str
    name: str
    phrase: str
    malignant: bool
    aliases: tuple[str, ...] = ()


_ALL = (
    Diagnosis(
        "akiec",
        "actinic keratosis",
        "actinic keratoses and intraepithelial carcinoma / Bowen's disease",
        True,
        ("ak", "ack", "actinic keratoses", "bowen's disease", "intraepithelial carcinoma"),
    ),
    Diagnosis("bcc", "basal cell carcinoma", "basal cell carcinoma", True),
    Diagnosis(
        "bkl",
        "benign keratosis",
        "benign keratosis-like lesions, solar lentigines / seborrheic keratoses and lichen-planus like keratoses",
        False,
        (
            "sk",
            "sek",
            "seborrheic keratosis",
            "solar lentigo",
            "lichen planus-like keratosis",
            "pigmented benign keratosis",
        ),
    ),
    Diagnosis("df", "dermatofibroma", "dermatofibroma", False),
    Diagnosis("mel", "melanoma", "melanoma", True, ("malignant melanoma",)),
    Diagnosis(
        "nv",
        "melanocytic nevus",
        "melanocytic nevi",
        False,
        ("nev", "nevus", "naevus", "melanocytic naevus", "melanocytic naevi"),
    ),
    Diagnosis(
        "vasc",
        "vascular lesion",
        "vascular lesions (angiomas, angiokeratomas, pyogenic granulomas and hemorrhage)",
        False,
        ("vascular", "angioma", "angiokeratoma", "pyogenic granuloma"),
    ),
)

DIAGNOSES: dict[str, Diagnosis] = {diagnosis.code: diagnosis for diagnosis in _ALL}
_SPELLINGS = {
    spelling.lower(): diagnosis.code
    for diagnosis in _ALL
    for spelling in (diagnosis.code, diagnosis.name, diagnosis.phrase, *diagnosis.aliases)
}


def resolve_diagnosis(text: str) -> str | None:
    """Returns the code of a diagnosis given by code, name or a known spelling, or None."""
    return _SPELLINGS.get(" ".join(text.lower().replace("_", " ").split()))


def diagnosis_phrase(code: str) -> str:
    """Returns the short name of a diagnosis; a label outside the taxonomy stands for itself."""
    known = DIAGNOSES.get(code)
    return known.name if known else code
