"""Classifiers at several shares of synthetic images, for the validation images alone."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from lesiongen.evaluation.classifier.conditions import Outcome, train_seeds
from lesiongen.evaluation.classifier.kinds.kind import ClassifierKind, RealImages
from lesiongen.evaluation.classifier.mixtures import TrainingImages, mixture_at, share_of
from lesiongen.evaluation.config import EvaluateConfig
from lesiongen.evaluation.material import Material
from lesiongen.progress import progress
from lesiongen.records.scores import Condition

__all__ = ["curve_mixtures", "train_curve"]


def curve_mixtures(config: EvaluateConfig, material: Material) -> dict[float, TrainingImages]:
    """Returns the training images at each share that no condition is trained at, in order.

    Raises:
        DataError: The protocol cannot mix the images at a share.
    """
    number = len(material.classes)
    return {
        share: mixture_at(config, material.train, material.synthetic, number, share)
        for share in sorted(config.mixing_curve)
        if _condition_at(config, share) is None
    }


def train_curve(
    config: EvaluateConfig,
    material: Material,
    kind: ClassifierKind,
    mixtures: Mapping[float, TrainingImages],
    outcomes: Mapping[Condition, Outcome],
) -> dict[float, NDArray[np.float32]]:
    """Trains the classifiers of the mixing curve with the budget of every condition; no test image is predicted.

    Args:
        config: The shares.
        material: The images, at the size of the kind.
        kind: The kind of classifier.
        mixtures: What `curve_mixtures` returned.
        outcomes: The classifiers of the conditions: real images alone are share 0, synthetic ones alone share 1, and
            both the share of the configuration.

    Returns:
        By share, in order, the probabilities [seeds, n, classes] on the validation images.
    """
    curve = {}
    for share in sorted(config.mixing_curve):
        if (condition := _condition_at(config, share)) is not None:
            curve[share] = outcomes[condition].validation_probabilities
    if mixtures:
        trainer = kind.trainer(RealImages(material.train, material.validation, material.classes))
        total = len(mixtures) * config.n_seeds * trainer.steps
        with progress("Training the mixing curve", total=total, unit="steps") as bar:
            for share, mixture in mixtures.items():
                runs = train_seeds(trainer, mixture, config.n_seeds, bar, f"{share:.0%} synthetic")
                curve[share] = np.stack([run.model.probabilities(material.validation.images) for run in runs])
    return dict(sorted(curve.items()))


def _condition_at(config: EvaluateConfig, share: float) -> Condition | None:
    """Returns the condition whose classifiers are those of a share; None if there is none."""
    if share in (0, 1):
        return "synthetic" if share else "real"
    return "both" if share == share_of(config) else None
