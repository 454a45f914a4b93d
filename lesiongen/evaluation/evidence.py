"""What measures look at: the images, the trained classifiers, and what several measures need of them."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lesiongen.evaluation.classifier.conditions import Outcome, Predictions, Trained
from lesiongen.evaluation.concepts.sources import ConceptSources
from lesiongen.evaluation.config import EvaluateConfig
from lesiongen.evaluation.copies.search import Similarities, searched
from lesiongen.evaluation.extractor import Extracted
from lesiongen.evaluation.images import LabelledImages
from lesiongen.evaluation.material import Material
from lesiongen.evaluation.measures.metrics import Resamples
from lesiongen.evaluation.neighbours import Neighbours, nearest_training_images
from lesiongen.evaluation.pixel_files import joined
from lesiongen.records.scores import Condition
from lesiongen.seeds import derive_seed

__all__ = ["Evidence", "Results"]


@dataclass(frozen=True)
class Results:
    """What the classifiers of each condition make of the held-out images.

    Attributes:
        config: The settings of the evaluation.
        material: The images.
        outcomes: The predictions of each condition.
        test_set: The test set from elsewhere whose images and predictions are in place of the run's own; blank: own.
    """

    config: EvaluateConfig
    material: Material
    outcomes: Mapping[Condition, Predictions]
    test_set: str = field(default="", kw_only=True)

    @cached_property
    def resamples(self) -> Resamples:
        """Resamples of the test lesions, the same for every measure."""
        config = self.config
        seed = derive_seed(config.seed, "bootstrap", *([self.test_set] if self.test_set else []))
        return Resamples(self.material.test.lesions, config.n_bootstrap, config.confidence, seed)

    def on(self, test_set: str, outcomes: Mapping[Condition, Predictions] | None = None) -> "Results":
        """Returns what classifiers make of a test set from elsewhere, in place of the run's own test images.

        Args:
            test_set: Its name.
            outcomes: Predictions of other classifiers; None: of these.
        """
        material = replace(self.material, test=self.material.elsewhere[test_set].images)
        there = {
            name: replace(each, probabilities=each.elsewhere[test_set])
            for name, each in (self.outcomes if outcomes is None else outcomes).items()
        }
        return Results(self.config, material, there, test_set=test_set)


@dataclass(frozen=True)
class Evidence(Results):
    """What measures look at; what several of them need is computed when it is first asked for, and once.

    Attributes:
        outcomes: The trained classifiers of each condition.
        folder: Where the files of the evaluation are put together; a measure may write its own.
        trained: What each kind of classifier says of every condition, the primary one, whose outcomes these are, first.
        concept_sources: What concept fidelity is measured on; None: it is not measured.
        extracted: Features by the extractor that the configuration names; None where it names none.
    """

    outcomes: Mapping[Condition, Outcome]
    folder: Path
    trained: Mapping[str, Trained]
    concept_sources: ConceptSources | None = None
    extracted: Extracted | None = None

    @classmethod
    def of(
        cls,
        config: EvaluateConfig,
        material: Material,
        trained: Mapping[str, Trained],
        folder: Path,
        concept_sources: ConceptSources | None = None,
        extracted: Extracted | None = None,
    ) -> "Evidence":
        """Returns the evidence of classifiers of one kind or several, the primary one first."""
        first = next(iter(trained.values()))
        return cls(config, material, first.outcomes, folder, trained, concept_sources, extracted)

    @property
    def primary(self) -> Trained:
        """The classifier that verdict, tests and gates rest on."""
        return next(iter(self.trained.values()))

    @cached_property
    def held_out(self) -> NDArray[np.uint8]:
        """Real images that no training has seen, [n, size, size, 3]: the validation images, then the test images."""
        return joined(self.material.validation.images, self.material.test.images)

    @cached_property
    def neighbours(self) -> tuple[Neighbours, Neighbours]:
        """The training images nearest to the synthetic images and to the held-out real ones."""
        material = self.material
        synthetic, held_out = nearest_training_images(material.train.images, material.synthetic.images, self.held_out)
        return synthetic, held_out

    @cached_property
    def copies(self) -> Similarities:
        """How near the synthetic, the held-out and copied training images come to a training image, by descriptor."""
        material, config = self.material, self.config
        return searched(
            material.train.images,
            material.synthetic.images,
            self.held_out,
            self.neighbours,
            n_calibration=len(material.validation),
            n_planted=config.planted_copies,
            seed=config.seed,
        )

    @property
    def judge(self) -> str:
        """The best classifier of real images, in words; it sees the images of `chances` and `features`."""
        seed = self.outcomes["real"].best_seed
        return f"the classifier trained on real images (seed {seed}, {self.material.train.size} pixels)"

    @cached_property
    def chances(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Probabilities of the judge for the training and for the synthetic images, each [n, classes]."""
        model = self.outcomes["real"].best.model
        train, synthetic = (model.probabilities(images.images) for images in self._compared)
        return train, synthetic

    def features(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Returns the judge's penultimate features [n, width] of images [n, size, size, 3]."""
        return self.outcomes["real"].best.model.embed(images)

    @property
    def _compared(self) -> tuple[LabelledImages, LabelledImages]:
        return self.material.train, self.material.synthetic
