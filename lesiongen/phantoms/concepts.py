"""Draws what a phantom shows before anything is rendered."""

from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

from lesiongen.phantoms.profiles import CLASS_WEIGHTS, PROFILES, TONE_WEIGHTS, Profile
from lesiongen.seeds import derive_seed

__all__ = ["PhantomConcepts", "PhantomConfig", "draw_concepts"]

Presence = Literal["absent", "regular", "irregular"]
Network = Literal["absent", "typical", "atypical"]
Vessels = Literal["absent", "arborizing", "dotted", "lacunae"]

ITA_RANGES = ((56.0, 70.0), (42.0, 54.0), (29.0, 40.0), (12.0, 27.0), (-26.0, 8.0), (-58.0, -33.0))
"""Individual typology angle of Fitzpatrick I to VI, in degrees: inside Del Bino's six classes, in order."""

BORROW = 0.03
"""Chance that a lesion takes its shape, its colours or its structures from another diagnosis: the overlap."""

SAME_PATIENT = 0.12
"""Share of the lesions that belong to the patient of the lesion before."""


class PhantomConfig(BaseModel):
    """How many phantoms, of which kinds.

    ``class_weights`` and ``tone_weights`` (Fitzpatrick I to VI) need not sum to one. ``images_per_lesion`` is
    the mean number of photographs of a lesion (HAM10000: 10,015 of 7,470); ``duplicate_share`` is the share of
    images that copy an earlier one exactly under another lesion's name, as public collections hold them.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    n: int = Field(600, ge=1)
    seed: int = 0
    size: int = Field(64, ge=32, le=1024)
    class_weights: dict[str, float] = Field(default_factory=lambda: dict(CLASS_WEIGHTS))
    tone_weights: tuple[float, float, float, float, float, float] = TONE_WEIGHTS
    images_per_lesion: float = Field(1.34, ge=1.0, le=10.0)
    duplicate_share: float = Field(0.005, ge=0.0, le=0.5)

    @model_validator(mode="after")
    def _weights_are_usable(self) -> "PhantomConfig":
        unknown = sorted(set(self.class_weights) - set(PROFILES))
        if unknown:
            raise ValueError(f"class_weights: unknown diagnosis {unknown[0]!r}; known: {', '.join(PROFILES)}")
        for name, weights in (
            ("class_weights", self.class_weights.values()),
            ("tone_weights", self.tone_weights),
        ):
            if min(weights, default=0.0) < 0 or sum(weights) <= 0:
                raise ValueError(f"{name} must not be negative and must sum to more than zero")
        return self


class PhantomConcepts(BaseModel):
    """The truth about one phantom.

    ``area_share`` is the lesion's share of the image area, ``asymmetry`` and ``border_irregularity`` lie in
    [0, 1] (the amplitude of the lopsided, respectively the ragged part of the outline), ``softness`` is the
    width of the border in lesion radii, ``centre`` in image half-widths, ``ita`` in degrees, ``orientation`` in
    radians.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    image_id: str
    lesion_id: str
    patient_id: str
    diagnosis: str
    age: float | None
    sex: Literal["female", "male"]
    site: str
    skin_tone: int
    ita: float
    area_share: float
    elongation: float
    orientation: float
    centre: tuple[float, float]
    asymmetry: float
    border_irregularity: float
    softness: float
    colours: tuple[str, ...]
    colour_shares: tuple[float, ...]
    network: Network
    globules: Presence
    streaks: Presence
    vessels: Vessels
    blue_white_veil: bool
    scale: bool
    milia_like_cysts: bool
    central_white_patch: bool
    hairs: int
    ruler: bool
    vignette: bool
    lesion_seed: int
    view_seed: int


def draw_concepts(config: PhantomConfig, index: int) -> PhantomConcepts:
    """Draws image ``index``; it depends on the seed, the index and the weights, not on ``n`` or the size."""
    source = _source(config, index)
    names = {
        "image_id": f"PHANTOM_{index:07d}",
        "lesion_id": f"LESION_{_first_of_lesion(config, index):07d}",
        "patient_id": f"PATIENT_{_first_of_patient(config, index):07d}",
    }
    lesion = _first_of_lesion(config, source)
    patient = _first_of_patient(config, source)
    drawn = {
        **_draw_patient(config, patient),
        **_draw_lesion(config, lesion),
    }
    drawn = _draw_view(config, source, drawn)
    return PhantomConcepts(**names, **drawn)


def _rng(config: PhantomConfig, purpose: str, index: int) -> np.random.Generator:
    return np.random.default_rng(derive_seed(config.seed, "phantom", purpose, index))


def _chance(config: PhantomConfig, purpose: str, index: int) -> float:
    return derive_seed(config.seed, "phantom", purpose, index) / 2.0**63


def _is_copy(config: PhantomConfig, index: int) -> bool:
    return index > 0 and _chance(config, "copy", index) < config.duplicate_share


def _source(config: PhantomConfig, index: int) -> int:
    """Returns the index of the phantom that a copy shows; of no copy, its own."""
    while _is_copy(config, index):
        index = derive_seed(config.seed, "phantom", "copied", index) % index
    return index


def _first_of_lesion(config: PhantomConfig, index: int) -> int:
    """Returns the index of the first image of the same lesion."""
    repeat = 1.0 - 1.0 / config.images_per_lesion
    while index > 0 and not _is_copy(config, index) and not _is_copy(config, index - 1):
        if _chance(config, "repeat", index) >= repeat:
            break
        index -= 1
    return index


def _first_of_patient(config: PhantomConfig, index: int) -> int:
    """Returns the index of the first image of the same patient."""
    index = _first_of_lesion(config, index)
    while index > 0 and not _is_copy(config, index) and not _is_copy(config, index - 1):
        if _chance(config, "patient", index) >= SAME_PATIENT:
            break
        index = _first_of_lesion(config, index - 1)
    return index


def _pick(rng: np.random.Generator, weights: dict[str, float]) -> str:
    names = list(weights)
    shares = np.array([weights[name] for name in names], dtype=float)
    return names[int(rng.choice(len(names), p=shares / shares.sum()))]


def _draw_diagnosis(config: PhantomConfig, lesion: int) -> str:
    return _pick(_rng(config, "diagnosis", lesion), config.class_weights)


def _draw_patient(config: PhantomConfig, patient: int) -> dict[str, object]:
    rng = _rng(config, "person", patient)
    profile = PROFILES[_draw_diagnosis(config, patient)]
    tone = int(rng.choice(6, p=np.array(config.tone_weights) / sum(config.tone_weights)))
    age = float(np.clip(5 * round(rng.normal(*profile.age) / 5), 5, 85))
    return {
        "skin_tone": tone + 1,
        "ita": float(rng.uniform(*ITA_RANGES[tone])),
        "age": None if rng.random() < 0.01 else age,
        "sex": "male" if rng.random() < 0.54 else "female",
    }


def _draw_lesion(config: PhantomConfig, lesion: int) -> dict[str, object]:
    diagnosis = _draw_diagnosis(config, lesion)
    rng = _rng(config, "lesion", lesion)
    shape, colour, structure = (_lender(rng, diagnosis) for _ in range(3))
    return {
        "diagnosis": diagnosis,
        "site": str(rng.choice(PROFILES[diagnosis].sites)),
        "lesion_seed": int(rng.integers(2**62)),
        **_draw_shape(rng, shape),
        **_draw_surface(rng, colour, structure),
    }


def _lender(rng: np.random.Generator, diagnosis: str) -> Profile:
    names = [name for name in PROFILES if name != diagnosis]
    other = names[int(rng.integers(len(names)))]
    return PROFILES[other if rng.random() < BORROW else diagnosis]


def _draw_shape(rng: np.random.Generator, profile: Profile) -> dict[str, object]:
    return {
        "area_share": float(rng.uniform(*profile.area)),
        "elongation": float(rng.uniform(*profile.elongation)),
        "asymmetry": float(rng.beta(*profile.asymmetry_beta)),
        "border_irregularity": float(rng.beta(*profile.irregularity_beta)),
        "softness": float(rng.uniform(*profile.softness)),
    }


def _draw_surface(rng: np.random.Generator, colour: Profile, structure: Profile) -> dict[str, object]:
    palettes = list(colour.palettes)
    weights = np.array([colour.palettes[palette] for palette in palettes])
    colours = palettes[int(rng.choice(len(palettes), p=weights / weights.sum()))]
    mean_shares = [1.0 if name == "white" else 4.0 for name in colours]
    shares = 0.12 + rng.dirichlet(mean_shares) * (1 - 0.12 * len(colours))
    return {
        "colours": colours,
        "colour_shares": tuple(float(share) for share in shares),
        "network": _pick(rng, structure.network),
        "globules": _pick(rng, structure.globules),
        "streaks": _pick(rng, structure.streaks),
        "vessels": _pick(rng, structure.vessels),
        "blue_white_veil": bool(rng.random() < structure.veil) and "blue-gray" in colours,
        "scale": bool(rng.random() < structure.scale),
        "milia_like_cysts": bool(rng.random() < structure.cysts),
        "central_white_patch": bool(rng.random() < structure.central_white) and "white" in colours,
    }


def _draw_view(config: PhantomConfig, index: int, drawn: dict[str, object]) -> dict[str, object]:
    rng = _rng(config, "view", index)
    area = float(drawn["area_share"]) * float(rng.uniform(0.88, 1.12))  # type: ignore[arg-type]
    return {
        **drawn,
        "area_share": area,
        "orientation": float(rng.uniform(0, 2 * np.pi)),
        "centre": tuple(float(value) for value in rng.uniform(-0.1, 0.1, 2)),
        "hairs": int(rng.integers(2, 9)) if rng.random() < 0.25 else 0,
        "ruler": bool(rng.random() < 0.08),
        "vignette": bool(rng.random() < 0.15),
        "view_seed": int(rng.integers(2**62)),
    }
