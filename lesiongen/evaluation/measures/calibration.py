"""How well the stated confidence of the classifiers meets the share of right predictions."""

from collections.abc import Mapping

from PIL import Image

from lesiongen.evaluation.evidence import Evidence
from lesiongen.evaluation.measures.measure import Figures, Measure
from lesiongen.evaluation.report.figures import calibration_figure
from lesiongen.records.evaluation import EvaluationRecord
from lesiongen.reporting import Block, Figure, Section, Table

__all__ = ["StatedConfidence"]


class StatedConfidence(Measure):
    """The calibration of each condition's classifiers, which is part of their scores under ``utility``."""

    place = 50

    def measure(self, evidence: Evidence) -> Mapping[str, object]:
        """Returns no entry: `Utility` stores the calibration with the scores."""
        return {}

    def figures(self, evidence: Evidence, evaluation: EvaluationRecord) -> Mapping[str, Image.Image]:
        """Draws the share of right predictions over the stated confidence."""
        probabilities = {name: outcome.probabilities for name, outcome in evidence.outcomes.items()}
        return {"calibration": calibration_figure(evidence.material.test.labels, probabilities)}

    def sections(self, evaluation: EvaluationRecord, figures: Figures) -> list[Section]:
        """Returns the section on calibration."""
        rows = [(name, scores.calibration.brier, scores.calibration.ece) for name, scores in evaluation.utility.items()]
        blocks: list[Block] = [
            Table(("trained on", "Brier score", "expected calibration error"), rows, "Lower is better"),
            Figure(figures["calibration"], "Share of right predictions over stated confidence"),
        ]
        return [Section("Calibration", blocks)]
