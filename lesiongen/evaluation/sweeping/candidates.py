"""Training the candidates of a sweep, on real training images and the synthetic images that a filter keeps."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lesiongen.dataset import Dataset
from lesiongen.errors import UsageError
from lesiongen.evaluation.choosing import ChoosingMaterial, load_choosing
from lesiongen.evaluation.classifier.kinds.kind import ClassifierKind, RealImages, Trainer
from lesiongen.evaluation.classifier.kinds.registry import opened_kind
from lesiongen.evaluation.classifier.mixtures import Mixture, TrainingImages, protocol_mixture
from lesiongen.evaluation.images import LabelledImages
from lesiongen.evaluation.selection.rules import copy_threshold, select_images
from lesiongen.evaluation.selection.scoring import Similarities, recognise, similarities
from lesiongen.evaluation.sweeping.config import SweepConfig
from lesiongen.evaluation.sweeping.grid import Setting
from lesiongen.records.sweep import CandidatePredictions
from lesiongen.temporary import temporary_folder

__all__ = ["Trainings", "opened_trainings"]


@dataclass(frozen=True)
class Trainings:
    """What trains candidates; what several of them need is computed when it is first asked for, and once.

    Attributes:
        config: The settings of the sweep.
        judge: Name of the classifier that is trained.
        real: The real images.
        synthetic: The sets of synthetic images by name.
        material: The images, at the size of the classifier.
        trainer: Trains the classifier, with settings that real images have fixed.
    """

    config: SweepConfig
    judge: str
    real: Dataset
    synthetic: Mapping[str, Dataset]
    material: ChoosingMaterial
    trainer: Trainer

    def kept(self, setting: Setting) -> dict[str, NDArray[np.bool_]]:
        """Returns which images of each of a setting's sets the filter keeps; the sets are filtered as one pool."""
        sets, chosen = {name: self.material.synthetic[name] for name in setting.sets}, setting.filter
        labels = np.concatenate([images.labels for images in sets.values()])
        drops, scored = chosen.drop_near_copies, chosen.keep < 1
        near = np.concatenate([self._near.synthetic[name] if drops else np.zeros(len(sets[name])) for name in sets])
        found = select_images(
            labels,
            np.concatenate([self._chances[name] for name in sets]) if scored else None,
            np.asarray(near, np.float32),
            keep=chosen.keep,
            threshold=copy_threshold(self._near.validation, self.config.copy_percentile) if drops else None,
        )
        ends = np.cumsum([len(images) for images in sets.values()])[:-1]
        return dict(zip(sets, np.split(found.kept, ends), strict=True))

    def predictions(self, setting: Setting, on_step: Callable[[int], None]) -> CandidatePredictions:
        """Trains the classifiers of a setting, and has them predict the validation images."""
        images, count = self._training_images(setting)
        predicted = []
        for seed in range(self.config.n_seeds):
            model = self.trainer.train(images, seed, on_step).model
            classes = model.probabilities(self.material.validation.images).argmax(axis=1)
            predicted.append(tuple(classes.tolist()))
        return CandidatePredictions(
            name=setting.name, n_synthetic=count, predictions=tuple(predicted), classifier=self.trainer.source
        )

    def _training_images(self, setting: Setting) -> tuple[TrainingImages, int]:
        train = self.material.train
        if setting.mixing is None:
            return Mixture(train), 0
        config = self.config.evaluate_config(self.judge, setting.mixing)
        kept = self.kept(setting)
        added = _pooled([self.material.synthetic[name].take(mask) for name, mask in kept.items()])
        return protocol_mixture(config, train, added, len(self.material.classes)), len(added)

    @cached_property
    def _near(self) -> Similarities:
        return similarities(self.material.train, self.material.validation, self.material.synthetic)

    @cached_property
    def _chances(self) -> dict[str, NDArray[np.float32]]:
        config = self.config
        settings = config.evaluate_config(config.recogniser)
        with opened_kind(config.recogniser, settings) as kind, temporary_folder("images") as folder:
            material = self.material
            if kind.image_size != material.train.size:
                material = load_choosing(self.real, self.synthetic, kind.image_size, folder)
            return recognise(material, kind, config.recogniser_seeds).chances


def _pooled(parts: list[LabelledImages]) -> LabelledImages:
    return LabelledImages(
        np.concatenate([part.images for part in parts]),
        np.concatenate([part.labels for part in parts]),
        pd.concat([part.table.astype(object) for part in parts], ignore_index=True),
    )


@contextmanager
def opened_trainings(
    config: SweepConfig, judge: str, real: Dataset, synthetic: Mapping[str, Dataset]
) -> Iterator[Trainings]:
    """Loads the images and fixes the settings of the classifier on the real ones.

    Raises:
        UsageError: There is no such classifier, or it cannot be trained by one of the protocols.
        DataError: As `load_choosing` raises it.
    """
    with opened_kind(judge, config.evaluate_config(judge)) as kind, temporary_folder("images") as folder:
        _check_protocols(config, judge, kind)
        material = load_choosing(real, synthetic, kind.image_size, folder)
        trainer = kind.trainer(RealImages(material.train, material.validation, material.classes))
        yield Trainings(config, judge, real, synthetic, material, trainer)


def _check_protocols(config: SweepConfig, judge: str, kind: ClassifierKind) -> None:
    for mixing in config.mixings:
        if obstacle := kind.obstacle(config.evaluate_config(judge, mixing)):
            raise UsageError(
                f"classifier {judge!r} cannot be trained by the protocol {mixing.protocol}: {obstacle}",
                hint="Leave the protocol out of mixings, or choose another classifier.",
            )
