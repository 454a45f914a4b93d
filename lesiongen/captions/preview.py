"""A page that shows what the writers saw: the image, the outline, the caption."""

from dataclasses import dataclass

import numpy as np
from PIL import Image
from scipy import ndimage

from lesiongen.concepts import Composed, Measurement, Report
from lesiongen.dataset import Sample
from lesiongen.imaging import square
from lesiongen.reporting import Page, Picture, Section, Table

__all__ = ["Shown", "preview_page"]

OUTLINE = (0, 230, 60)
SIDE = 256


@dataclass(frozen=True)
class Shown:
    """One image of the preview."""

    sample: Sample
    image: Image.Image
    report: Report
    composed: Composed
    measurement: Measurement | None


def preview_page(name: str, shown: list[Shown]) -> Page:
    """Lays out each image with the lesion's outline, its caption and where every entry comes from."""
    page = Page(title=f"Captions of {name}", subtitle=f"{len(shown)} images; the lesion's outline as it was measured")
    for item in shown:
        picture = Picture(_outlined(item), f"{item.sample.image_id} with the lesion's outline", item.composed.text)
        page.add(Section(f"{item.sample.image_id} ({item.sample.diagnosis})", [picture, _entries(item)]))
    return page


def _entries(item: Shown) -> Table:
    rows = [
        (name, ", ".join(entry.value), entry.source, _numbers(entry.evidence), "dropped" if name in dropped else "")
        for dropped in [item.composed.dropped]
        for name, entry in item.report.entries()
    ]
    return Table(("entry", "value", "source", "evidence", ""), rows, f"{item.composed.tokens} tokens")


def _numbers(evidence: dict[str, float]) -> str:
    return ", ".join(f"{name} {number:.3g}" for name, number in evidence.items())


def _outlined(item: Shown) -> Image.Image:
    picture = square(item.image, SIDE)
    if item.measurement is None or not item.measurement.lesion.any():
        return picture
    mask = np.asarray(Image.fromarray(item.measurement.lesion).resize((SIDE, SIDE)))
    pixels = np.array(picture)
    pixels[mask ^ ndimage.binary_erosion(mask)] = OUTLINE
    return Image.fromarray(pixels)
