"""Names of classes come from foreign tables: whatever they are, the pictures of an evaluation are drawn."""

import numpy as np
import pytest

from lesiongen.evaluation.report import mixing_curve_figure as curve_figure
from lesiongen.evaluation.report.figures import confusion_figure, recall_figure
from lesiongen.records.mixing_curve import MixingCurve, MixingPoint
from lesiongen.records.scores import ClassRecall, ConditionScores, Score

MEAN, RECALL = Score(mean=0.5, low=0.1, high=0.9), ClassRecall(recall=0.5, n=10, low=0.1, high=0.9)


@pytest.mark.parametrize("name", [r"$\frac$", "$", r"\alpha_{", "two\nlines", "x" * 1000, "$$" * 300])
def test_a_class_of_any_name_is_drawn_as_it_stands(name):
    classes = ["nevus", name]
    per_class = dict.fromkeys(classes, RECALL)
    scores = ConditionScores(balanced_accuracy=MEAN, per_class=per_class, confusion=np.eye(2).tolist())
    assert recall_figure({"real": scores}, classes).width < 1500
    assert confusion_figure({"real": scores}, classes).width < 1500


def test_synthetic_images_alone_are_not_joined_to_the_mixing_curve():
    points = tuple(MixingPoint(share=share, balanced_accuracy=MEAN) for share in (0, 0.25, 0.5, 1))
    (axes,) = curve_figure._drawn(MixingCurve(points=points)).axes
    joined = [line.get_xdata().tolist() for line in axes.lines if line.get_linestyle() == "-"]
    marked = [line.get_xdata().tolist() for line in axes.lines if line.get_marker() == "o"]
    assert (joined, marked) == ([[0, 0.25, 0.5]], [[0, 0.25, 0.5, 1]])
