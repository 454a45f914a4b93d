"""The figure of concept fidelity: what is measured, against what captions asked for."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from lesiongen.evaluation.report.figures import COLOURS
from lesiongen.records.concept_fidelity import ConceptLevel, GradedConcept, Shown
from lesiongen.reporting import figure_image

__all__ = ["concepts_figure"]

COLUMNS = 3
SIDES: tuple[Shown, ...] = ("real", "reconstruction", "synthetic")
APART = 0.16
"""Distance between the marks of two kinds of images, in grades."""


def concepts_figure(concepts: Sequence[GradedConcept]) -> Image.Image:
    """Draws median and quartiles of what is measured, for each grade that captions ask for, a panel for each concept.

    Args:
        concepts: Those that were computed; at least one.
    """
    rows = -(-len(concepts) // COLUMNS)
    columns = min(len(concepts), COLUMNS)
    figure = Figure(figsize=(3.1 * columns + 0.3, 2.7 * rows + 0.5))
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes, concept in zip(panels, concepts, strict=False):
        _panel(axes, concept)
    for axes in panels[len(concepts) :]:
        axes.set_axis_off()
    marks = {label: mark for axes in panels for mark, label in zip(*axes.get_legend_handles_labels(), strict=True)}
    figure.legend(marks.values(), marks.keys(), loc="outside upper center", ncols=len(marks), frameon=False)
    figure.set_layout_engine("constrained")
    return figure_image(figure)


def _panel(axes: Axes, concept: GradedConcept) -> None:
    grades = list(dict.fromkeys(level.asked for side in SIDES for level in _levels(concept, side)))
    for side in SIDES:
        levels = [level for level in _levels(concept, side) if level.median is not None]
        places = np.array([grades.index(level.asked) for level in levels]) + APART * (SIDES.index(side) - 1)
        middles = np.array([level.median for level in levels], dtype=float)
        bounds = np.array([[level.first_quartile for level in levels], [level.third_quartile for level in levels]])
        if levels:
            errors = np.abs(bounds.astype(float) - middles)
            axes.errorbar(
                places, middles, yerr=errors, fmt="o", color=COLOURS[side], label=side, capsize=2, markersize=5
            )
    axes.set_xticks(range(len(grades)), [_short(grade) for grade in grades], fontsize=8)
    axes.set_xlim(-0.5, len(grades) - 0.5)
    axes.set_title(concept.concept, fontsize=10)
    axes.set_ylabel(concept.measured, fontsize=8)
    axes.tick_params(axis="y", labelsize=8)
    axes.grid(axis="y", color="#e4e4e4")
    axes.set_axisbelow(True)


def _levels(concept: GradedConcept, side: Shown) -> Sequence[ConceptLevel]:
    return concept.scores[side].levels if side in concept.scores else ()


def _short(grade: str) -> str:
    """Leaves out what the title says, and breaks what is long."""
    return grade.removesuffix(" border").replace("asymmetric in ", "").replace(" colours", "").replace(" colour", "")
