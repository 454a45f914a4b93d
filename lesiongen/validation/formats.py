"""What holds for the rows of one public collection beyond the canonical checks, one suite for each format.

Facts come from the collections' own tables and papers; they are listed in docs/reference/formats.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatch

from lesiongen.validation.checks import Check
from lesiongen.validation.thresholds import Severity

__all__ = ["FORMAT_SUITES", "FormatSuite", "PublishedCounts", "suite_of"]


@dataclass(frozen=True)
class PublishedCounts:
    """How many images (or cases) the authors publish; compared only with a collection that is complete.

    Attributes:
        unit: Column whose distinct values are counted.
        total: Number of units of the complete collection.
        column: Column that the counts are by.
        counts: Units for each value of it.
    """

    unit: str
    total: int
    column: str
    counts: Mapping[str, int]


@dataclass(frozen=True)
class FormatSuite:
    """The checks of one collection.

    Attributes:
        sources: Patterns of the ``source`` column.
        checks: What holds for each of its rows.
        published: What the complete collection must add up to.
    """

    sources: tuple[str, ...]
    checks: tuple[Check, ...]
    published: PublishedCounts | None = None


def suite_of(source: str) -> str | None:
    """Returns the format whose suite judges the rows of a source; a source of nobody's has the canonical checks."""
    names = (name for name, suite in FORMAT_SUITES.items() if any(fnmatch(source, one) for one in suite.sources))
    return next(names, None)


def _dermoscopic() -> Check:
    return Check(
        "image_type", "image_type", "in_set", "error", "is not dermoscopic, as the whole collection is",
        "A clinical photograph among them was mislabelled, or is of another collection.",
        {"value_set": ["dermoscopic"]},
    )  # fmt: skip


def _clinical() -> Check:
    return Check(
        "image_type", "image_type", "in_set", "error", "is not clinical, as the whole collection is",
        "A dermoscopic image among them was mislabelled, or is of another collection.",
        {"value_set": ["clinical"]},
    )  # fmt: skip


def _image_type_recorded(severity: Severity) -> Check:
    return Check(
        "image_type", "image_type", "present", severity, "is recorded as neither dermoscopic nor clinical",
        "The collection holds both, and captions and measurements depend on it.",
    )  # fmt: skip


def _no_tone(name: str) -> Check:
    return Check(
        "skin_tone_absent", "skin_tone", "absent", "error", "has a recorded skin tone, which the collection lacks",
        f"{name} records none; a tone that was measured belongs in measured_tone.",
    )  # fmt: skip


def _fitzpatrick_tone() -> tuple[Check, Check]:
    return (
        Check(
            "skin_tone", "skin_tone", "in_set", "error", "has a skin tone that is not a Fitzpatrick type",
            "The scale has the types 1 to 6; -1 is unknown, and stays blank.", {"value_set": list("123456")},
        ),
        Check(
            "skin_tone_scale", "skin_tone_scale", "in_set", "error", "has a skin tone on another scale",
            "The collection records Fitzpatrick types.", {"value_set": ["fitzpatrick"]},
        ),
    )  # fmt: skip


def _present(name: str, column: str, what: str, why: str) -> Check:
    return Check(name, column, "present", "error", f"has no {what}", why)


def _published() -> Check:
    return Check(
        "published_counts", "published_problem", "absent", "error",
        "belongs to a group that has another size than its authors publish, though the collection is complete",
        "Labels were changed or the table is mixed up. Checked only when every published image is there.",
    )  # fmt: skip


_HAM_SITES = (
    "abdomen", "acral", "back", "chest", "ear", "face", "foot", "genital", "hand", "lower extremity", "neck", "scalp",
    "trunk", "unknown", "upper extremity",
)  # fmt: skip
_HAM_COUNTS = {"nv": 6705, "mel": 1113, "bkl": 1099, "bcc": 514, "akiec": 327, "vasc": 142, "df": 115}
_HAM10000 = FormatSuite(
    ("ham10000",),
    (
        Check(
            "diagnosis", "diagnosis", "in_set", "error", "has a diagnosis outside HAM10000's seven",
            "The collection has seven diagnoses and no others.", {"value_set": list(_HAM_COUNTS)},
        ),
        _present("lesion", "lesion_id", "lesion_id", "HAM10000's 10,015 images are of 7,470 lesions."),
        Check(
            "site", "site", "in_set", "error", "has a site outside HAM10000's fifteen",
            "Another word means that a column was shifted or merged.", {"value_set": list(_HAM_SITES)},
        ),
        Check(
            "age", "age", "in_set", "warning", "has an age that is not 0, 5, 10 to 85",
            "HAM10000 rounds ages to five years; another age comes from elsewhere.",
            {"value_set": [float(age) for age in range(0, 90, 5)]},
        ),
        _dermoscopic(),
        _no_tone("HAM10000"),
        _published(),
    ),
    PublishedCounts("image_id", 10_015, "diagnosis", _HAM_COUNTS),
)  # fmt: skip
_ISIC = FormatSuite(
    ("isic*",),
    (
        _image_type_recorded("warning"),
        Check(
            "age", "age", "between", "warning", "has an age over 90",
            "The archive and the challenges give ages up to 85 or 90 for reasons of privacy.",
            {"min_value": 0, "max_value": 90},
        ),
        *_fitzpatrick_tone(),
    ),
)  # fmt: skip
_OF_2016 = {"train": 900, "test": 379}
_ISIC2016 = FormatSuite(
    ("isic2016",),
    (
        Check(
            "diagnosis", "diagnosis", "in_set", "error", "has a diagnosis other than benign and malignant",
            "The tables of part 3 distinguish these two and no others.", {"value_set": ["benign", "malignant"]},
        ),
        _dermoscopic(),
        _no_tone("ISIC 2016"),
        _published(),
    ),
    PublishedCounts("image_id", 1_279, "official_split", _OF_2016),
)  # fmt: skip
_ISIC2024 = FormatSuite(
    ("isic2024",),
    (
        _clinical(),
        _present("patient", "patient_id", "patient_id", "401,059 images are of 1,042 patients, with hundreds of each."),
        Check(
            "age", "age", "between", "warning", "has an age over 90",
            "The ISIC gives ages up to 85 or 90 for reasons of privacy.", {"min_value": 0, "max_value": 90},
        ),
        _no_tone("ISIC 2024"),
    ),
)  # fmt: skip
_OF_MILK10K = {"clinical": 5_240, "dermoscopic": 5_240}
_MILK10K = FormatSuite(
    ("milk10k",),
    (
        _present("lesion", "lesion_id", "lesion_id", "A lesion's two images must stay together."),
        _image_type_recorded("error"),
        Check(
            "skin_tone", "skin_tone", "in_set", "error", "has a skin tone that is not one of 0 to 5",
            "MILK10k's classes reach from 0, very dark, to 5, very light.", {"value_set": list("012345")},
        ),
        Check(
            "skin_tone_scale", "skin_tone_scale", "in_set", "error", "has a skin tone on another scale than MILK10k's",
            "Its classes run from dark to light; Fitzpatrick's types run the other way.", {"value_set": ["milk10k"]},
        ),
        _published(),
    ),
    PublishedCounts("image_id", 10_480, "image_type", _OF_MILK10K),
)  # fmt: skip
_DERM7PT = FormatSuite(
    ("derm7pt",),
    (
        _present("case", "case_id", "case_id", "A case's two images must stay together."),
        _image_type_recorded("error"),
        Check(
            "both_images",
            "case_lacks_image",
            "absent",
            "warning",
            "is of a case without its clinical or without its dermoscopic image",
            "Every case has both. Checked only where the dataset holds both types.",
        ),
        Check(
            "seven_point_values",
            "outside_seven_point",
            "absent",
            "error",
            "has an expert's pattern that is not a value of the seven-point checklist",
            "Captions would state what no expert has said.",
        ),
        Check(
            "official_split",
            "official_split",
            "present",
            "warning",
            "has no official split",
            "The authors assign every case to one; without their three tables the split cannot be kept.",
        ),
        _no_tone("derm7pt"),
        _published(),
    ),
    PublishedCounts("case_id", 1_011, "official_split", {"train": 413, "validation": 203, "test": 395}),
)
_FITZPATRICK17K = FormatSuite(("fitzpatrick17k*",), (_clinical(), *_fitzpatrick_tone()))
_DDI_TONES = {"12": 208, "34": 241, "56": 207}
_DDI = FormatSuite(
    ("ddi",),
    (
        _clinical(),
        Check(
            "skin_tone", "skin_tone", "in_set", "error", "has a skin tone that is not one of 12, 34 and 56",
            "DDI records pairs of Fitzpatrick types.", {"value_set": list(_DDI_TONES)},
        ),
        _present("skin_tone_recorded", "skin_tone", "skin tone", "DDI was made to compare skin tones; all have one."),
        Check(
            "skin_tone_scale", "skin_tone_scale", "in_set", "error", "has a skin tone on another scale than DDI's",
            "12 would be read as Monk's or Fitzpatrick's twelfth.", {"value_set": ["ddi"]},
        ),
        _published(),
    ),
    PublishedCounts("image_id", 656, "skin_tone", _DDI_TONES),
)  # fmt: skip
_PAD_COUNTS = {"BCC": 845, "ACK": 730, "NEV": 244, "SEK": 235, "SCC": 192, "MEL": 52}
_PAD_UFES_20 = FormatSuite(
    ("pad_ufes_20",),
    (
        Check(
            "diagnosis", "original_diagnosis", "in_set", "error", "has a diagnosis outside PAD-UFES-20's six",
            "The collection has six diagnoses and no others.", {"value_set": list(_PAD_COUNTS)},
        ),
        _present("patient", "patient_id", "patient_id", "2,298 images are of 1,373 patients."),
        _present("lesion", "lesion_id", "lesion_id", "Lesions have several images, and are numbered by patient."),
        _clinical(),
        *_fitzpatrick_tone(),
        _published(),
    ),
    PublishedCounts("image_id", 2_298, "original_diagnosis", _PAD_COUNTS),
)  # fmt: skip
_SKINCAP = FormatSuite(
    ("skincap",),
    (
        _clinical(),
        Check(
            "expert_statement", "without_expert_statement", "absent", "error",
            "has neither concepts nor a description by an expert",
            "The dermatologists' captions are what SkinCAP adds to the images of Fitzpatrick17k and DDI.",
        ),
        Check(
            "skin_tone_scale", "skin_tone_scale", "in_set", "error", "has a skin tone on another scale",
            "Its images come from Fitzpatrick17k (types 1 to 6) and DDI (pairs of types).",
            {"value_set": ["fitzpatrick", "ddi"]},
        ),
    ),
)  # fmt: skip

FORMAT_SUITES: dict[str, FormatSuite] = {
    "ham10000": _HAM10000,
    "isic2016": _ISIC2016,
    "isic2024": _ISIC2024,
    "milk10k": _MILK10K,
    "isic": _ISIC,
    "derm7pt": _DERM7PT,
    "fitzpatrick17k": _FITZPATRICK17K,
    "ddi": _DDI,
    "pad_ufes_20": _PAD_UFES_20,
    "skincap": _SKINCAP,
}
"""By the name of the format; the first whose pattern fits a source is meant.

A folder of images of one's own is judged by the canonical checks alone.
"""
