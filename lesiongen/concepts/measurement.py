"""Measures a lesion's concepts from pixels, by the same code for real and synthetic images."""

from dataclasses import dataclass, field

import numpy as np
from PIL import Image
from scipy import ndimage

from lesiongen.concepts import outline
from lesiongen.concepts.colour import colour_shares, skin_ita, tone_of
from lesiongen.concepts.segmentation import Mask, Segmentation, segment, without_fine_structure
from lesiongen.imaging import square

__all__ = ["Measurement", "measure"]

WORKING_SIDES = (96, 128)
"""Pictures are measured with a side of at least and at most so many pixels: outlines need no more."""

SUBSTANTIAL = 0.08
"""Share of the lesion from which a colour counts."""

RIM = 0.06
"""Share of the lesion's radius at its border where skin shines through, and whose colours are not counted."""

LARGEST_CONTACT = 0.2
"""Share of the picture's edge beyond which a lesion counts as cut off, and its outline as not measurable."""


@dataclass(frozen=True)
class Measurement:
    """What could be measured; None where the image does not allow it, with the reason in ``not_measurable``.

    ``area_share`` of the visible picture; ``asymmetry`` about two axes, larger first, each in [0, 1];
    ``irregularity`` and ``border_width`` in lesion radii; ``colours`` by share, largest first; ``ita`` in degrees.
    ``lesion`` is the mask [side, side] over the picture's centre square.
    """

    lesion: Mask
    area_share: float | None = None
    elongation: float | None = None
    asymmetry: tuple[float, float] | None = None
    irregularity: float | None = None
    border_width: float | None = None
    colours: dict[str, float] = field(default_factory=dict)
    ita: float | None = None
    tone: str | None = None
    not_measurable: dict[str, str] = field(default_factory=dict)


def measure(image: Image.Image) -> Measurement:
    """Measures area, outline, colours and skin tone of the lesion in a close-up.

    What is measured is the picture's centre square, which is what a generator is trained on and draws.
    """
    found = segment(square(image, int(np.clip(min(image.size), *WORKING_SIDES))))
    skin = np.median(found.lab[found.skin], axis=0) if found.skin.mean() > 0.04 else None
    ita = skin_ita(skin) if skin is not None else None
    reasons = {} if ita is not None else {"skin_tone": "too little skin in view, or its colours are not natural"}
    tone = tone_of(ita) if ita is not None else None
    if found.problem is not None or skin is None:
        reasons |= {"lesion": found.problem or "no skin around the lesion"}
        return Measurement(found.lesion, ita=ita, tone=tone, not_measurable=reasons)
    contact = outline.frame_contact(found.lesion)
    if contact > LARGEST_CONTACT:
        reasons |= {"outline": f"the lesion reaches {contact:.0%} of the picture's edge"}
    shape = _shape(found) if contact <= LARGEST_CONTACT else {}
    return Measurement(
        found.lesion,
        area_share=float(found.lesion.sum() / found.visible.sum()),
        colours=_colours(found, skin),
        ita=ita,
        tone=tone,
        not_measurable=reasons,
        **shape,  # type: ignore[arg-type]
    )


def _shape(found: Segmentation) -> dict[str, object]:
    return {
        "elongation": outline.elongation(found.lesion),
        "asymmetry": outline.fold_asymmetry(found.lesion),
        "irregularity": outline.border_irregularity(found.lesion),
        "border_width": outline.border_width(found.lesion, np.linalg.norm(found.residual, axis=-1), found.contrast),
    }


def _colours(found: Segmentation, skin: np.ndarray) -> dict[str, float]:
    radius = np.sqrt(found.lesion.sum() / np.pi)
    inner = ndimage.distance_transform_edt(found.lesion) > RIM * radius
    shares = colour_shares(without_fine_structure(found.lab)[inner], skin)
    kept = {name: share for name, share in shares.items() if share >= SUBSTANTIAL}
    return dict(sorted(kept.items(), key=lambda item: -item[1]))
