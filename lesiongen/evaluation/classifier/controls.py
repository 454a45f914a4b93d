"""Classifiers of the controls: what might explain a gain that synthetic images seem to bring."""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace

import numpy as np

from lesiongen.evaluation.classifier.conditions import TrainedControl, outcome_of, train_seeds
from lesiongen.evaluation.classifier.kinds.kind import ClassifierKind, RealImages
from lesiongen.evaluation.classifier.kinds.registry import opened_kind
from lesiongen.evaluation.classifier.mixtures import Mixture, TrainingImages, protocol_mixture
from lesiongen.evaluation.config import EvaluateConfig
from lesiongen.evaluation.control_images import ControlImages
from lesiongen.evaluation.images import LabelledImages
from lesiongen.evaluation.material import Material
from lesiongen.progress import progress
from lesiongen.records.controls import ControlName
from lesiongen.seeds import derive_seed

__all__ = ["PreparedControl", "opened_longer", "permuted_labels", "prepared_controls", "train_controls"]


@dataclass(frozen=True)
class PreparedControl:
    """What a control is trained on.

    Attributes:
        mixture: The training images.
        n_images: Number of images in the place of the synthetic ones.
        n_left_out: Number of images that were given for it and left out.
    """

    mixture: TrainingImages
    n_images: int = 0
    n_left_out: int = 0


def prepared_controls(
    config: EvaluateConfig, material: Material, given: Mapping[ControlName, ControlImages]
) -> dict[ControlName, PreparedControl]:
    """Returns what each control of a configuration is trained on.

    Args:
        config: The controls and the protocol, by which images are mixed in the place of the synthetic ones.
        material: The images of the evaluation.
        given: The images of the controls that have a dataset of their own.

    Raises:
        DataError: The protocol cannot mix the images.
    """
    found: dict[ControlName, PreparedControl] = {}
    for name in config.controls:
        if name == "longer":
            found[name] = PreparedControl(Mixture(material.train))
            continue
        if name == "permuted-labels":
            added = ControlImages(permuted_labels(material.synthetic, derive_seed(config.seed, "permuted labels")), 0)
        else:
            added = given[name]
        mixture = protocol_mixture(config, material.train, added.images, len(material.classes))
        found[name] = PreparedControl(mixture, len(added.images), added.n_left_out)
    return found


def permuted_labels(images: LabelledImages, seed: int) -> LabelledImages:
    """Returns the images with their labels exchanged among them at random: each class has as many as before."""
    return replace(images, labels=np.random.default_rng(seed).permutation(images.labels))


def opened_longer(config: EvaluateConfig) -> AbstractContextManager[ClassifierKind]:
    """Gives the first kind of classifier with the budget of the control ``longer``."""
    return opened_kind(config.classifiers[0], config.changed(steps=round(config.steps * config.longer_factor)))


def train_controls(
    config: EvaluateConfig,
    material: Material,
    prepared: Mapping[ControlName, PreparedControl],
    kind: ClassifierKind,
    longer: ClassifierKind | None,
) -> dict[ControlName, TrainedControl]:
    """Trains the classifiers of the controls with the settings of every condition.

    They predict the validation images and the run's own test images alone: controls are not tested elsewhere.

    Args:
        config: Number of classifiers.
        material: The images, at the size of the kind.
        prepared: What `prepared_controls` returned.
        kind: The kind of classifier.
        longer: The same with the budget of the control ``longer``, where that is one of them.
    """
    if not prepared:
        return {}
    real = RealImages(material.train, material.validation, material.classes)
    trainers = {name: (longer if name == "longer" and longer else kind).trainer(real) for name in prepared}
    total = config.n_seeds * sum(trainer.steps for trainer in trainers.values())
    own = replace(material, elsewhere={})
    found = {}
    with progress("Training controls", total=total, unit="steps") as bar:
        for name, each in prepared.items():
            outcome = outcome_of(train_seeds(trainers[name], each.mixture, config.n_seeds, bar, name), own)
            found[name] = TrainedControl(outcome, each.n_images, each.n_left_out)
    return found
