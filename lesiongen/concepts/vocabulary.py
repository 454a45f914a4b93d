"""The words that a report may use, and where they come from."""

from lesiongen.dataset.schema import TONE_CLASSES

__all__ = [
    "ASYMMETRY",
    "BORDERS",
    "COLOURS",
    "COLOUR_VARIABILITY",
    "ELEVATIONS",
    "FITZPATRICK",
    "PATTERNS",
    "SHAPES",
    "SIZES",
    "TEXTURES",
    "TONES",
]

COLOURS = ("white", "red", "light brown", "dark brown", "blue-gray", "black")
"""The six colours of the ABCD rule (Stolz et al. 1994)."""

COLOUR_VARIABILITY = ("uniform colour", "two colours", "many colours")
SHAPES = ("round", "oval", "irregular")

ASYMMETRY = ("symmetric", "asymmetric in one axis", "asymmetric in two axes")
"""The ABCD rule's A: 0, 1 or 2."""

SIZES = ("small", "medium", "large")
"""The lesion's share of the image, in the words of the reference method's prompts."""

BORDERS = ("smooth border", "irregular border", "sharp border", "blurred border")

TEXTURES = ("smooth", "scaly", "rough", "warty", "crusted", "ulcerated")

PATTERNS = (
    "typical network", "atypical network", "network", "negative network", "regular streaks", "irregular streaks",
    "streaks", "regular globules", "irregular globules", "globules", "blue-white veil", "milia-like cysts",
    "arborizing vessels", "comma vessels", "hairpin vessels", "dotted vessels", "linear irregular vessels",
    "wreath vessels", "vessels within regression", "red lacunae", "blue regression", "white regression",
    "combined regression", "diffuse regular pigmentation", "localized regular pigmentation",
    "diffuse irregular pigmentation", "localized irregular pigmentation", "central white patch",
)  # fmt: skip
"""The seven-point checklist's values (Argenziano et al. 1998; derm7pt) and ISIC 2017's dermoscopic features."""

ELEVATIONS = ("flat", "palpable", "nodular")
"""The values of derm7pt."""

TONES = TONE_CLASSES
"""Classes of the individual typology angle (Chardon et al. 1991; Del Bino and Bernerd 2013)."""

FITZPATRICK = {"1": 1, "2": 2, "3": 3, "4": 4, "5": 5, "6": 6, "I": 1, "II": 2, "III": 3, "IV": 4, "V": 5, "VI": 6}
