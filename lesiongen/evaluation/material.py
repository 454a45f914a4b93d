"""The images of an evaluation, and the checks without which its numbers would mean nothing."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Literal

import numpy as np

from lesiongen.dataset import DIAGNOSES, Dataset
from lesiongen.dataset.subgroups import require_group
from lesiongen.errors import DataError
from lesiongen.evaluation.config import EvaluateConfig
from lesiongen.evaluation.images import LabelledImages, class_names, load_images
from lesiongen.evaluation.reconstructed import (
    check_real,
    check_reconstructed,
    check_synthetic,
    enlarged_notes,
    generated_notes,
    other_model_notes,
)
from lesiongen.evaluation.seen import SeenByBase, seen_by_base
from lesiongen.evaluation.test_sets import OutsideSet, load_test_sets
from lesiongen.records.evaluation import Counts, PartCounts

__all__ = ["SPLIT_HINT", "Material", "at_size", "check_apart", "load_material", "without"]

SPLIT_HINT = "Ingest the images with split fractions that leave validation and test lesions."
NAMED = 5
FILES = ("train", "validation", "test", "synthetic", "reconstructed")
"""The files of the pixels."""


@dataclass(frozen=True)
class Material:
    """What an evaluation works on; `notes` says in words what a reader has to know about it."""

    classes: tuple[str, ...]
    train: LabelledImages
    validation: LabelledImages
    test: LabelledImages
    synthetic: LabelledImages
    excluded: dict[str, int]
    notes: list[str] = field(default_factory=list)
    reconstructed: LabelledImages | None = None
    """The training images, in their order, as the generator's autoencoder gives them back; None: not given."""
    seen: SeenByBase = SeenByBase()
    """What the generator's base has seen; it is left out of the other parts."""
    elsewhere: Mapping[str, OutsideSet] = field(default_factory=dict)
    """Test sets from elsewhere, by name."""

    @property
    def counts(self) -> Counts:
        """Images of each class in each part, lesions of the test split, and validation and test images left out."""
        return Counts(
            train=self._count(self.train),
            validation=self._count(self.validation),
            test=self._count(self.test),
            synthetic=self._count(self.synthetic),
            test_lesions=len(np.unique(self.test.lesions)),
            validation_excluded=self.excluded["validation"],
            test_excluded=self.excluded["test"],
            validation_seen=self.seen.validation,
            test_seen=self.seen.test,
        )

    def _count(self, part: LabelledImages) -> PartCounts:
        return PartCounts(n=len(part), per_class={name: count for name, count in part.count(self.classes).items()})


def load_material(
    config: EvaluateConfig,
    real: Dataset,
    synthetic: Dataset,
    reconstructed: Dataset | None = None,
    *,
    size: int | None = None,
    test_sets: Mapping[str, Dataset] = MappingProxyType({}),
    folder: Path | None = None,
) -> Material:
    """Loads the real splits, the synthetic images and the reconstructions, and checks that the splits are apart.

    Left out are validation images whose pixels are also in the training split, test images whose pixels are in any
    other part, and what of both the generator's base model was trained on.

    Args:
        config: The settings.
        real: The real images with their three splits.
        synthetic: The synthetic images.
        reconstructed: The reconstructions of the training images, if there are any.
        size: Side of the images in pixels; None: that of the settings.
        test_sets: Test sets from elsewhere, by name.
        folder: Where the pixels are kept, so that memory stays flat; None: in memory.

    Raises:
        DataError: A split is empty, no validation or too few test images are left, two splits share a lesion, a
            patient or a case, or the configuration's worst group has no test images; images that a model made are given
            as real ones, reconstructions as synthetic ones, or they are not those of the training images; or a test
            set cannot be used (`load_test_sets` says when).
    """
    _check_sizes(config, real, synthetic)
    check_real(real)
    check_synthetic(synthetic)
    if reconstructed is not None:
        check_reconstructed(reconstructed, real)
    classes = class_names([real, synthetic], tuple(DIAGNOSES))
    size = size or config.image_size
    files: dict[str, Path | None] = {name: folder and folder / name for name in FILES}
    train, validation, test = (
        load_images(real, split, classes, size, file=files[split]) for split in ("train", "validation", "test")
    )
    generated = load_images(synthetic, None, classes, size, file=files["synthetic"])
    parts = {"train": train, "validation": validation, "test": test}
    for one, other in (("test", "train"), ("test", "validation"), ("validation", "train")):
        check_apart(parts, one, other, real.uri)
    unseen, fresh = without(validation, train), without(test, train, validation, generated)
    excluded = {"validation": len(validation) - len(unseen), "test": len(test) - len(fresh)}
    seen = seen_by_base(real, synthetic)
    unseen, fresh = _not_seen(config, real.uri, seen, unseen, fresh)
    notes = [*_missing_notes(classes, train, fresh, generated), *_excluded_notes(excluded), *generated_notes(real)]
    notes += seen.notes()
    elsewhere = load_test_sets(config.min_test, real, synthetic, test_sets, classes, size, folder)
    notes += [note for name, each in elsewhere.items() for note in each.notes(name)]
    if reconstructed is None:
        return Material(classes, train, unseen, fresh, generated, excluded, notes, None, seen, elsewhere)
    notes += [*other_model_notes(reconstructed, synthetic), *enlarged_notes(reconstructed, size)]
    kept = {"file": files["reconstructed"], "image_ids": train.table["image_id"].tolist()}
    passed = load_images(reconstructed, None, classes, size, kind="reconstructed", **kept)
    return Material(classes, train, unseen, fresh, generated, excluded, notes, passed, seen, elsewhere)


def _not_seen(
    config: EvaluateConfig, uri: str, seen: SeenByBase, validation: LabelledImages, test: LabelledImages
) -> tuple[LabelledImages, LabelledImages]:
    """Returns the validation and the test images that no model has learnt from, of which there have to be some."""
    if not len(validation):
        raise DataError(f"{uri}: every validation image is also a training image", hint=SPLIT_HINT)
    validation, test = _without_ids(validation, seen.validation), _without_ids(test, seen.test)
    if not len(validation):
        hint = "Train the generator from another base, or ingest the images with another split."
        raise DataError(f"{uri}: the generator's base model was trained on every validation image", hint=hint)
    _require(len(test), config.min_test, f"{uri}: the test split has {len(test)} usable images")
    _check_worst_group(config, test, uri)
    return validation, test


def at_size(
    material: Material,
    real: Dataset,
    synthetic: Dataset,
    size: int,
    folder: Path,
    *,
    reconstructed: Dataset | None = None,
) -> Material:
    """Returns the same images at another size, for a classifier that takes them so; nothing else is changed.

    Args:
        material: What `load_material` returned for these datasets.
        real: The real images.
        synthetic: The synthetic images.
        size: Side of the images in pixels.
        folder: Where their pixels are kept: memory stays flat.
        reconstructed: The reconstructions, where the material has them.
    """
    if size == material.train.size:
        return material

    def again(split: Literal["train", "validation", "test"]) -> LabelledImages:
        image_ids = getattr(material, split).table["image_id"].tolist()
        return load_images(real, split, material.classes, size, file=folder / split, image_ids=image_ids)

    sized = replace(
        material,
        train=again("train"),
        validation=again("validation"),
        test=again("test"),
        synthetic=load_images(synthetic, None, material.classes, size, file=folder / "synthetic"),
        elsewhere={
            name: each.at_size(name, material.classes, size, folder) for name, each in material.elsewhere.items()
        },
    )
    if reconstructed is None:
        return sized
    passed = load_images(
        reconstructed,
        None,
        material.classes,
        size,
        kind="reconstructed",
        file=folder / "reconstructed",
        image_ids=sized.train.table["image_id"].tolist(),
    )
    return replace(sized, reconstructed=passed)


def _check_sizes(config: EvaluateConfig, real: Dataset, synthetic: Dataset) -> None:
    splits = real.manifest.splits
    for split in ("train", "validation", "test"):
        if not splits.get(split):
            raise DataError(f"{real.uri} has no {split} images; all three splits are needed", hint=SPLIT_HINT)
    _require(splits["test"], config.min_test, f"{real.uri}: the test split has {splits['test']} images")
    if len(synthetic) == 0:
        raise DataError(f"{synthetic.uri} contains no images", hint="Sample from the generator first.")


def _require(found: int, needed: int, what: str) -> None:
    if found < needed:
        hint = f"{SPLIT_HINT} min_test sets the limit; below it no interval says anything."
        raise DataError(f"{what}, fewer than the {needed} that an evaluation needs", hint=hint)


def _check_worst_group(config: EvaluateConfig, test: LabelledImages, uri: str) -> None:
    if config.worst_group is not None:
        require_group(test.table, config.worst_group, uri, "test images")


def without(images: LabelledImages, *others: LabelledImages) -> LabelledImages:
    """Leaves out the images whose pixels also occur in one of the others."""
    seen = {key for part in others for key in part.keys}
    kept = np.array([key not in seen for key in images.keys], dtype=bool)
    return images if kept.all() else images.take(kept)


def _without_ids(images: LabelledImages, image_ids: Collection[str]) -> LabelledImages:
    """Leaves out the images of some ids."""
    return images.take(~images.table["image_id"].isin(image_ids).to_numpy()) if image_ids else images


def check_apart(parts: Mapping[str, LabelledImages], one: str, other: str, uri: str) -> None:
    """Checks that two splits share no lesion, no patient and no case.

    Raises:
        DataError: They do; the message names some.
    """
    for column in ("lesion_id", "patient_id", "case_id"):
        shared = sorted(set(parts[one].table[column].dropna()) & set(parts[other].table[column].dropna()))
        if shared:
            some = ", ".join(map(str, shared[:NAMED]))
            raise DataError(
                f"{uri}: {len(shared)} values of {column} are in both the {one} and the {other} split: {some}",
                hint="Split by lesion and patient; lesiongen ingest does, unless an official split is kept.",
            )


def _missing_notes(
    classes: tuple[str, ...], train: LabelledImages, test: LabelledImages, synthetic: LabelledImages
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
    return notes


def _excluded_notes(excluded: Mapping[str, int]) -> list[str]:
    where = {"validation": "a training image", "test": "a training, validation or synthetic image"}
    return [
        f"{number} {name} images were left out: their pixels are also those of {where[name]}."
        for name, number in excluded.items()
        if number
    ]
