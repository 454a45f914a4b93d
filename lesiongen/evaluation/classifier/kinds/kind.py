"""What every kind of classifier offers: its image size, and a trainer whose settings real images alone have fixed."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from lesiongen.evaluation.classifier.mixtures import TrainingImages
from lesiongen.evaluation.classifier.training import TrainedClassifier
from lesiongen.evaluation.config import EvaluateConfig
from lesiongen.evaluation.images import LabelledImages
from lesiongen.records.scores import ClassifierSource

__all__ = ["ClassifierKind", "RealImages", "Trainer"]


@dataclass(frozen=True)
class RealImages:
    """The real images that fix the settings of a classifier and pick its states; never the test images."""

    train: LabelledImages
    validation: LabelledImages
    classes: Sequence[str]


class Trainer(ABC):
    """Trains classifiers of one kind, with one budget and the same hyperparameters in every condition.

    Attributes:
        source: What the record says of the classifier.
        steps: How many steps `train` reports.
    """

    source: ClassifierSource
    steps: int

    @abstractmethod
    def train(self, mixture: TrainingImages, seed: int, on_step: Callable[[int], None]) -> TrainedClassifier:
        """Trains one classifier; two conditions with one seed begin in the same way.

        Args:
            mixture: The training images of the condition.
            seed: Seed of everything random.
            on_step: Called with the number of steps that were taken.
        """


class ClassifierKind(ABC):
    """A kind of classifier, ready to be trained.

    Attributes:
        image_size: Side in pixels of the square images that it is shown.
    """

    image_size: int

    @abstractmethod
    def trainer(self, real: RealImages) -> Trainer:
        """Fixes the hyperparameters, on real images alone, and returns what trains with them.

        Args:
            real: Images of `image_size` pixels.
        """

    def obstacle(self, config: EvaluateConfig) -> str:
        """Returns why this kind cannot carry the protocol or a control of a configuration; empty where it can."""
        return ""
