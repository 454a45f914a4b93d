"""Training the candidates of a sweep, on real training images and the synthetic images that a filter keeps."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lesiongen.dataset import Dataset
from lesiongen.errors import DataError, UsageError
from lesiongen.evaluation.choosing import ChoosingMaterial, load_choosing
from lesiongen.evaluation.classifier.kinds.kind import ClassifierKind, RealImages, Trainer
from lesiongen.evaluation.classifier.kinds.registry import opened_kind
from lesiongen.evaluation.classifier.mixtures import Mixture, TrainingImages, check_mixable, protocol_mixture
from lesiongen.evaluation.images import LabelledImages
from lesiongen.evaluation.pixel_files import joined
from lesiongen.evaluation.selection.rules import copy_threshold, select_images
from lesiongen.evaluation.selection.scoring import Similarities, recognise, similarities
from lesiongen.evaluation.sweeping.config import SweepConfig
from lesiongen.evaluation.sweeping.grid import Setting
from lesiongen.evaluation.sweeping.kept_scores import kept_scores
from lesiongen.records.sweep import CandidatePredictions, ImageScores
from lesiongen.storage import Storage
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
        storage: Where the scores of the images are kept.
    """

    config: SweepConfig
    judge: str
    real: Dataset
    synthetic: Mapping[str, Dataset]
    material: ChoosingMaterial
    trainer: Trainer
    storage: Storage

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

    def obstacle(self, setting: Setting) -> str:
        """Returns why a setting cannot be trained; empty where it can."""
        if setting.mixing is None:
            return ""
        kept, config = self.kept(setting), self.config.evaluate_config(self.judge, setting.mixing)
        labels = np.concatenate([self.material.synthetic[name].labels[mask] for name, mask in kept.items()])
        if not len(labels):
            return "the filter keeps no image: all are near copies of training images"
        try:
            check_mixable(config, self.material.train.labels, labels, len(self.material.classes))
        except DataError as error:
            return str(error.args[0])
        return ""

    def predictions(self, setting: Setting, on_step: Callable[[int], None]) -> CandidatePredictions:
        """Trains the classifiers of a setting, and has them predict the validation images.

        Raises:
            DataError: The setting cannot be trained; `obstacle` says why.
        """
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
        if obstacle := self.obstacle(setting):
            raise DataError(f"{setting.name} cannot be trained: {obstacle}")
        config = self.config.evaluate_config(self.judge, setting.mixing)
        kept = {name: mask for name, mask in self.kept(setting).items() if mask.any()}
        added = _pooled([_taken(self.material.synthetic[name], mask) for name, mask in kept.items()])
        return protocol_mixture(config, train, added, len(self.material.classes)), len(added)

    @cached_property
    def _near(self) -> Similarities:
        material = self.material

        def found() -> ImageScores:
            near = similarities(material.train, material.validation, material.synthetic)
            return ImageScores(synthetic=_as_lists(near.synthetic), validation=tuple(near.validation.tolist()))

        scores = kept_scores(self.storage, "scores/similarities.json", material, found)
        return Similarities(_as_arrays(scores.synthetic), np.array(scores.validation, np.float32))

    @cached_property
    def _chances(self) -> dict[str, NDArray[np.float32]]:
        scores = kept_scores(
            self.storage,
            "scores/probabilities.json",
            self.material,
            lambda: ImageScores(synthetic=_as_lists(self._recognised())),
        )
        return _as_arrays(scores.synthetic)

    def _recognised(self) -> Mapping[str, NDArray[np.float32]]:
        config = self.config
        settings = config.evaluate_config(config.recogniser)
        with opened_kind(config.recogniser, settings) as kind, temporary_folder("images") as folder:
            material = self.material
            if kind.image_size != material.train.size:
                material = load_choosing(self.real, self.synthetic, kind.image_size, folder)
            return recognise(material, kind, config.recogniser_seeds).chances


def _as_lists(scores: Mapping[str, NDArray[np.float32]]) -> dict[str, tuple[float, ...]]:
    return {name: tuple(each.tolist()) for name, each in scores.items()}


def _as_arrays(scores: Mapping[str, tuple[float, ...]]) -> dict[str, NDArray[np.float32]]:
    return {name: np.array(each, np.float32) for name, each in scores.items()}


def _taken(images: LabelledImages, kept: NDArray[np.bool_]) -> LabelledImages:
    return images if kept.all() else images.take(kept)


def _pooled(parts: Sequence[LabelledImages]) -> LabelledImages:
    """Returns the images of all parts, their pixels where those of the first part are: in memory or in a file."""
    if len(parts) == 1:
        return parts[0]
    return LabelledImages(
        joined(*(part.images for part in parts)),
        np.concatenate([part.labels for part in parts]),
        pd.concat([part.table.astype(object) for part in parts], ignore_index=True),
    )


@contextmanager
def opened_trainings(
    config: SweepConfig, judge: str, real: Dataset, synthetic: Mapping[str, Dataset], storage: Storage
) -> Iterator[Trainings]:
    """Loads the images and fixes the settings of the classifier on the real ones.

    Args:
        config: The settings of the sweep.
        judge: Name of the classifier that is trained.
        real: The real images.
        synthetic: The sets of synthetic images by name.
        storage: Where the scores of the images are kept.

    Raises:
        UsageError: There is no such classifier, or it cannot be trained by one of the protocols.
        DataError: As `load_choosing` raises it.
    """
    with opened_kind(judge, config.evaluate_config(judge)) as kind, temporary_folder("images") as folder:
        _check_protocols(config, judge, kind)
        material = load_choosing(real, synthetic, kind.image_size, folder)
        trainer = kind.trainer(RealImages(material.train, material.validation, material.classes))
        yield Trainings(config, judge, real, synthetic, material, trainer, storage)


def _check_protocols(config: SweepConfig, judge: str, kind: ClassifierKind) -> None:
    for mixing in config.mixings:
        if obstacle := kind.obstacle(config.evaluate_config(judge, mixing)):
            raise UsageError(
                f"classifier {judge!r} cannot be trained by the protocol {mixing.protocol}: {obstacle}",
                hint="Leave the protocol out of mixings, or choose another classifier.",
            )
