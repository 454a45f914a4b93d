"""From the words of public collections' experts to the report: derm7pt, SkinCon, ISIC, SkinCAP."""

from collections.abc import Mapping

from lesiongen.concepts.schema import Description, Entry, Report, absent_words

__all__ = [
    "DERMOSCOPIC_FEATURES",
    "SEVEN_POINT_VALUES",
    "SKINCON_CONCEPTS",
    "by_experts",
    "described",
    "dermoscopic_report",
    "seven_point_report",
    "skincon_report",
]

SEVEN_POINT_VALUES: dict[str, tuple[str, dict[str, str]]] = {
    "pigment_network": ("network", {"typical": "typical network", "atypical": "atypical network"}),
    "blue_whitish_veil": ("blue-white veil", {"present": "blue-white veil"}),
    "vascular_structures": (
        "vessels",
        {
            "arborizing": "arborizing vessels",
            "comma": "comma vessels",
            "hairpin": "hairpin vessels",
            "within regression": "vessels within regression",
            "wreath": "wreath vessels",
            "dotted": "dotted vessels",
            "linear irregular": "linear irregular vessels",
        },
    ),
    "pigmentation": (
        "pigmentation",
        {
            f"{place} {kind}": f"{place} {kind} pigmentation"
            for place in ("diffuse", "localized")
            for kind in ("regular", "irregular")
        },
    ),
    "streaks": ("streaks", {"regular": "regular streaks", "irregular": "irregular streaks"}),
    "dots_and_globules": (
        "dots and globules",
        {"regular": "regular dots and globules", "irregular": "irregular dots and globules"},
    ),
    "regression_structures": (
        "regression",
        {"blue areas": "blue regression", "white areas": "white regression", "combinations": "combined regression"},
    ),
}
"""derm7pt's columns: the name under which a structure's absence is recorded, and the report's word for each value."""

SKINCON_CONCEPTS: dict[str, tuple[str, str]] = {
    "Vesicle": ("additional", "vesicle"),
    "Papule": ("elevation", "papule"),
    "Macule": ("elevation", "macule"),
    "Plaque": ("elevation", "plaque"),
    "Abscess": ("additional", "abscess"),
    "Pustule": ("additional", "pustule"),
    "Bulla": ("additional", "bulla"),
    "Patch": ("elevation", "patch"),
    "Nodule": ("elevation", "nodule"),
    "Ulcer": ("texture", "ulcerated"),
    "Crust": ("texture", "crusted"),
    "Erosion": ("texture", "eroded"),
    "Excoriation": ("texture", "excoriated"),
    "Atrophy": ("texture", "atrophic"),
    "Exudate": ("texture", "exudative"),
    "Purpura/Petechiae": ("additional", "purpura"),
    "Fissure": ("texture", "fissured"),
    "Induration": ("texture", "indurated"),
    "Xerosis": ("texture", "dry"),
    "Telangiectasia": ("additional", "telangiectasia"),
    "Scale": ("texture", "scaly"),
    "Scar": ("additional", "scar"),
    "Friable": ("texture", "friable"),
    "Sclerosis": ("texture", "sclerotic"),
    "Pedunculated": ("elevation", "pedunculated"),
    "Exophytic/Fungating": ("elevation", "exophytic"),
    "Warty/Papillomatous": ("texture", "warty"),
    "Dome-shaped": ("elevation", "dome-shaped"),
    "Flat topped": ("elevation", "flat-topped"),
    "Brown(Hyperpigmentation)": ("colour", "hyperpigmented brown"),
    "Translucent": ("texture", "translucent"),
    "White(Hypopigmentation)": ("colour", "hypopigmented white"),
    "Purple": ("colour", "purple"),
    "Yellow": ("colour", "yellow"),
    "Black": ("colour", "black"),
    "Erythema": ("additional", "erythema"),
    "Comedo": ("additional", "comedo"),
    "Lichenification": ("texture", "lichenified"),
    "Blue": ("colour", "blue"),
    "Umbilicated": ("elevation", "umbilicated"),
    "Poikiloderma": ("additional", "poikiloderma"),
    "Salmon": ("colour", "salmon"),
    "Wheal": ("additional", "wheal"),
    "Acuminate": ("elevation", "acuminate"),
    "Burrow": ("additional", "burrow"),
    "Gray": ("colour", "gray"),
    "Pigmented": ("additional", "pigmented"),
    "Cyst": ("additional", "cyst"),
}
"""SkinCon's 48 concepts (Daneshjou et al. 2022) in its order: the entry that each belongs to, and its word there."""

DERMOSCOPIC_FEATURES = {
    "pigment_network": "network",
    "negative_network": "negative network",
    "streaks": "streaks",
    "milia_like_cyst": "milia-like cysts",
    "globules": "globules",
}
"""ISIC 2017's five dermoscopic features (Codella et al. 2018) and the report's words for them."""


def seven_point_report(values: Mapping[str, str]) -> Report:
    """States what derm7pt's experts saw (Kawahara et al. 2019).

    Args:
        values: derm7pt's column names (the seven structures and ``elevation``) and their values; a blank value was
            not annotated and says nothing, ``absent`` is recorded as 0.

    Raises:
        ValueError: A column or a value is not one of derm7pt's; the message names it.
    """
    marks: dict[str, bool] = {}
    elevation: dict[str, bool] = {}
    for column, value in values.items():
        word = " ".join(value.lower().split())
        if column == "elevation":
            elevation |= _elevation(word)
        elif column not in SEVEN_POINT_VALUES:
            raise ValueError(f"unknown column {column!r} of the seven-point checklist")
        elif word:
            marks |= _structure(column, word)
    return _expert_report({"patterns": marks, "elevation": elevation})


def _structure(column: str, value: str) -> dict[str, bool]:
    """Returns the term of a structure of derm7pt and whether it is present."""
    name, words = SEVEN_POINT_VALUES[column]
    if value == "absent":
        return {name: False}
    if value not in words:
        raise ValueError(f"{column} = {value!r} is not one of absent, {', '.join(words)}")
    return {words[value]: True}


def _elevation(value: str) -> dict[str, bool]:
    """Returns the elevation that derm7pt states as present; empty where it states none."""
    if value and value not in ("flat", "palpable", "nodular"):
        raise ValueError(f"elevation = {value!r} is not one of flat, palpable, nodular")
    return {value: True} if value else {}


def skincon_report(present: Mapping[str, bool]) -> Report:
    """States SkinCon's concepts, each in the entry where it belongs; a concept that is absent is recorded as 0.

    Raises:
        ValueError: A name is not one of SkinCon's 48 columns.
    """
    entries: dict[str, dict[str, bool]] = {}
    for concept, mark in present.items():
        if concept not in SKINCON_CONCEPTS:
            raise ValueError(f"{concept!r} is not one of SkinCon's 48 concepts")
        name, word = SKINCON_CONCEPTS[concept]
        entries.setdefault(name, {})[word] = bool(mark)
    return _expert_report(entries)


def dermoscopic_report(marks: Mapping[str, bool]) -> Report:
    """States ISIC 2017's dermoscopic features; one that is absent is recorded as 0.

    Raises:
        ValueError: A name is not one of the five features.
    """
    if unknown := [name for name in marks if name not in DERMOSCOPIC_FEATURES]:
        raise ValueError(f"unknown dermoscopic feature {unknown[0]!r}; known: {', '.join(DERMOSCOPIC_FEATURES)}")
    return _expert_report({"patterns": {DERMOSCOPIC_FEATURES[name]: bool(mark) for name, mark in marks.items()}})


def described(report: Report, text: str) -> Report:
    """Returns the report with a dermatologist's free text beside it; blank text leaves it as it is."""
    words = " ".join(text.split())
    if not words:
        return report
    return report.model_copy(update={"description": Description(text=words, source="expert")})


def by_experts(report: Report) -> Report:
    """Returns what experts contributed to a report, which may be one that other writers completed.

    Only experts record that something is absent: a finding with 0 in the evidence of another source is theirs.
    """
    kept: dict[str, Entry] = {}
    for name, entry in report.entries():
        absent = absent_words(name, entry)
        if entry.source == "expert":
            kept[name] = entry
        elif absent:
            kept[name] = Entry(value=(), source="expert", evidence=dict.fromkeys(absent, 0.0))
    description = report.description
    return Report(**kept, description=description if description and description.source == "expert" else None)


def _expert_report(entries: Mapping[str, Mapping[str, bool]]) -> Report:
    made = {
        name: Entry(
            value=tuple(word for word, mark in marks.items() if mark),
            source="expert",
            evidence={word: float(mark) for word, mark in marks.items()},
        )
        for name, marks in entries.items()
        if marks
    }
    return Report(**made)
