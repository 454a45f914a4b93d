"""Whether a classifier of real images sees in a synthetic image the diagnosis that was asked for."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lesiongen.dataset import diagnosis_phrase
from lesiongen.evaluation.evidence import Evidence
from lesiongen.evaluation.measures.measure import Figures, Measure
from lesiongen.evaluation.report.figures import samples_figure
from lesiongen.records.evaluation import EvaluationRecord
from lesiongen.records.image_measures import Agreement, ClassAgreement
from lesiongen.records.text import number
from lesiongen.reporting import Block, Figure, Section, Table, Text

__all__ = ["RecognisedDiagnoses", "class_agreement"]


class RecognisedDiagnoses(Measure):
    """The share of synthetic images whose diagnosis a classifier of real images recognises."""

    place = 10

    def measure(self, evidence: Evidence) -> Mapping[str, object]:
        """Returns ``class_agreement``."""
        material, (_, synthetic) = evidence.material, evidence.chances
        found = class_agreement(material.synthetic.labels, synthetic, material.classes, evidence.judge)
        return {"class_agreement": found}

    def figures(self, evidence: Evidence, evaluation: EvaluationRecord) -> Mapping[str, Image.Image]:
        """Draws synthetic images of each class."""
        return {"samples": samples_figure(evidence.material, real=evidence.config.allow_real_images)}

    def sections(self, evaluation: EvaluationRecord, figures: Figures) -> list[Section]:
        """Returns the section that shows the synthetic images."""
        agreement = evaluation.class_agreement
        shown = (
            "beside real training images"
            if evaluation.config.get("allow_real_images")
            else "alone; real images are left out"
        )
        rows = [(name, diagnosis_phrase(name), entry.n, entry.agreement) for name, entry in agreement.per_class.items()]
        blocks: list[Block] = [
            Figure(
                figures["samples"], "Synthetic images of each diagnosis", f"Synthetic images, class by class, {shown}."
            ),
            Text(
                f"The diagnosis asked for was recognised in {number(agreement.agreement, '.0%')} of {agreement.n} "
                f"synthetic images by {agreement.classifier}; chance is {number(agreement.chance, '.0%')}. "
                "The classifier errs on real images too."
            ),
            Table(
                ("class", "diagnosis", "images", "recognised"),
                rows,
                "Synthetic images recognised as what was asked for",
            ),
        ]
        return [Section("The synthetic images", blocks)]

    def headline(self, evaluation: EvaluationRecord) -> Mapping[str, float | None]:
        """Returns the share that is recognised."""
        return {"class_agreement": evaluation.class_agreement.agreement}


def class_agreement(
    asked: NDArray[np.int64], probabilities: NDArray[np.float32], classes: tuple[str, ...], classifier: str
) -> ClassAgreement:
    """Compares the diagnosis asked of the generator with the prediction of a classifier trained on real images.

    A classifier that errs can miss a diagnosis that was drawn well and see one that was not drawn: the share is a bound
    on neither side. Read it beside the recall on real images.

    Args:
        asked: [n] class numbers asked for.
        probabilities: [n, classes] of the classifier.
        classes: Names of the classes.
        classifier: Which classifier, in words.
    """
    agrees = probabilities.argmax(axis=1) == asked
    per_class = {}
    for place, name in enumerate(classes):
        rows = asked == place
        share = float(agrees[rows].mean()) if rows.any() else None
        per_class[name] = Agreement(n=int(rows.sum()), agreement=share)
    return ClassAgreement(
        classifier=classifier,
        n=len(asked),
        agreement=float(agrees.mean()),
        chance=1 / len(classes),
        per_class=per_class,
    )
