"""The page on a cross-fitted evaluation."""

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure as Drawing
from PIL import Image

from lesiongen.evaluation.measures.classifiers import FurtherClassifiers
from lesiongen.evaluation.measures.malignancy import MalignantDiagnoses
from lesiongen.evaluation.measures.reconstruction import ReconstructionCeiling
from lesiongen.evaluation.measures.utility import Utility
from lesiongen.evaluation.report.figures import COLOURS, confusion_figure, recall_figure
from lesiongen.evaluation.report.verdict import comparison_findings, parts_finding
from lesiongen.records.crossfit import CrossfitRecord
from lesiongen.records.text import number
from lesiongen.reporting import Block, Callout, Facts, Figure, Page, Section, Table, Text, figure_image

__all__ = ["crossfit_figures", "crossfit_page"]


def crossfit_figures(record: CrossfitRecord) -> dict[str, Image.Image]:
    """Draws the balanced accuracy by fold, the recall of each class and the confusion matrices."""
    pooled = record.pooled
    return {
        "folds": _folds_figure(record),
        "recall": recall_figure(pooled.utility, pooled.classes),
        "confusion": confusion_figure(pooled.utility, pooled.classes),
    }


def crossfit_page(record: CrossfitRecord, figures: Mapping[str, Image.Image]) -> Page:
    """Lays out the findings over all folds, each fold, and the scores by diagnosis and by group of patients."""
    pooled = record.pooled
    subtitle = (
        f"{len(record.folds)} folds of {record.dataset.uri}: tested on {pooled.counts.test.n} real images of "
        f"{pooled.counts.test_lesions} lesions, each by classifiers and generators that never saw it."
    )
    page = Page(f"Cross-fitted evaluation: {record.name}", subtitle)
    page.add(Section("Summary", _summary(record)))
    page.add(Section("By fold", _by_fold(record, figures)))
    for measure in (Utility(), MalignantDiagnoses(), ReconstructionCeiling(), FurtherClassifiers()):
        for section in measure.sections(pooled, figures):
            page.add(section)
    page.add(Section("Settings", _settings(record)))
    return page


def _summary(record: CrossfitRecord) -> list[Block]:
    pooled = record.pooled
    facts: dict[str, str | float | None] = {
        f"balanced accuracy, {name}": scores.balanced_accuracy.mean for name, scores in pooled.utility.items()
    }
    return [
        Facts(facts),
        *(Callout(finding.kind, finding.text) for finding in (*comparison_findings(pooled), parts_finding(pooled))),
        *(Callout("info", _detectable(name, value)) for name, value in record.detectable.items()),
        *(Callout("info", note) for note in pooled.notes),
    ]


def _detectable(name: str, difference: float | None) -> str:
    return (
        f"{name}: a difference of {number(difference)} would be found four times in five, at the strictest level of "
        "Holm's correction. Smaller ones can go unseen with this number of lesions."
    )


def _by_fold(record: CrossfitRecord, figures: Mapping[str, Image.Image]) -> list[Block]:
    conditions = list(record.pooled.utility)
    rows = [
        (
            one.fold,
            one.images,
            one.lesions,
            one.excluded,
            one.classes,
            *(one.balanced_accuracy[name] for name in conditions),
        )
        for one in record.folds
    ]
    text = (
        "The folds' training images overlap, so that the folds are not independent of one another: their spread is no "
        "standard error. The intervals and tests below are over the lesions of all folds; they hold for these trained "
        "generators, and do not contain what another training would change. Folds that hold different diagnoses have "
        "means over different ones."
    )
    heads = (
        "fold",
        "test images",
        "lesions",
        "left out",
        "diagnoses",
        *(f"balanced accuracy, {name}" for name in conditions),
    )
    return [
        Text(text),
        Table(heads, rows, "Each fold"),
        Figure(figures["folds"], "Balanced accuracy by fold", "Lines join the conditions of one fold."),
    ]


def _folds_figure(record: CrossfitRecord) -> Image.Image:
    conditions = list(record.pooled.utility)
    figure = Drawing(figsize=(7.2, 3.4), layout="constrained")
    axes = figure.subplots()
    places = np.arange(len(conditions))
    for one in record.folds:
        values = [np.nan if (value := one.balanced_accuracy[name]) is None else value for name in conditions]
        axes.plot(places, values, color="#bbbbbb", linewidth=1, zorder=1)
        axes.scatter(places, values, color=[COLOURS[name] for name in conditions], zorder=2)
    axes.set_xticks(places, conditions)
    axes.set_xlim(-0.5, len(conditions) - 0.5)
    axes.set_ylabel("balanced accuracy")
    axes.grid(axis="y", color="#e4e4e4")
    axes.set_axisbelow(True)
    return figure_image(figure)


def _settings(record: CrossfitRecord) -> list[Block]:
    sources = [(one.fold, one.evaluation.uri) for one in record.folds]
    own, evaluation = (
        [(name, str(value)) for name, value in config.items()] for config in (record.config, record.pooled.config)
    )
    return [
        Text(f"Made on {record.created} by LesionGen {record.lesiongen_version}."),
        Table(("fold", "evaluation"), sources),
        Table(("setting", "value"), own, "How the dataset was divided"),
        Table(("setting", "value"), evaluation, "How each fold was evaluated"),
    ]
