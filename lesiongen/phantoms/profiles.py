"""What each diagnosis tends to look like under the dermatoscope: the odds of a lesion's concepts.

The tendencies follow the textbook descriptions behind the seven-point checklist (Argenziano et al. 1998) and
the ABCD rule (Stolz et al. 1994); the numbers are ours, chosen so that the classes overlap.
"""

from dataclasses import dataclass, field

__all__ = ["CLASS_WEIGHTS", "PROFILES", "SITES", "TONE_WEIGHTS", "Profile"]

CLASS_WEIGHTS = {"nv": 0.34, "mel": 0.16, "bkl": 0.16, "bcc": 0.12, "akiec": 0.10, "vasc": 0.06, "df": 0.06}
"""Unbalanced like HAM10000, tempered so that a few hundred images hold every class."""

TONE_WEIGHTS = (0.24, 0.30, 0.22, 0.13, 0.07, 0.04)
"""Fitzpatrick I to VI: dark skin is rare, as it is in the public collections."""

SITES = (
    "abdomen", "acral", "back", "chest", "ear", "face", "foot", "genital", "hand", "lower extremity", "neck",
    "scalp", "trunk", "upper extremity",
)  # fmt: skip


@dataclass(frozen=True)
class Profile:
    """Odds of one diagnosis: ranges are uniform, ``*_beta`` are Beta parameters, mappings are weights."""

    area: tuple[float, float]
    elongation: tuple[float, float]
    asymmetry_beta: tuple[float, float]
    irregularity_beta: tuple[float, float]
    softness: tuple[float, float]
    palettes: dict[tuple[str, ...], float]
    network: dict[str, float] = field(default_factory=lambda: {"absent": 1.0})
    globules: dict[str, float] = field(default_factory=lambda: {"absent": 1.0})
    streaks: dict[str, float] = field(default_factory=lambda: {"absent": 1.0})
    vessels: dict[str, float] = field(default_factory=lambda: {"absent": 1.0})
    veil: float = 0.0
    scale: float = 0.02
    cysts: float = 0.02
    central_white: float = 0.0
    age: tuple[float, float] = (60.0, 15.0)
    sites: tuple[str, ...] = SITES


LIGHT, DARK, RED, WHITE, BLUE, BLACK = "light brown", "dark brown", "red", "white", "blue-gray", "black"

PROFILES = {
    "nv": Profile(
        area=(0.06, 0.34),
        elongation=(1.0, 1.35),
        asymmetry_beta=(1.5, 5.0),
        irregularity_beta=(1.3, 6.0),
        softness=(0.08, 0.2),
        palettes={(LIGHT,): 3, (LIGHT, DARK): 5, (DARK,): 2, (LIGHT, RED): 1, (LIGHT, DARK, BLACK): 0.6},
        network={"typical": 6, "absent": 3, "atypical": 1},
        globules={"absent": 5, "regular": 4, "irregular": 1},
        streaks={"absent": 18, "regular": 1.5, "irregular": 0.5},
        age=(45.0, 16.0),
        sites=("back", "trunk", "abdomen", "lower extremity", "upper extremity", "chest", "foot"),
    ),
    "mel": Profile(
        area=(0.12, 0.45),
        elongation=(1.0, 1.6),
        asymmetry_beta=(4.0, 2.2),
        irregularity_beta=(3.6, 2.4),
        softness=(0.05, 0.16),
        palettes={
            (LIGHT, DARK, BLACK): 4,
            (LIGHT, DARK, BLUE): 4,
            (LIGHT, DARK, BLUE, BLACK): 3,
            (WHITE, LIGHT, DARK, BLUE): 2,
            (RED, DARK, BLUE): 2,
            (LIGHT, DARK): 1,
        },
        network={"atypical": 7, "absent": 2, "typical": 1},
        globules={"irregular": 5, "absent": 5, "regular": 1},
        streaks={"absent": 4, "irregular": 5, "regular": 0.5},
        vessels={"absent": 8, "dotted": 1},
        veil=0.45,
        age=(62.0, 14.0),
        sites=("back", "trunk", "lower extremity", "upper extremity", "face", "chest"),
    ),
    "bkl": Profile(
        area=(0.1, 0.42),
        elongation=(1.0, 1.5),
        asymmetry_beta=(2.0, 3.2),
        irregularity_beta=(2.2, 3.4),
        softness=(0.02, 0.07),
        palettes={
            (LIGHT,): 4,
            (LIGHT, DARK): 4,
            (WHITE, LIGHT): 2.5,
            (DARK,): 1,
            (LIGHT, BLUE): 1,
            (LIGHT, RED): 0.5,
        },
        network={"absent": 9, "typical": 0.8, "atypical": 0.4},
        globules={"absent": 8, "regular": 1, "irregular": 1},
        vessels={"absent": 9, "dotted": 1},
        scale=0.2,
        cysts=0.9,
        age=(66.0, 12.0),
        sites=("back", "trunk", "face", "lower extremity", "upper extremity", "scalp", "neck"),
    ),
    "bcc": Profile(
        area=(0.08, 0.36),
        elongation=(1.0, 1.45),
        asymmetry_beta=(2.4, 2.8),
        irregularity_beta=(2.2, 3.4),
        softness=(0.05, 0.14),
        palettes={(RED,): 4, (RED, WHITE): 3, (RED, BLUE): 5, (RED, LIGHT): 1.5, (RED, LIGHT, BLUE): 2},
        globules={"absent": 3, "irregular": 2},
        vessels={"arborizing": 9, "absent": 1.5, "dotted": 0.5},
        scale=0.15,
        age=(68.0, 12.0),
        sites=("face", "back", "trunk", "lower extremity", "neck", "chest", "ear"),
    ),
    "akiec": Profile(
        area=(0.1, 0.42),
        elongation=(1.0, 1.5),
        asymmetry_beta=(2.4, 2.8),
        irregularity_beta=(2.8, 2.8),
        softness=(0.12, 0.28),
        palettes={(RED,): 5, (RED, WHITE): 3, (RED, LIGHT): 5, (LIGHT,): 1},
        network={"absent": 8, "typical": 1, "atypical": 0.5},
        vessels={"dotted": 7, "absent": 2, "arborizing": 0.5},
        scale=0.88,
        age=(69.0, 10.0),
        sites=("face", "lower extremity", "upper extremity", "hand", "scalp", "ear", "chest"),
    ),
    "vasc": Profile(
        area=(0.05, 0.28),
        elongation=(1.0, 1.3),
        asymmetry_beta=(1.8, 4.0),
        irregularity_beta=(1.6, 4.6),
        softness=(0.02, 0.08),
        palettes={(RED,): 6, (RED, BLUE): 2, (RED, BLACK): 2, (RED, WHITE): 0.5},
        vessels={"lacunae": 9, "absent": 1},
        age=(52.0, 18.0),
        sites=("trunk", "back", "abdomen", "lower extremity", "upper extremity", "chest"),
    ),
    "df": Profile(
        area=(0.05, 0.24),
        elongation=(1.0, 1.3),
        asymmetry_beta=(1.5, 4.6),
        irregularity_beta=(1.4, 5.4),
        softness=(0.12, 0.26),
        palettes={(LIGHT, WHITE): 8, (LIGHT,): 1, (LIGHT, RED): 1, (LIGHT, RED, WHITE): 3},
        network={"typical": 7, "absent": 3},
        globules={"absent": 9, "regular": 1},
        vessels={"absent": 8, "dotted": 2},
        scale=0.1,
        central_white=0.95,
        age=(51.0, 13.0),
        sites=("lower extremity", "upper extremity", "trunk", "back"),
    ),
}
