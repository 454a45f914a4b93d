"""Whether a classifier of real images sees in a synthetic image the diagnosis that was asked for."""

import numpy as np
from numpy.typing import NDArray

from lesiongen.records.evaluation import Agreement, ClassAgreement

__all__ = ["class_agreement"]


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
    for number, name in enumerate(classes):
        rows = asked == number
        share = float(agrees[rows].mean()) if rows.any() else None
        per_class[name] = Agreement(n=int(rows.sum()), agreement=share)
    return ClassAgreement(
        classifier=classifier,
        n=len(asked),
        agreement=float(agrees.mean()),
        chance=1 / len(classes),
        per_class=per_class,
    )
