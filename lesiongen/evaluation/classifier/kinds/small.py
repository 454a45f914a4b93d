"""``small``: the CNN of `lesiongen.evaluation.classifier.small`, which needs no weights from elsewhere."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from lesiongen.evaluation.classifier.kinds.kind import ClassifierKind, RealImages, Trainer
from lesiongen.evaluation.classifier.mixtures import TrainingImages, batch_obstacle
from lesiongen.evaluation.classifier.training import (
    LABEL_SMOOTHING,
    Budget,
    TrainedClassifier,
    train_classifier,
)
from lesiongen.evaluation.config import EvaluateConfig
from lesiongen.records.scores import ClassifierSource

__all__ = ["SmallKind", "opened_small"]


class SmallKind(ClassifierKind):
    """A residual CNN of about 0.25 million parameters, trained from random weights."""

    def __init__(self, config: EvaluateConfig) -> None:
        self.image_size = config.image_size
        self.budget = Budget(config.steps, config.batch_size, config.learning_rate, config.weight_decay, config.checks)

    def obstacle(self, config: EvaluateConfig) -> str:
        """A share of a batch that rounds to no image has no effect."""
        return batch_obstacle(config)

    def trainer(self, real: RealImages) -> Trainer:
        """Returns the trainer: its hyperparameters are those of the configuration."""
        return _SmallTrainer(real, self.budget, self.image_size)


@contextmanager
def opened_small(config: EvaluateConfig) -> Iterator[ClassifierKind]:
    """Gives the kind; nothing has to be fetched."""
    yield SmallKind(config)


class _SmallTrainer(Trainer):
    def __init__(self, real: RealImages, budget: Budget, image_size: int) -> None:
        self.real, self.budget, self.steps = real, budget, budget.steps
        self.source = ClassifierSource(
            kind="small",
            source="lesiongen",
            revision=None,
            licence="Apache-2.0",
            files={},
            image_size=image_size,
            hyperparameters={
                "optimizer": "AdamW",
                "learning_rate": budget.learning_rate,
                "weight_decay": budget.weight_decay,
                "schedule": "one cycle",
                "label_smoothing": LABEL_SMOOTHING,
                "steps": budget.steps,
                "batch_size": budget.batch_size,
                "checks": budget.checks,
            },
        )

    def train(self, mixture: TrainingImages, seed: int, on_step: Callable[[int], None]) -> TrainedClassifier:
        """Trains one CNN."""
        return train_classifier(mixture, self.real.validation, self.real.classes, self.budget, seed, on_step)
