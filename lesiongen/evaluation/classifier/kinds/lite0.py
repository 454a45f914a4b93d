"""``lite0``: frozen features of EfficientNet-Lite0 and a logistic head; trained in seconds."""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from lesiongen.errors import DataError
from lesiongen.evaluation.classifier.kinds.kind import ClassifierKind, RealImages, Trainer
from lesiongen.evaluation.classifier.kinds.lite0_features import (
    FEATURES,
    LICENCE,
    PACKAGES,
    VIEWS,
    WEIGHTS_NAME,
    WEIGHTS_SHA256,
    Lite0Features,
    check_installed,
    load_network,
)
from lesiongen.evaluation.classifier.mixtures import Mixture, TrainingImages
from lesiongen.evaluation.classifier.training import TrainedClassifier
from lesiongen.evaluation.config import EvaluateConfig
from lesiongen.evaluation.images import LabelledImages
from lesiongen.evaluation.measures.metrics import balanced_accuracy
from lesiongen.records.scores import ClassifierSource
from lesiongen.seeds import derive_seed
from lesiongen.temporary import temporary_folder

__all__ = ["Lite0Classifier", "check_lite0", "class_weights", "drawn_views", "load_lite0", "opened_lite0"]

SMALLEST, LARGEST = 64, 128
"""Bounds of the side of its images in pixels."""
RESAMPLES = 5
"""Heads of one classifier, each fitted to a resample of the training lesions (bagging, Breiman 1996)."""
STRENGTHS = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1)
"""Values of scikit-learn's C that are tried on the real images, the strongest regularisation first."""
MAX_ITERATIONS = 1000
CHUNK = 4096
"""Images whose features are held at a time where predictions are made."""
ARCHITECTURE = "EfficientNet-Lite0 features, logistic heads"
WEIGHTS_FILE, CONFIG_FILE = "model.safetensors", "config.json"

check_lite0 = check_installed


@contextmanager
def opened_lite0(config: EvaluateConfig) -> Iterator[ClassifierKind]:
    """Gives the kind, with a temporary folder for the features of a run.

    Raises:
        UsageError: The extra ``lite0`` is not installed.
        DataError: Its weights are not those that are known.
    """
    size = min(max(config.image_size, SMALLEST), LARGEST)
    network = load_network(size)
    with temporary_folder("features") as folder:
        yield Lite0Kind(Lite0Features(network, folder), size)


class Lite0Kind(ClassifierKind):
    """Frozen features, standardised, and multinomial logistic regression on them.

    Args:
        features: Computes and keeps the features.
        image_size: Side of the images in pixels.
    """

    def __init__(self, features: Lite0Features, image_size: int) -> None:
        self.features, self.image_size = features, image_size

    def trainer(self, real: RealImages) -> Trainer:
        """Chooses C: the best balanced accuracy on the validation images of a head fitted to all real training images.

        Of values that do equally well the smallest is kept.
        """
        return _Lite0Trainer(self.features, self.image_size, real)

    def obstacle(self, config: EvaluateConfig) -> str:
        """Heads are fitted to convergence: neither where they begin nor the number of steps would change them."""
        if config.protocol == "pretrain":
            return "the protocol pretrain has no effect on it: its heads are fitted to convergence, wherever they begin"
        if "longer" in config.controls and config.classifiers[0] == "lite0":
            return "the control longer has no effect on it: its heads are fitted to convergence"
        # Beside another classifier the number has its effect on that one.
        default = type(config).model_fields["synthetic_until"].default
        if set(config.classifiers) == {"lite0"} and config.synthetic_until != default:
            return f"synthetic_until has no effect on it: its heads are fitted without steps; leave it at {default:g}"
        return ""


class _Lite0Trainer(Trainer):
    def __init__(self, features: Lite0Features, image_size: int, real: RealImages) -> None:
        self.features, self.image_size, self.real = features, image_size, real
        self.steps = RESAMPLES
        strength = self._chosen_strength()
        self.strength = strength
        self.source = ClassifierSource(
            kind="lite0",
            source=" and ".join(PACKAGES),
            revision=version(PACKAGES[1]),
            licence=LICENCE,
            files={WEIGHTS_NAME: WEIGHTS_SHA256},
            image_size=image_size,
            hyperparameters={
                "features": FEATURES,
                "views": VIEWS,
                "C": strength,
                "C_tried": list(STRENGTHS),
                "class_weight": "balanced",
                "resamples": RESAMPLES,
            },
        )

    def train(self, mixture: TrainingImages, seed: int, on_step: Callable[[int], None]) -> TrainedClassifier:
        """Fits heads to resamples of the training lesions; each drawn image shows one of its views, by chance."""
        rng = np.random.default_rng(derive_seed(seed, "resamples"))
        parts = self._parts(mixture)
        scalers = _scalers(parts, separate=mixture.separate_norm)
        heads, iterations = [], 0
        for _ in range(RESAMPLES):
            drawn = [part.weighted(drawn_views(part.images, rng)) for part in parts]
            head, taken = self._fitted(parts, drawn, scalers, self.strength)
            heads.append(head)
            iterations = max(iterations, taken)
            on_step(1)
        model = self._classifier(heads, scalers[0])
        labels, probabilities = self.real.validation.labels, model.probabilities(self.real.validation.images)
        right = np.maximum(probabilities[np.arange(len(labels)), labels], 1e-12)
        score = balanced_accuracy(labels, probabilities.argmax(axis=1), len(self.real.classes))
        return TrainedClassifier(model, iterations, score, float(-np.log(right).mean()))

    def _chosen_strength(self) -> float:
        """Returns the C with the best balanced accuracy on validation images; of equals the smallest."""
        parts = self._parts(Mixture(self.real.train))
        scalers = _scalers(parts, separate=False)
        validation, scores = self.real.validation, {}
        for strength in STRENGTHS:
            head, _ = self._fitted(parts, [part.weighted(part.every_view) for part in parts], scalers, strength)
            predicted = self._classifier([head], scalers[0]).probabilities(validation.images).argmax(axis=1)
            scores[strength] = balanced_accuracy(validation.labels, predicted, len(self.real.classes))
        return max(STRENGTHS, key=lambda strength: scores[strength])

    def _parts(self, mixture: TrainingImages) -> "list[_Part]":
        """The weights of all examples add up to the number of real training images, in every condition."""
        main, added = mixture.class_totals(len(self.real.train), len(self.real.classes))
        parts = [_Part(mixture.main, self.features.of(mixture.main.images), main)]
        if mixture.added is not None:
            parts.append(_Part(mixture.added, self.features.of(mixture.added.images), added))
        return parts

    def _fitted(
        self,
        parts: "Sequence[_Part]",
        weights: Sequence[NDArray[np.float32]],
        scalers: Sequence[Any],
        strength: float,
    ) -> tuple["_Head", int]:
        """Returns a head fitted to all parts, images of weight 0 left out, and its number of iterations."""
        features = np.concatenate(
            [scaler.transform(part.features[w > 0]) for part, w, scaler in zip(parts, weights, scalers, strict=True)]
        )
        labels = np.concatenate([part.labels[w > 0] for part, w in zip(parts, weights, strict=True)])
        flat = np.concatenate([w[w > 0] for w in weights])
        return _fit(features, labels, flat, strength, len(self.real.classes))

    def _classifier(self, heads: "Sequence[_Head]", scaler: Any) -> "Lite0Classifier":
        arrays = {
            "weight": np.stack([head.weight for head in heads]),
            "bias": np.stack([head.bias for head in heads]),
            "mean": scaler.mean_.astype(np.float32),
            "scale": scaler.scale_.astype(np.float32),
        }
        return Lite0Classifier(tuple(self.real.classes), self.image_size, self.features, arrays)


@dataclass(frozen=True)
class _Part:
    """Training images of one origin, and the sum of the weights of the examples of each class [classes]."""

    images: LabelledImages
    features: NDArray[np.float32]
    totals: NDArray[np.float64]

    @property
    def labels(self) -> NDArray[np.int64]:
        """The class of each example [n, views]."""
        return np.repeat(self.images.labels[:, None], VIEWS, axis=1)

    @property
    def every_view(self) -> NDArray[np.int64]:
        """Each view of each image once [n, views]."""
        return np.ones((len(self.images), VIEWS), dtype=np.int64)

    def weighted(self, counts: NDArray[np.int64]) -> NDArray[np.float32]:
        """Returns the weights of the examples [n, views]."""
        return class_weights(self.images.labels, counts, self.totals)


@dataclass(frozen=True)
class _Head:
    weight: NDArray[np.float32]
    bias: NDArray[np.float32]


def drawn_views(images: LabelledImages, rng: np.random.Generator) -> NDArray[np.int64]:
    """Draws lesions with replacement, within each diagnosis, and for each draw of an image one of its views.

    Returns:
        How often each view of each image was drawn [n, views]. No diagnosis that the images hold is lost.
    """
    counts = np.zeros((len(images), VIEWS), dtype=np.int64)
    for rows in images.members:
        lesions, of_row = np.unique(images.lesions[rows], return_inverse=True)
        drawn = rng.multinomial(len(lesions), np.full(len(lesions), 1 / len(lesions)))[of_row]
        mirrored = rng.binomial(drawn, 0.5)
        counts[rows] = np.stack([drawn - mirrored, mirrored], axis=1)
    return counts


def class_weights(
    labels: NDArray[np.int64], counts: NDArray[np.int64], totals: NDArray[np.float64]
) -> NDArray[np.float32]:
    """Returns weights in proportion to counts that add up to the given total in each diagnosis.

    With equal totals, of all examples together as many as there are images of one view, these are the weights of
    scikit-learn's ``class_weight="balanced"``.

    Args:
        labels: [n].
        counts: [n, views].
        totals: The sum of the weights of each class [classes].

    >>> class_weights(np.array([0, 0, 0, 1]), np.array([[1], [0], [1], [4]]), np.array([2.0, 2.0])).ravel().tolist()
    [1.0, 0.0, 1.0, 2.0]
    """
    of_class = np.bincount(labels, counts.sum(axis=1), minlength=len(totals))
    return np.asarray(counts * (totals[labels] / of_class[labels])[:, None], dtype=np.float32)


def _scalers(parts: Sequence[_Part], *, separate: bool) -> list[Any]:
    """Returns what standardises each part: by its own images, or by those of all parts."""
    return [_scaler([part]) for part in parts] if separate else [_scaler(parts)] * len(parts)


def _scaler(parts: Sequence[_Part]) -> Any:
    """Standardises by training images of the condition, weighted as in the loss."""
    features = np.concatenate([part.features.reshape(-1, FEATURES) for part in parts])
    weights = np.concatenate([part.weighted(part.every_view).ravel() for part in parts])
    return StandardScaler().fit(features, sample_weight=weights)


def _fit(
    features: NDArray[np.float32],
    labels: NDArray[np.int64],
    weights: NDArray[np.float32],
    strength: float,
    classes: int,
) -> tuple[_Head, int]:
    """Fits a head; a class without an example gets the probability 0."""
    present = np.unique(labels)
    weight = np.zeros((classes, features.shape[1]), dtype=np.float32)
    bias = np.full(classes, -np.inf, dtype=np.float32)
    if len(present) == 1:
        bias[present] = 0.0
        return _Head(weight, bias), 0
    model = LogisticRegression(C=strength, max_iter=MAX_ITERATIONS).fit(features, labels, sample_weight=weights)
    if len(present) == 2:  # scikit-learn then has one row, for the second class
        weight[present[1]], bias[present] = model.coef_[0], (0.0, model.intercept_[0])
    else:
        weight[present], bias[present] = model.coef_, model.intercept_
    return _Head(weight, bias), int(model.n_iter_.max())


class Lite0Classifier:
    """Logistic heads on frozen features; their probabilities are averaged, over the two views as well.

    Args:
        classes: The diagnoses, in the order of the outputs.
        image_size: Side in pixels of the square images.
        features: Computes the features.
        arrays: ``weight`` [heads, classes, 896] and ``bias`` [heads, classes] on standardised features; ``mean`` and
            ``scale`` [896] of the standardisation.
    """

    def __init__(
        self,
        classes: tuple[str, ...],
        image_size: int,
        features: Lite0Features,
        arrays: dict[str, NDArray[np.float32]],
    ) -> None:
        self.classes, self.image_size, self.features, self.arrays = classes, image_size, features, arrays

    def probabilities(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Class probabilities [n, classes] of images [n, size, size, 3]."""
        return self._of_chunks(images, self._chances, len(self.classes))

    def embed(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Standardised features [n, 896] of images [n, size, size, 3], means over the views."""
        return self._of_chunks(images, lambda features: features.mean(axis=1), FEATURES)

    def save(self, folder: Path, about: dict[str, Any]) -> None:
        """Writes the heads, which `load_lite0` reads; the network is in the packages of the extra."""
        folder.mkdir(parents=True, exist_ok=True)
        save_file({name: np.ascontiguousarray(values) for name, values in self.arrays.items()}, folder / WEIGHTS_FILE)
        network = {"packages": list(PACKAGES), "weights_sha256": WEIGHTS_SHA256, "licence": LICENCE}
        config = {"architecture": ARCHITECTURE, "classes": list(self.classes), "image_size": self.image_size, **network}
        (folder / CONFIG_FILE).write_text(json.dumps({**config, **about}, indent=2) + "\n", encoding="utf-8")

    def _of_chunks(
        self, images: NDArray[np.uint8], function: Callable[[NDArray[np.float32]], NDArray[Any]], width: int
    ) -> NDArray[np.float32]:
        """Applies a function to standardised features [n, views, 896], a chunk of the images at a time."""
        values = np.empty((len(images), width), np.float32)
        for start in range(0, len(images), CHUNK):
            part = slice(start, start + CHUNK)
            values[part] = function((self.features.of(images[part]) - self.arrays["mean"]) / self.arrays["scale"])
        return values

    def _chances(self, features: NDArray[np.float32]) -> NDArray[Any]:
        """Returns the probabilities [n, classes], means over the views and the heads."""
        logits = np.einsum("nvf,hcf->nvhc", features, self.arrays["weight"], optimize=True) + self.arrays["bias"]
        chances = np.exp(logits - logits.max(axis=-1, keepdims=True))
        return np.asarray((chances / chances.sum(axis=-1, keepdims=True)).mean(axis=(1, 2)))


@contextmanager
def load_lite0(folder: Path) -> Iterator[Lite0Classifier]:
    """Gives back what `Lite0Classifier.save` wrote, with a temporary folder for the features that it computes.

    Raises:
        DataError: The folder does not hold such a classifier.
        UsageError: The extra ``lite0`` is not installed.
    """
    try:
        config = json.loads((folder / CONFIG_FILE).read_text(encoding="utf-8"))
        arrays = load_file(folder / WEIGHTS_FILE)
        if config["architecture"] != ARCHITECTURE:
            raise ValueError(f"its architecture is {config['architecture']}")
        classes, size = tuple(config["classes"]), int(config["image_size"])
        shapes = {name: values.shape for name, values in arrays.items()}
        heads = shapes["weight"][0]
        expected = {"weight": (heads, len(classes), FEATURES), "bias": (heads, len(classes))}
        if shapes != {**expected, "mean": (FEATURES,), "scale": (FEATURES,)}:
            raise ValueError(f"its weights have the shapes {shapes}")
    except (OSError, KeyError, SafetensorError, ValueError, TypeError) as error:
        raise DataError(f"{folder} contains no lite0 classifier: {error}") from error
    network = load_network(size)
    with temporary_folder("features") as place:
        yield Lite0Classifier(classes, size, Lite0Features(network, place), arrays)
