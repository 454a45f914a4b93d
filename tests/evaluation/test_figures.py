"""Names of classes come from foreign tables: whatever they are, the pictures of an evaluation are drawn."""

import numpy as np
import pytest

from lesiongen.evaluation.report.figures import confusion_figure, recall_figure
from lesiongen.records.scores import ClassRecall, ConditionScores, Score

MEAN, RECALL = Score(mean=0.5, low=0.1, high=0.9), ClassRecall(recall=0.5, n=10, low=0.1, high=0.9)


@pytest.mark.parametrize("name", [r"$\frac$", "$", r"\alpha_{", "two\nlines", "x" * 1000, "$$" * 300])
def test_a_class_of_any_name_is_drawn_as_it_stands(name):
    classes = ["nevus", name]
    per_class = dict.fromkeys(classes, RECALL)
    scores = ConditionScores(balanced_accuracy=MEAN, per_class=per_class, confusion=np.eye(2).tolist())
    assert recall_figure({"real": scores}, classes).width < 1500
    assert confusion_figure({"real": scores}, classes).width < 1500
