"""The images that a choice may look at: training, validation and synthetic ones. The test split is never opened."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from lesiongen.dataset import DIAGNOSES, Dataset
from lesiongen.errors import DataError
from lesiongen.evaluation.images import LabelledImages, class_names, load_images
from lesiongen.evaluation.material import SPLIT_HINT, check_apart, without
from lesiongen.evaluation.reconstructed import check_real, check_synthetic

__all__ = ["ChoosingMaterial", "check_choosing", "load_choosing"]


@dataclass(frozen=True)
class ChoosingMaterial:
    """What settings and images are chosen on.

    Attributes:
        classes: The diagnoses, in the order of their numbers.
        train: The real training images.
        validation: The real validation images whose pixels are not also those of a training image.
        synthetic: The synthetic images, by the name of their set.
    """

    classes: tuple[str, ...]
    train: LabelledImages
    validation: LabelledImages
    synthetic: dict[str, LabelledImages]


def check_choosing(real: Dataset, synthetic: Mapping[str, Dataset]) -> None:
    """Checks what the manifests and the columns of the datasets say, before any image is decoded.

    Raises:
        DataError: A split is empty, a synthetic set is, images that a model made are among the validation images, or
            real ones or reconstructions among the synthetic ones.
    """
    for split in ("train", "validation"):
        if not real.manifest.splits.get(split):
            raise DataError(f"{real.uri} has no {split} images; a choice needs them", hint=SPLIT_HINT)
    check_real(real, splits=("validation",))
    for dataset in synthetic.values():
        check_synthetic(dataset)


def load_choosing(real: Dataset, synthetic: Mapping[str, Dataset], size: int, folder: Path) -> ChoosingMaterial:
    """Loads the training, validation and synthetic images as squares, and checks that the splits are apart.

    Args:
        real: The real images.
        synthetic: Sets of synthetic images by name.
        size: Side in pixels.
        folder: Where the squares are kept: memory stays flat.

    Raises:
        DataError: As `check_choosing`; or the splits share a lesion, a patient or a case, an image cannot be decoded,
            or every validation image is also a training image.
    """
    check_choosing(real, synthetic)
    classes = class_names([real, *synthetic.values()], tuple(DIAGNOSES))
    parts = {split: load_images(real, split, classes, size, file=folder / split) for split in ("train", "validation")}
    check_apart(parts, "validation", "train", real.uri)
    validation = without(parts["validation"], parts["train"])
    if not len(validation):
        raise DataError(f"{real.uri}: every validation image is also a training image", hint=SPLIT_HINT)
    drawn = {
        name: load_images(dataset, None, classes, size, kind=f"synthetic ({name})", file=folder / f"{number}.bytes")
        for number, (name, dataset) in enumerate(synthetic.items())
    }
    return ChoosingMaterial(classes, parts["train"], validation, drawn)
