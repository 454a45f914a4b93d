"""The classifiers of an evaluation: trained on real images, synthetic ones and both, within the same budget."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from lesiongen.evaluation.classifier.training import Budget, Mixture, TrainedClassifier, train_classifier
from lesiongen.evaluation.config import EvaluateConfig
from lesiongen.evaluation.material import Material
from lesiongen.progress import progress
from lesiongen.records.evaluation import Condition

__all__ = ["Outcome", "best_condition", "train_conditions"]


@dataclass(frozen=True)
class Outcome:
    """The classifiers of one condition.

    Attributes:
        probabilities: [seeds, n, classes] on the test images.
        validation: Balanced accuracy of each seed on the validation images.
        steps: The step at which each seed did best there.
        best: The classifier that did best on the validation images.
        best_seed: Its seed.
    """

    probabilities: NDArray[np.float32]
    validation: list[float]
    steps: list[int]
    best: TrainedClassifier
    best_seed: int

    @property
    def predictions(self) -> NDArray[np.int64]:
        """Predicted classes [seeds, n]."""
        return np.asarray(self.probabilities.argmax(axis=-1), dtype=np.int64)


def train_conditions(config: EvaluateConfig, material: Material) -> dict[Condition, Outcome]:
    """Trains `config.n_seeds` classifiers in every condition, with the same steps, batch and schedule in each.

    The state of each classifier is picked on the validation images; the test images are only predicted.
    """
    mixtures: dict[Condition, Mixture] = {
        "real": Mixture(material.train),
        "synthetic": Mixture(material.synthetic),
        "both": Mixture(material.train, material.synthetic, config.synthetic_fraction, config.synthetic_until),
    }
    budget = Budget(config.steps, config.batch_size, config.learning_rate, config.weight_decay, config.checks)
    outcomes: dict[Condition, Outcome] = {}
    total = len(mixtures) * config.n_seeds * config.steps
    with progress("Training classifiers", total=total, unit="steps") as bar:
        for name, mixture in mixtures.items():
            runs, probabilities = [], []
            for seed in range(config.n_seeds):
                note = f"{name}, classifier {seed + 1} of {config.n_seeds}"
                run = train_classifier(
                    mixture, material.validation, material.classes, budget, seed, partial(bar.advance, note=note)
                )
                probabilities.append(run.model.probabilities(material.test.images))
                runs.append(run)
            outcomes[name] = _outcome(runs, np.stack(probabilities))
    return outcomes


def _outcome(runs: Sequence[TrainedClassifier], probabilities: NDArray[np.float32]) -> Outcome:
    scores = [run.validation_balanced_accuracy for run in runs]
    best = max(range(len(runs)), key=lambda k: (scores[k], -runs[k].validation_loss))
    return Outcome(probabilities, scores, [run.step for run in runs], runs[best], best)


def best_condition(outcomes: Mapping[Condition, Outcome]) -> Condition:
    """Returns the condition with the highest mean score on the validation images (never on the test images)."""
    return max(outcomes, key=lambda name: float(np.mean(outcomes[name].validation)))
