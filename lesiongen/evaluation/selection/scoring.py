"""What a selection goes by: how well each image is recognised, and how near it is to a training image."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from lesiongen.evaluation.choosing import ChoosingMaterial
from lesiongen.evaluation.classifier.kinds.kind import ClassifierKind, RealImages
from lesiongen.evaluation.classifier.mixtures import Mixture
from lesiongen.evaluation.images import LabelledImages
from lesiongen.evaluation.neighbours import nearest_training_images
from lesiongen.progress import progress
from lesiongen.records.scores import ClassifierSource

__all__ = ["Recognition", "Similarities", "recognise", "similarities"]


@dataclass(frozen=True)
class Recognition:
    """How well the diagnosis that each synthetic image was asked for is recognised.

    Attributes:
        chances: By set, the probability [n] of that diagnosis, mean over the classifiers.
        source: What the classifiers are.
        validation: Balanced accuracy of each classifier on the validation images.
    """

    chances: dict[str, NDArray[np.float32]]
    source: ClassifierSource
    validation: tuple[float, ...]


@dataclass(frozen=True)
class Similarities:
    """Similarity to the nearest training image: of the synthetic images by set, and of the validation images."""

    synthetic: dict[str, NDArray[np.float32]]
    validation: NDArray[np.float32]


def recognise(material: ChoosingMaterial, kind: ClassifierKind, n_seeds: int) -> Recognition:
    """Trains classifiers on the real training images and asks them for the diagnosis of every synthetic image.

    Args:
        material: The images, at the size of the kind.
        kind: The kind of classifier.
        n_seeds: How many are trained, seeded 0, 1, 2, …
    """
    trainer = kind.trainer(RealImages(material.train, material.validation, material.classes))
    sums = {name: np.zeros(len(images), np.float32) for name, images in material.synthetic.items()}
    scores = []
    with progress("Training classifiers of real images", total=n_seeds * trainer.steps, unit="steps") as bar:
        for seed in range(n_seeds):
            note = f"classifier {seed + 1} of {n_seeds}"
            trained = trainer.train(Mixture(material.train), seed, partial(bar.advance, note=note))
            scores.append(trained.validation_balanced_accuracy)
            for name, images in material.synthetic.items():
                sums[name] += _asked_for(trained.model.probabilities(images.images), images)
    chances = {name: np.asarray(total / n_seeds, np.float32) for name, total in sums.items()}
    return Recognition(chances, trainer.source, tuple(scores))


def _asked_for(probabilities: NDArray[np.float32], images: LabelledImages) -> NDArray[np.float32]:
    return np.asarray(probabilities[np.arange(len(images)), images.labels])


def similarities(
    train: LabelledImages, validation: LabelledImages, synthetic: Mapping[str, LabelledImages]
) -> Similarities:
    """Finds how near the synthetic and the validation images are to a training image (`nearest_training_images`)."""
    found = nearest_training_images(train.images, validation.images, *(images.images for images in synthetic.values()))
    held_out, *drawn = (each.similarity for each in found)
    return Similarities(dict(zip(synthetic, drawn, strict=True)), held_out)
