"""Training of a network within a fixed number of steps, picked on the real validation split."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from lesiongen.evaluation.classifier.mixtures import TrainingImages
from lesiongen.evaluation.classifier.network import NetworkClassifier, to_tensor
from lesiongen.evaluation.classifier.separate_norms import SeparateNorms
from lesiongen.evaluation.classifier.small import LesionClassifier
from lesiongen.evaluation.images import LabelledImages
from lesiongen.evaluation.measures.metrics import balanced_accuracy
from lesiongen.seeds import derive_seed

__all__ = [
    "LABEL_SMOOTHING",
    "Budget",
    "Classifier",
    "Recipe",
    "TrainedClassifier",
    "optimise",
    "train_classifier",
]

LABEL_SMOOTHING = 0.05


@dataclass(frozen=True, slots=True)
class Budget:
    """The optimisation budget, the same for every condition."""

    steps: int
    batch_size: int
    learning_rate: float
    weight_decay: float
    checks: int


class Classifier(Protocol):
    """What measures ask of a trained classifier of any kind."""

    classes: tuple[str, ...]

    def probabilities(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Class probabilities [n, classes] of images [n, size, size, 3]."""

    def embed(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Features [n, width] of images [n, size, size, 3] that its last layer sees."""

    def save(self, folder: Path, about: dict[str, Any]) -> None:
        """Writes it to a folder, no pickle among the files."""


@dataclass(frozen=True, slots=True)
class TrainedClassifier:
    """The classifier at the step that did best on the validation images, and how it did there."""

    model: Classifier
    step: int
    validation_balanced_accuracy: float
    validation_loss: float


@dataclass(frozen=True, slots=True)
class Recipe:
    """How the weights are moved at a step."""

    optimizer: torch.optim.Optimizer
    schedule: torch.optim.lr_scheduler.LRScheduler | None = None
    label_smoothing: float = 0.0


def train_classifier(
    mixture: TrainingImages,
    validation: LabelledImages,
    classes: Sequence[str],
    budget: Budget,
    seed: int,
    on_step: Callable[[int], None] = lambda done: None,
) -> TrainedClassifier:
    """Trains the small classifier with AdamW; `optimise` says how, and which state is kept.

    Two conditions with one seed begin from the same weights; on a CPU the same seed gives the same result.
    """
    model = _new_model(classes, validation.size, derive_seed(seed, "weights"))
    optimizer = torch.optim.AdamW(model.parameters(), lr=budget.learning_rate, weight_decay=budget.weight_decay)
    # The schedule divides by the number of steps from the first to its peak: a tenth of ten steps is the first.
    rising = 0.2 if budget.steps == 10 else 0.1
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, budget.learning_rate, total_steps=budget.steps, pct_start=rising
    )
    return optimise(model, Recipe(optimizer, schedule, LABEL_SMOOTHING), mixture, validation, budget, seed, on_step)


def optimise(
    model: NetworkClassifier,
    recipe: Recipe,
    mixture: TrainingImages,
    validation: LabelledImages,
    budget: Budget,
    seed: int,
    on_step: Callable[[int], None],
) -> TrainedClassifier:
    """Trains a network on label-balanced batches and keeps the best of `budget.checks` states.

    The best state is the one with the highest balanced accuracy on `validation`, the lower loss breaking ties.
    """
    batches = _Batches(mixture, budget, derive_seed(seed, "batches"), next(model.parameters()).device)
    separate = SeparateNorms(model) if mixture.separate_norm else None
    keeper = _BestState(model, validation)
    checked_at = {round(budget.steps * (i + 1) / budget.checks) for i in range(budget.checks)}
    for step in range(1, budget.steps + 1):
        model.train()
        images, labels, n_added = batches.draw(step)
        logits = model(images) if separate is None else separate.logits(images, n_added)
        loss = nn.functional.cross_entropy(logits, labels, label_smoothing=recipe.label_smoothing)
        recipe.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        recipe.optimizer.step()
        if recipe.schedule is not None:
            recipe.schedule.step()
        if step in checked_at:
            keeper.check(step)
        on_step(1)
    return keeper.best()


def _new_model(classes: Sequence[str], size: int, seed: int) -> LesionClassifier:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = LesionClassifier(classes, size)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return model.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


class _Batches:
    """Label-balanced, augmented batches; the draw of a step depends on the seed and the step alone."""

    def __init__(self, mixture: TrainingImages, budget: Budget, seed: int, device: torch.device) -> None:
        self.mixture, self.budget, self.seed, self.device = mixture, budget, seed, device

    def draw(self, step: int) -> tuple[Tensor, Tensor, int]:
        """Returns images [n, 3, s, s] and labels [n] of a step; the last ones, how many is said, are mixed in."""
        rng = np.random.default_rng([self.seed, step])
        drawn = self.mixture.draw(step, self.budget.steps, self.budget.batch_size, rng)
        images, labels = augment(drawn.images, rng), torch.from_numpy(drawn.labels)
        return images.to(self.device), labels.to(self.device), drawn.n_added


def augment(images: NDArray[np.uint8], rng: np.random.Generator) -> Tensor:
    """Turns, mirrors and recolours each image [n, s, s, 3] on its own.

    Returns:
        [n, 3, s, s]; values are about [0, 1] and may leave it a little.
    """
    count = len(images)
    turned, mirrored, flipped = (rng.random((3, count)) < 0.5)[:, :, None, None, None]
    # Moved as bytes, a quarter of the work of moving floats.
    images = np.where(turned, images.transpose(0, 2, 1, 3), images)
    images = np.where(mirrored, images[:, :, ::-1], images)
    images = np.where(flipped, images[:, ::-1], images)
    contrast = rng.uniform(0.8, 1.25, (count, 1, 1, 1)).astype(np.float32)
    light = rng.uniform(-0.1, 0.1, (count, 1, 1, 1)).astype(np.float32)
    tint = rng.uniform(-0.04, 0.04, (count, 3, 1, 1)).astype(np.float32)
    pixels = to_tensor(images)
    offset = pixels.mean(dim=(1, 2, 3), keepdim=True) * torch.from_numpy(1 - contrast) + torch.from_numpy(light + tint)
    return pixels.mul_(torch.from_numpy(contrast)).add_(offset).contiguous(memory_format=torch.channels_last)


class _BestState:
    def __init__(self, model: NetworkClassifier, validation: LabelledImages) -> None:
        self.model, self.validation = model, validation
        self.key = (-1.0, 0.0)
        self.step = 0
        self.state: dict[str, Tensor] = {}

    def check(self, step: int) -> None:
        probabilities = self.model.probabilities(self.validation.images)
        labels = self.validation.labels
        chance = probabilities[np.arange(len(labels)), labels]
        loss = float(-np.log(np.maximum(chance, 1e-12)).mean())
        key = (balanced_accuracy(labels, probabilities.argmax(axis=1), len(self.model.classes)), -loss)
        if key > self.key:
            self.key, self.step = key, step
            self.state = {name: value.clone() for name, value in self.model.state_dict().items()}

    def best(self) -> TrainedClassifier:
        self.model.load_state_dict(self.state)
        self.model.eval()
        return TrainedClassifier(self.model, self.step, self.key[0], -self.key[1])
