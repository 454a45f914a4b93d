"""The classifiers of an evaluation: trained on real images, synthetic ones and both, within the same budget."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from lesiongen.evaluation.classifier.kinds.kind import ClassifierKind, RealImages
from lesiongen.evaluation.classifier.mixtures import Mixture, TrainingImages, protocol_mixture
from lesiongen.evaluation.classifier.training import TrainedClassifier
from lesiongen.evaluation.config import EvaluateConfig
from lesiongen.evaluation.material import Material
from lesiongen.progress import progress
from lesiongen.records.scores import ClassifierSource, Condition

__all__ = ["Outcome", "Predictions", "Trained", "best_condition", "train_conditions"]


@dataclass(frozen=True)
class Predictions:
    """What the classifiers of one condition make of the held-out images.

    Attributes:
        probabilities: [seeds, n, classes] on the test images.
        validation_probabilities: [seeds, n, classes] on the validation images.
        validation: Balanced accuracy of each seed on the validation images.
        steps: The step at which each seed did best there.
    """

    probabilities: NDArray[np.float32]
    validation_probabilities: NDArray[np.float32]
    validation: list[float]
    steps: list[int]

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
class Trained:
    """What one kind of classifier says of every condition."""

    source: ClassifierSource
    outcomes: dict[Condition, Outcome]


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
            runs = []
            for seed in range(config.n_seeds):
                note = f"{condition}, classifier {seed + 1} of {config.n_seeds}"
                run = trainer.train(mixture, seed, partial(bar.advance, note=note))
                runs.append(run)
            outcomes[condition] = _outcome(runs, material)
    return Trained(trainer.source, outcomes)


def _mixtures(config: EvaluateConfig, material: Material) -> dict[Condition, TrainingImages]:
    mixtures: dict[Condition, TrainingImages] = {
        "real": Mixture(material.train),
        "synthetic": Mixture(material.synthetic),
        "both": protocol_mixture(config, material.train, material.synthetic, len(material.classes)),
    }
    if material.reconstructed is not None:
        mixtures["reconstruction"] = Mixture(material.reconstructed)
    return mixtures


def _outcome(runs: Sequence[TrainedClassifier], material: Material) -> Outcome:
    test, validation = (
        np.stack([run.model.probabilities(part.images) for run in runs])
        for part in (material.test, material.validation)
    )
    scores = [run.validation_balanced_accuracy for run in runs]
    best = max(range(len(runs)), key=lambda k: (scores[k], -runs[k].validation_loss))
    return Outcome(test, validation, scores, [run.step for run in runs], runs[best], best)


def best_condition(outcomes: Mapping[Condition, Predictions]) -> Condition:
    """Returns the condition with the highest mean score on the validation images (never on the test images).

    Reconstructions are no choice: they show what the autoencoder loses, and nobody trains on them.
    """
    candidates = [name for name in outcomes if name != "reconstruction"]
    return max(candidates, key=lambda name: float(np.mean(outcomes[name].validation)))
