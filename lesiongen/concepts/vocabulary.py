"""The words that a report may use, and where they come from."""

from lesiongen.dataset.schema import TONE_CLASSES

__all__ = [
    "ADDITIONAL",
    "ASYMMETRY",
    "BORDERS",
    "COLOURS",
    "COLOUR_VARIABILITY",
    "ELEVATIONS",
    "FITZPATRICK",
    "FITZPATRICK_GROUPS",
    "FITZPATRICK_TYPES",
    "LESION_COLOURS",
    "MEANINGS",
    "PATTERNS",
    "SEXES",
    "SHAPES",
    "SIZES",
    "SKIN_TYPES",
    "STRUCTURES",
    "TEXTURES",
    "TONES",
    "VOCABULARIES",
    "recorded_skin_type",
]

COLOURS = ("white", "red", "light brown", "dark brown", "blue-gray", "black")
"""The six colours of the ABCD rule (Stolz et al. 1994)."""

LESION_COLOURS = (
    *COLOURS, "hyperpigmented brown", "hypopigmented white", "purple", "yellow", "salmon", "blue", "gray",
)  # fmt: skip
"""The ABCD rule's colours and those that SkinCon marks and the ABCD rule has not (Daneshjou et al. 2022)."""

COLOUR_VARIABILITY = ("uniform colour", "two colours", "many colours")
SHAPES = ("round", "oval", "irregular")

ASYMMETRY = ("symmetric", "asymmetric in one axis", "asymmetric in two axes")
"""The ABCD rule's A: 0, 1 or 2."""

SIZES = ("small", "medium", "large")
"""The lesion's share of the image, in the words of the reference method's prompts."""

BORDERS = ("smooth border", "irregular border", "sharp border", "blurred border")

TEXTURES = (
    "smooth", "rough", "scaly", "crusted", "ulcerated", "eroded", "excoriated", "fissured", "warty", "friable", "dry",
    "atrophic", "lichenified", "indurated", "sclerotic", "exudative", "translucent",
)  # fmt: skip
"""The surface: SkinCon's words for it, and smooth and rough."""

PATTERNS = (
    "typical network", "atypical network", "network", "negative network", "regular streaks", "irregular streaks",
    "streaks", "regular dots and globules", "irregular dots and globules", "globules", "blue-white veil",
    "milia-like cysts", "arborizing vessels", "comma vessels", "hairpin vessels", "dotted vessels",
    "linear irregular vessels", "wreath vessels", "vessels within regression", "red lacunae", "blue regression",
    "white regression", "combined regression", "diffuse regular pigmentation", "localized regular pigmentation",
    "diffuse irregular pigmentation", "localized irregular pigmentation", "central white patch",
)  # fmt: skip
"""The seven-point checklist's values (Argenziano et al. 1998; derm7pt), ISIC 2017's dermoscopic features, and two
signs of vascular lesions and dermatofibromas."""

STRUCTURES = ("network", "streaks", "vessels", "pigmentation", "dots and globules", "regression")
"""Under these names the evidence records that a structure is absent in any of its forms."""

ELEVATIONS = (
    "flat", "palpable", "nodular", "macule", "patch", "papule", "plaque", "nodule", "dome-shaped", "flat-topped",
    "pedunculated", "exophytic", "umbilicated", "acuminate",
)  # fmt: skip
"""The values of derm7pt, and SkinCon's words for what rises from the skin and in which profile."""

ADDITIONAL = (
    "erythema", "pigmented", "telangiectasia", "purpura", "poikiloderma", "vesicle", "bulla", "pustule", "abscess",
    "cyst", "comedo", "wheal", "scar", "burrow",
)  # fmt: skip
"""SkinCon's concepts that no other entry has a place for."""

SEXES = ("male", "female")

TONES = TONE_CLASSES
"""Classes of the individual typology angle (Chardon et al. 1991; Del Bino and Bernerd 2013): what an image shows."""

FITZPATRICK = {"1": 1, "2": 2, "3": 3, "4": 4, "5": 5, "6": 6, "I": 1, "II": 2, "III": 3, "IV": 4, "V": 5, "VI": 6}
FITZPATRICK_TYPES = tuple(f"Fitzpatrick {roman}" for roman in ("I", "II", "III", "IV", "V", "VI"))
"""A patient's skin type, as somebody recorded it (Fitzpatrick 1988); never what an image shows."""

FITZPATRICK_GROUPS = {"12": "Fitzpatrick I-II", "34": "Fitzpatrick III-IV", "56": "Fitzpatrick V-VI"}
"""DDI records pairs of types (Daneshjou et al. 2022)."""

SKIN_TYPES = (*FITZPATRICK_TYPES, *FITZPATRICK_GROUPS.values())

VOCABULARIES: dict[str, tuple[str, ...]] = {
    "colour": LESION_COLOURS,
    "colour_variability": COLOUR_VARIABILITY,
    "shape": SHAPES,
    "shape_variability": ASYMMETRY,
    "size": SIZES,
    "border": BORDERS,
    "texture": TEXTURES,
    "patterns": PATTERNS,
    "elevation": ELEVATIONS,
    "skin_tone": (*TONES, *SKIN_TYPES),
    "additional": ADDITIONAL,
}
"""The words of each entry; ``patient`` has a form instead, because a site keeps its source's words."""

MEANINGS = {
    "patient": 'What applies of age ("65 years"), sex (male, female) and site, the site in its source\'s words.',
    "colour": "Colours of the lesion, the largest share first.",
    "colour_variability": "How many colours the lesion has.",
    "shape": "Shape of the lesion's outline.",
    "shape_variability": "In how many of two perpendicular axes the lesion is asymmetric.",
    "size": "Share of the image that the lesion takes: small below 15%, medium below 30%, large from there.",
    "border": "Course of the border (smooth or irregular) and its sharpness (sharp or blurred).",
    "texture": "Surface of the lesion.",
    "patterns": "Dermoscopic patterns, the most striking first.",
    "elevation": "What rises from the skin, and in which profile.",
    "skin_tone": "Healthy skin: the tone that the image shows, or the Fitzpatrick type recorded of the patient.",
    "additional": "Further findings.",
}
"""What each entry says: the reference method's twelve, in its order."""


def recorded_skin_type(tone: str | None, scale: str | None) -> str | None:
    """Returns the report's word for a recorded skin tone; scales that do not record Fitzpatrick's types say nothing.

    Args:
        tone: The dataset's ``skin_tone``: 1 to 6 or I to VI, or DDI's 12, 34, 56.
        scale: The dataset's ``skin_tone_scale``.

    >>> recorded_skin_type("3", "fitzpatrick"), recorded_skin_type("3", "monk")
    ('Fitzpatrick III', None)
    """
    text = (tone or "").strip().upper()
    if (scale or "").lower() == "ddi":
        return FITZPATRICK_GROUPS.get(text)
    kind = FITZPATRICK.get(text) if (scale or "").lower() == "fitzpatrick" else None
    return FITZPATRICK_TYPES[kind - 1] if kind else None
