"""The images of an evaluation, and the checks without which its numbers would mean nothing."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lesiongen.dataset import DIAGNOSES, Dataset
from lesiongen.errors import DataError
from lesiongen.evaluation.config import EvaluateConfig
from lesiongen.evaluation.images import LabelledImages, class_names, load_images

__all__ = ["Material", "load_material"]

SPLIT_HINT = "Ingest the images with split fractions that leave validation and test lesions."
NAMED = 5


@dataclass(frozen=True)
class Material:
    """What an evaluation works on; `notes` says in words what a reader has to know about it."""

    classes: tuple[str, ...]
    train: LabelledImages
    validation: LabelledImages
    test: LabelledImages
    synthetic: LabelledImages
    excluded: int
    notes: list[str] = field(default_factory=list)

    @property
    def counts(self) -> dict[str, Any]:
        """Images of each class in each part, lesions of the test split, and test images left out."""
        parts = {"train": self.train, "validation": self.validation, "test": self.test, "synthetic": self.synthetic}
        return {
            **{name: {"n": len(part), "per_class": part.count(self.classes)} for name, part in parts.items()},
            "test_lesions": len(np.unique(self.test.lesions)),
            "test_excluded": self.excluded,
        }


def load_material(config: EvaluateConfig, real: Dataset, synthetic: Dataset) -> Material:
    """Loads the real splits and the synthetic images and checks that the test split is untouched by training.

    Raises:
        DataError: A split is empty, too few test images are left, or a lesion or patient of the test split is also in
            another split.
    """
    _check_sizes(config, real, synthetic)
    classes = class_names([real, synthetic], tuple(DIAGNOSES))
    size = config.image_size
    train, validation, test = (load_images(real, split, classes, size) for split in ("train", "validation", "test"))
    generated = load_images(synthetic, None, classes, size)
    for other, name in ((train, "train"), (validation, "validation")):
        _check_apart(test, other, name, real.uri)
    seen = {key for part in (train, validation, generated) for key in part.keys}
    fresh = np.array([key not in seen for key in test.keys], dtype=bool)
    kept = test.take(fresh)
    _require(len(kept), config.min_test, f"{real.uri}: the test split has {len(kept)} usable images")
    return Material(
        classes,
        train,
        validation,
        kept,
        generated,
        int((~fresh).sum()),
        _notes(classes, train, kept, generated, fresh),
    )


def _check_sizes(config: EvaluateConfig, real: Dataset, synthetic: Dataset) -> None:
    splits = real.manifest.splits
    for split in ("train", "validation", "test"):
        if not splits.get(split):
            raise DataError(f"{real.uri} has no {split} images; all three splits are needed", hint=SPLIT_HINT)
    _require(splits["test"], config.min_test, f"{real.uri}: the test split has {splits['test']} images")
    if len(synthetic) == 0:
        raise DataError(f"{synthetic.uri} holds no images", hint="Sample from the generator first.")


def _require(found: int, needed: int, what: str) -> None:
    if found < needed:
        hint = f"{SPLIT_HINT} min_test sets the limit; below it no interval says anything."
        raise DataError(f"{what}, fewer than the {needed} that an evaluation needs", hint=hint)


def _check_apart(test: LabelledImages, other: LabelledImages, name: str, uri: str) -> None:
    for column in ("lesion_id", "patient_id"):
        shared = sorted(set(test.table[column].dropna()) & set(other.table[column].dropna()))
        if shared:
            some = ", ".join(map(str, shared[:NAMED]))
            raise DataError(
                f"{uri}: {len(shared)} values of {column} are in both the test and the {name} split: {some}",
                hint="Split by lesion and patient; lesiongen ingest does, unless told to keep an official split.",
            )


def _notes(
    classes: tuple[str, ...],
    train: LabelledImages,
    test: LabelledImages,
    synthetic: LabelledImages,
    fresh: NDArray[np.bool_],
) -> list[str]:
    notes = []
    for part, where in (
        (test, "the test split: its recall is not known and the means leave it out"),
        (train, "the real training split: a classifier of real images cannot predict it"),
        (synthetic, "the synthetic images: a classifier of synthetic images cannot predict it"),
    ):
        missing = [name for name, count in part.count(classes).items() if count == 0]
        if missing:
            notes.append(f"No image of {', '.join(missing)} is in {where}.")
    if not fresh.all():
        notes.append(
            f"{int((~fresh).sum())} test images were left out: their pixels are also those of a training, validation "
            "or synthetic image."
        )
    return notes
