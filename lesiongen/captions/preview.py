"""A sheet that shows what the writers saw: the image, its mask, the report, the caption and its tokens."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image
from scipy import ndimage

from lesiongen.concepts import Composed, Measurement, Report
from lesiongen.concepts.measurement import NO_SURFACE
from lesiongen.dataset import Sample, diagnosis_phrase
from lesiongen.imaging import square
from lesiongen.reporting import Block, Callout, Facts, Figure, Page, Section, Table

__all__ = ["Shown", "outlined", "preview_page"]

OUTLINE = (0, 230, 60)
SIDE = 288
GAP = 8
DIMMED = 0.3
"""What is left of the brightness outside the lesion."""


@dataclass(frozen=True)
class Shown:
    """One image of the preview."""

    sample: Sample
    image: Image.Image
    report: Report
    composed: Composed
    measurement: Measurement | None


def preview_page(name: str, shown: Sequence[Shown], budget: int) -> Page:
    """Lays out, for each image, the lesion's mask, the caption, its tokens, and where every entry comes from.

    Args:
        name: Of the captioned dataset.
        shown: The images.
        budget: Tokens that a caption may have.
    """
    page = Page(f"Captions of {name}", f"{len(shown)} images with the lesion as it was measured")
    for item in shown:
        title = f"{item.sample.image_id} · {diagnosis_phrase(item.sample.diagnosis)}"
        page.add(Section(title, _blocks(item, budget)))
    return page


def _blocks(item: Shown, budget: int) -> list[Block]:
    composed = item.composed
    facts = {"tokens": f"{composed.tokens} of {budget}", "entries": len(list(item.report.entries()))}
    if composed.dropped:
        facts["did not fit"] = ", ".join(composed.dropped)
    figure = Figure(_pair(item), f"{item.sample.image_id}, and the lesion in it", _caption(item.measurement))
    return [figure, Callout("info", composed.text), Facts(facts), _entries(item)]


def _caption(measurement: Measurement | None) -> str:
    if measurement is None:
        return ""
    # What no image allows says nothing of this one.
    reasons = {what: why for what, why in measurement.not_measurable.items() if what not in NO_SURFACE}
    return "; ".join(f"{what.replace('_', ' ')}: {why}" for what, why in reasons.items())


def _pair(item: Shown) -> Image.Image:
    """The image, and beside it the lesion with everything else dimmed."""
    sheet = Image.new("RGB", (2 * SIDE + GAP, SIDE), "white")
    sheet.paste(square(item.image, SIDE), (0, 0))
    sheet.paste(outlined(item.image, item.measurement, SIDE, outside=DIMMED), (SIDE + GAP, 0))
    return sheet


def outlined(image: Image.Image, measurement: Measurement | None, side: int, outside: float = 1.0) -> Image.Image:
    """Returns an image's centre square with the lesion's outline.

    Args:
        image: The image.
        measurement: What was measured of it; without a lesion there is no outline.
        side: Of the result, in pixels.
        outside: Brightness of what is not lesion, in [0, 1].
    """
    shown = square(image, side)
    if measurement is None or not measurement.lesion.any():
        return shown
    mask = np.asarray(Image.fromarray(measurement.lesion).resize((side, side), Image.Resampling.NEAREST))
    soft = ndimage.gaussian_filter(mask.astype(np.float32), side / 128) > 0.5
    pixels = np.array(shown)
    pixels[~soft] = (pixels[~soft] * outside).astype(np.uint8)
    pixels[ndimage.binary_dilation(soft, iterations=max(side // 144, 1)) & ~soft] = OUTLINE
    return Image.fromarray(pixels)


def _entries(item: Shown) -> Table:
    rows = []
    for name, entry in item.report.entries():
        words = ", ".join(entry.value) or "nothing stated"
        rows.append((name.replace("_", " "), words, entry.source, _numbers(entry.evidence), _fate(item.composed, name)))
    description = item.report.description
    if description is not None:
        fate = _fate(item.composed, "description")
        rows.append(("description", description.text, description.source, "", fate))
    return Table(("entry", "value", "source", "evidence", "left out"), rows)


def _fate(composed: Composed, name: str) -> str:
    return ", ".join(composed.shortened.get(name, ()))


def _numbers(evidence: dict[str, float]) -> str:
    return ", ".join(f"{name} {number:.3g}" for name, number in evidence.items())
