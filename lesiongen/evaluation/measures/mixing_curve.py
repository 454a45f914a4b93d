"""The mixing curve: balanced accuracy on validation images over the share of synthetic images."""

from collections.abc import Mapping

import numpy as np
from PIL import Image

from lesiongen.evaluation.evidence import Evidence
from lesiongen.evaluation.measures.measure import Figures, Measure
from lesiongen.evaluation.measures.metrics import Resamples, condition_scores
from lesiongen.evaluation.report.mixing_curve_figure import mixing_curve_figure
from lesiongen.evaluation.report.text import with_interval
from lesiongen.records.evaluation import EvaluationRecord
from lesiongen.records.mixing_curve import MixingCurve, MixingPoint
from lesiongen.reporting import Block, Figure, Section, Table, Text
from lesiongen.seeds import derive_seed

__all__ = ["MixingShares"]

FIGURE = "mixing_curve"


class MixingShares(Measure):
    """How the classifiers do on validation images with more and more synthetic images; no test image is looked at."""

    place = 23

    def measure(self, evidence: Evidence) -> Mapping[str, object]:
        """Returns ``mixing_curve``."""
        curve = evidence.primary.curve
        if not curve:
            return {}
        config, validation = evidence.config, evidence.material.validation
        seed = derive_seed(config.seed, "bootstrap", "validation")
        resamples = Resamples(validation.lesions, config.n_bootstrap, config.confidence, seed)
        points = []
        for share, probabilities in curve.items():
            predictions = np.asarray(probabilities.argmax(axis=-1), dtype=np.int64)
            scores = condition_scores(validation.labels, predictions, evidence.material.classes, resamples)
            points.append(MixingPoint(share=share, balanced_accuracy=scores.balanced_accuracy))
        lesions = len(np.unique(validation.lesions))
        return {
            "mixing_curve": MixingCurve(
                protocol=config.protocol, n=len(validation), lesions=lesions, points=tuple(points)
            )
        }

    def figures(self, evidence: Evidence, evaluation: EvaluationRecord) -> Mapping[str, Image.Image]:
        """Draws the curve."""
        return {} if evaluation.mixing_curve is None else {FIGURE: mixing_curve_figure(evaluation.mixing_curve)}

    def sections(self, evaluation: EvaluationRecord, figures: Figures) -> list[Section]:
        """Returns the section on the curve, if one was asked for."""
        curve = evaluation.mixing_curve
        return [] if curve is None else [Section("Mixing curve", _blocks(curve, figures))]


def _blocks(curve: MixingCurve, figures: Figures) -> list[Block]:
    rows = [
        (
            point.share,
            with_interval(point.balanced_accuracy.mean, point.balanced_accuracy),
            point.balanced_accuracy.spread,
        )
        for point in curve.points
    ]
    text = (
        f"Classifiers at each share of synthetic images, mixed in by the protocol {curve.protocol}: 0 is the condition "
        "real, 1 the condition synthetic, another training, which is not joined to the curve. They are scored on the "
        f"{curve.n} validation images of {curve.lesions} lesions, which also picked the state or the strength of "
        "regularisation of each classifier, so the numbers are higher than on images that decided nothing. The curve "
        "is for looking: no setting was chosen by it, and the test images have no part in it."
    )
    return [
        Text(text),
        Figure(figures[FIGURE], "Balanced accuracy over the share of synthetic images"),
        Table(("synthetic share", "balanced accuracy, validation", "spread over seeds"), rows, "Mixing curve"),
    ]
