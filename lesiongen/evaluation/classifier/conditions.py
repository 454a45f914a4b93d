"""The classifiers of an evaluation: trained on real images, synthetic ones and both, within the same budget."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np
from numpy.typing import NDArray

from lesiongen.evaluation.classifier.kinds.kind import ClassifierKind, RealImages, Trainer
from lesiongen.evaluation.classifier.mixtures import Mixture, TrainingImages, protocol_mixture
from lesiongen.evaluation.classifier.training import TrainedClassifier
from lesiongen.evaluation.config import EvaluateConfig
from lesiongen.evaluation.images import LabelledImages
from lesiongen.evaluation.material import Material
from lesiongen.progress import Progress, progress
from lesiongen.records.controls import ControlName
from lesiongen.records.scores import ClassifierSource, Condition

__all__ = [
    "Outcome",
    "Predictions",
    "Trained",
    "TrainedControl",
    "best_condition",
    "outcome_of",
    "train_conditions",
    "train_seeds",
]


@dataclass(frozen=True)
class Predictions:
    """What the classifiers of one condition make of the held-out images.

    Attributes:
        probabilities: [seeds, n, classes] on the test images.
        validation_probabilities: [seeds, n, classes] on the validation images.
        validation: Balanced accuracy of each seed on the validation images.
        steps: The step at which each seed did best there.
        elsewhere: [seeds, n, classes] on each test set from elsewhere, by its name.
    """

    probabilities: NDArray[np.float32]
    validation_probabilities: NDArray[np.float32]
    validation: list[float]
    steps: list[int]
    elsewhere: Mapping[str, NDArray[np.float32]] = field(default_factory=dict, kw_only=True)

    @property
    def predictions(self) -> NDArray[np.int64]:
        """Predicted classes [seeds, n]."""
        return np.asarray(self.probabilities.argmax(axis=-1), dtype=np.int64)


@dataclass(frozen=True)
class Outcome(Predictions):
    """The classifiers of one condition.

    Attributes:
        best: The classifier that did best on the validation images.
        best_seed: Its seed.
    """

    best: TrainedClassifier
    best_seed: int


@dataclass(frozen=True)
class TrainedControl:
    """The classifiers of a control.

    Attributes:
        predictions: What they make of the held-out images.
        n_images: Number of images in the place of the synthetic ones.
        n_left_out: Number of images that were given for it and left out.
    """

    predictions: Predictions
    n_images: int
    n_left_out: int


@dataclass(frozen=True)
class Trained:
    """What one kind of classifier says of every condition.

    Attributes:
        source: What it is.
        outcomes: The classifiers of each condition.
        curve: By the share of synthetic images, the probabilities [seeds, n, classes] on the validation images.
        controls: The classifiers of each control.
    """

    source: ClassifierSource
    outcomes: dict[Condition, Outcome]
    curve: Mapping[float, NDArray[np.float32]] = field(default_factory=dict)
    controls: Mapping[ControlName, TrainedControl] = field(default_factory=dict)


def train_conditions(config: EvaluateConfig, material: Material, kind: ClassifierKind, name: str) -> Trained:
    """Trains `config.n_seeds` classifiers of a kind in every condition, with the same budget and settings in each.

    The settings are fixed, and the state of each classifier is picked, on real images alone; the test images are only
    predicted.

    Args:
        config: Number of classifiers, and how synthetic images are mixed in.
        material: The images, at the size of the kind.
        kind: The kind of classifier.
        name: Its name, for the progress.
    """
    trainer = kind.trainer(RealImages(material.train, material.validation, material.classes))
    mixtures = _mixtures(config, material)
    outcomes: dict[Condition, Outcome] = {}
    total = len(mixtures) * config.n_seeds * trainer.steps
    with progress(f"Training classifiers ({name})", total=total, unit="steps") as bar:
        for condition, mixture in mixtures.items():
            outcomes[condition] = outcome_of(train_seeds(trainer, mixture, config.n_seeds, bar, condition), material)
    return Trained(trainer.source, outcomes)


def train_seeds(
    trainer: Trainer, mixture: TrainingImages, n_seeds: int, bar: Progress, what: str
) -> list[TrainedClassifier]:
    """Trains classifiers that are seeded 0, 1, 2 and so on, on the same images.

    Args:
        trainer: Trains one.
        mixture: The images.
        n_seeds: How many.
        bar: Is advanced by every step.
        what: What they are, for the progress.
    """
    return [
        trainer.train(mixture, seed, partial(bar.advance, note=f"{what}, classifier {seed + 1} of {n_seeds}"))
        for seed in range(n_seeds)
    ]


def _mixtures(config: EvaluateConfig, material: Material) -> dict[Condition, TrainingImages]:
    mixtures: dict[Condition, TrainingImages] = {
        "real": Mixture(material.train),
        "synthetic": Mixture(material.synthetic),
        "both": protocol_mixture(config, material.train, material.synthetic, len(material.classes)),
    }
    if material.reconstructed is not None:
        mixtures["reconstruction"] = Mixture(material.reconstructed)
    return mixtures


def outcome_of(runs: Sequence[TrainedClassifier], material: Material) -> Outcome:
    """Lets the classifiers of one condition predict the validation images and those of all test sets."""

    def predicted(part: LabelledImages) -> NDArray[np.float32]:
        return np.stack([run.model.probabilities(part.images) for run in runs])

    scores = [run.validation_balanced_accuracy for run in runs]
    best = max(range(len(runs)), key=lambda k: (scores[k], -runs[k].validation_loss))
    return Outcome(
        predicted(material.test),
        predicted(material.validation),
        scores,
        [run.step for run in runs],
        runs[best],
        best,
        elsewhere={name: predicted(each.images) for name, each in material.elsewhere.items()},
    )


def best_condition(outcomes: Mapping[Condition, Predictions]) -> Condition:
    """Returns the condition with the highest mean score on the validation images (never on the test images).

    Reconstructions cannot be chosen: they show what the autoencoder loses, and nobody trains on them.
    """
    candidates = [name for name in outcomes if name != "reconstruction"]
    return max(candidates, key=lambda name: float(np.mean(outcomes[name].validation)))
