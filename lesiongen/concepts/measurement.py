"""Measures a lesion's concepts from pixels, by the same code for real and synthetic images."""

from dataclasses import dataclass, field

import numpy as np
from PIL import Image
from scipy import ndimage

from lesiongen.concepts import outline
from lesiongen.concepts.artefacts import fine_width
from lesiongen.concepts.border import irregularity, trace_border
from lesiongen.concepts.colour import SkinTone, colour_shares, skin_tone
from lesiongen.concepts.regions import bounding_box, median_colour
from lesiongen.concepts.segmentation import Mask, Plane, Segmentation, segment, without_fine_structure
from lesiongen.concepts.texture import texture
from lesiongen.imaging import square

__all__ = ["Measurement", "measure"]

WORKING_SIDE = 128
"""Regions are measured in an image of so many pixels on a side; on 96 the outline agrees less with the truth."""

BORDER_SIDE = 256
"""The border alone is looked at in an image of up to so many pixels."""

LEAST_BORDER = 0.5
"""Share of the rays from a lesion's middle that must cross a visible border."""

SUBSTANTIAL = 0.1
"""Share of the lesion from which a colour counts."""

RIM = 0.03
"""Share of the lesion's radius at its border where skin shines through, and whose colours are not counted."""

STEADY = 0.9
"""Share of a lesion whose colours count: where they change the most one passes into another, through a third."""

LARGEST_CONTACT = 0.2
"""Share of the image's edge beyond which a lesion counts as cut off, and its outline as not measurable."""


LEAST_SKIN = 0.04
NEAR = 0.22
"""Distance from the lesion, in image sides, up to which the tone is measured."""

COARSE = 4
"""Pixels in whose steps that distance is measured, which divide `WORKING_SIDE`: it need not be exact."""

NO_SURFACE = {"texture": "an image shows the structure of the colours, not what the surface feels like"}


@dataclass(frozen=True)
class Measurement:
    """What could be measured; None where the image does not allow it, with the reason in ``not_measurable``.

    ``area_share`` of the visible image; ``asymmetry`` about two axes, larger first, each in [0, 1];
    ``irregularity`` and ``border_width`` in lesion radii; ``colours`` by share, largest first; ``texture`` by measure.
    ``lesion`` is the mask [side, side] over the image's centre square.
    """

    lesion: Mask
    area_share: float | None = None
    elongation: float | None = None
    asymmetry: tuple[float, float] | None = None
    irregularity: float | None = None
    border_width: float | None = None
    colours: dict[str, float] = field(default_factory=dict)
    texture: dict[str, float] = field(default_factory=dict)
    skin_tone: SkinTone | None = None
    not_measurable: dict[str, str] = field(default_factory=dict)

    @property
    def ita(self) -> float | None:
        """The individual typology angle of the skin in degrees."""
        return self.skin_tone.ita if self.skin_tone else None

    @property
    def tone(self) -> str | None:
        """The likeliest class of the skin's tone."""
        return self.skin_tone.name if self.skin_tone else None


def measure(image: Image.Image) -> Measurement:
    """Measures area, outline, border, colours, structure and skin tone of the lesion in a close-up.

    What is measured is the image's centre square, which is what a generator is trained on and draws.
    """
    centre = square(image, int(np.clip(min(image.size), WORKING_SIDE, BORDER_SIDE)))
    found = segment(centre.resize((WORKING_SIDE, WORKING_SIDE), Image.Resampling.BOX))
    tone = skin_tone(found.lab, _skin_near(found))
    reasons = dict(NO_SURFACE)
    if tone is None:
        reasons["skin_tone"] = "too little skin in view, or its colours are not natural: the light has a cast"
    if found.problem is not None or found.skin.mean() <= LEAST_SKIN:
        reasons = {"lesion": found.problem or "no skin around the lesion", **reasons}
        return Measurement(found.lesion, skin_tone=tone, not_measurable=reasons)
    box = bounding_box(found.lesion, fine_width(WORKING_SIDE))
    structure = texture(found.lab[box][..., 0], found.lesion[box], found.hidden[box], fine_width(WORKING_SIDE))
    return Measurement(
        found.lesion,
        area_share=float(found.lesion.sum() / found.visible.sum()),
        colours=_colours(found, median_colour(found.lab[found.skin])),
        texture=structure or {},
        skin_tone=tone,
        **_outline(found, centre, reasons),  # type: ignore[arg-type]
        not_measurable=reasons,
    )


def _skin_near(found: Segmentation) -> Mask:
    """The skin that nothing lies over, and of it what is near the lesion: corners are often badly lit."""
    bare = found.skin & ~found.hidden
    if found.lesion.any():
        away = COARSE * ndimage.distance_transform_edt(~found.lesion[::COARSE, ::COARSE])
        near: Mask = bare & (away < NEAR * WORKING_SIDE).repeat(COARSE, axis=0).repeat(COARSE, axis=1)
        if near.mean() > LEAST_SKIN:
            return near
    return bare


def _outline(found: Segmentation, centre: Image.Image, reasons: dict[str, str]) -> dict[str, object]:
    """The form and the border; adds to the reasons where the image does not show them."""
    contact = outline.frame_contact(found.lesion)
    if contact > LARGEST_CONTACT:
        reasons["outline"] = f"the lesion reaches {contact:.0%} of the image's edge"
        return {}
    border = trace_border(np.asarray(centre), found.lesion, found.lab, found.hidden)
    if border.share < LEAST_BORDER or border.width is None:
        reasons["outline"] = f"only {border.share:.0%} of the outline stands out from the skin"
        return {}
    return {
        "elongation": outline.elongation(found.lesion),
        "asymmetry": outline.fold_asymmetry(found.lesion),
        "irregularity": irregularity(border.radii),
        "border_width": border.width,
    }


def _colours(found: Segmentation, skin: Plane) -> dict[str, float]:
    """Returns the share of each substantial colour inside the lesion, the largest first; the rim does not count."""
    fine = fine_width(WORKING_SIDE)
    box = bounding_box(found.lesion, fine)
    lesion, smooth = found.lesion[box], without_fine_structure(found.lab[box], fine)
    radius = np.sqrt(lesion.sum() / np.pi)
    inner = ndimage.distance_transform_edt(np.pad(lesion, 1))[1:-1, 1:-1] > RIM * radius
    change = sum(np.square(slope).sum(axis=-1) for slope in np.gradient(smooth, axis=(0, 1)))
    steady = inner & (change <= np.quantile(change[inner], STEADY))
    shares = colour_shares(smooth[steady], skin)
    kept = {name: share for name, share in shares.items() if share >= SUBSTANTIAL}
    return dict(sorted(kept.items(), key=lambda item: -item[1]))
