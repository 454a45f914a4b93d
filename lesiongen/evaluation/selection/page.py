"""The page on a selection: what was kept and dropped, by diagnosis, with examples of both."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from lesiongen.evaluation.images import pil_images
from lesiongen.imaging import contact_sheet
from lesiongen.records.selection import SelectedImage, SelectionReport
from lesiongen.records.text import number
from lesiongen.reporting import Block, Callout, Facts, Figure, Page, Section, Table, Text

__all__ = ["selection_page"]

SHOWN = 24
"""Images on each sheet."""
JUDGE = (
    "The classifiers that chose these images favour them. Whether the images are worth anything must be judged by "
    "another kind of classifier too: name one with --classifier when you evaluate."
)


def selection_page(name: str, report: SelectionReport, images: NDArray[np.uint8]) -> Page:
    """Lays out the counts by diagnosis and sheets of kept and dropped images.

    Args:
        name: Name of the dataset of kept images.
        report: What became of each image.
        images: The images [n, size, size, 3], in the order of the report.
    """
    kept = sum(one.kept or 0 for one in report.classes)
    page = Page(f"Selection: {name}", f"{kept:,} of {len(report.images):,} synthetic images were kept")
    page.add(Section("Result", _result(report, kept)))
    for outcome, title, order in (
        ("kept", "Kept: the best recognised", -1),
        ("not recognised", "Dropped: recognised worst", 1),
        ("near copy", "Dropped: near copies of training images", -1),
    ):
        if rows := _rows(report.images, outcome, order):
            page.add(Section(title, [_sheet(report.images, images, rows)]))
    return page


def _result(report: SelectionReport, kept: int) -> list[Block]:
    rows = [(one.diagnosis, one.images, one.near_copies, one.unrecognised, one.kept) for one in report.classes]
    blocks: list[Block] = [
        Facts({"images": len(report.images), "kept": kept}),
        *(Text(text) for text in _rules(report)),
        Table(("diagnosis", "images", "near copies", "not recognised", "kept"), rows),
    ]
    if report.classifier is not None:
        blocks.append(Callout("warning", JUDGE))
    if report.threshold is not None and not report.calibrated:
        text = f"{report.n_validation} validation images are too few for a firm threshold of near copies."
        blocks.append(Callout("warning", text))
    return blocks


def _rules(report: SelectionReport) -> Iterator[str]:
    if report.threshold is not None:
        yield (
            f"Near copies are more similar to a training image than {number(report.threshold)}, the "
            f"{report.config['copy_percentile']:g}th percentile of what {report.n_validation} validation images reach. "
            f"Similarity is {report.similarity}."
        )
    if report.classifier is not None:
        scores = ", ".join(number(score) for score in report.validation_balanced_accuracy)
        yield (
            f"Of the other images of each diagnosis the best-recognised {report.config['keep']:.0%} are kept. "
            f"Classifiers ({report.classifier.kind}) trained on real training images gave each image a probability of "
            f"its diagnosis; their balanced accuracy on validation images is {scores}."
        )


def _rows(listed: Sequence[SelectedImage], outcome: str, order: int) -> list[int]:
    """Returns the first images of an outcome, ordered by probability or, of near copies, by similarity."""

    def rank(row: int) -> float:
        value = listed[row].similarity if outcome == "near copy" else listed[row].chance
        return order * (value or 0.0)

    return sorted((row for row, one in enumerate(listed) if one.outcome == outcome), key=rank)[:SHOWN]


def _sheet(listed: Sequence[SelectedImage], images: NDArray[np.uint8], rows: Sequence[int]) -> Figure:
    captions = [f"{listed[row].diagnosis} {_value(listed[row])}" for row in rows]
    return Figure(contact_sheet(pil_images(images[list(rows)]), captions), "Synthetic images with their diagnosis")


def _value(image: SelectedImage) -> str:
    value = image.similarity if image.outcome == "near copy" or image.chance is None else image.chance
    return number(value, ".2f")
