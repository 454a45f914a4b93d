"""The datasets of controls: other real images, and images drawn from captions that name the diagnosis alone."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lesiongen.dataset import Dataset
from lesiongen.errors import DataError
from lesiongen.evaluation.images import LabelledImages, load_images
from lesiongen.evaluation.material import Material
from lesiongen.evaluation.reconstructed import check_all_real, check_synthetic
from lesiongen.evaluation.seen import seen_by_base
from lesiongen.records.controls import ControlName

__all__ = ["ControlImages", "load_control_images"]

ID_COLUMNS = ("image_id", "lesion_id", "patient_id", "case_id")


@dataclass(frozen=True)
class ControlImages:
    """Images that a control mixes in, and how many of its dataset were left out."""

    images: LabelledImages
    n_left_out: int


def load_control_images(
    material: Material, real: Dataset, datasets: Mapping[ControlName, Dataset]
) -> dict[ControlName, ControlImages]:
    """Loads the datasets of controls at the size of the material.

    Of further images those of the train split are taken. Left out are images of a diagnosis that the evaluation does
    not have, images that share an id of image, lesion, patient or case with a validation or test image, and images
    whose pixels are those of a validation, test or training image.

    Args:
        material: The images of the evaluation.
        real: The dataset of real images that they are of.
        datasets: By the name of the control.

    Raises:
        DataError: No image is left; a further image is not real; an image in the place of one of label-only captions is
            a reconstruction, a diagnosis does not have one caption, or the base of their generator has seen a
            held-out image that is not left out.
    """
    return {name: _loaded(material, real, name, dataset) for name, dataset in datasets.items()}


def _loaded(material: Material, real: Dataset, name: ControlName, dataset: Dataset) -> ControlImages:
    split = "train" if name == "further-images" else None
    if name == "further-images":
        check_all_real(dataset, "train")
    else:
        check_synthetic(dataset)
        _check_label_only(dataset)
        _check_unseen(material, real, dataset)
    table = dataset.metadata(["image_id", "diagnosis"], split)
    image_ids = table.loc[table["diagnosis"].isin(material.classes), "image_id"].tolist()
    size = material.train.size
    images = load_images(dataset, split, material.classes, size, kind=name, image_ids=image_ids)
    kept = images.take(_is_apart(images, material))
    if not len(kept):
        raise DataError(
            f"{dataset.uri}: none of the {len(table)} images can be used by the control {name}: they are held-out or "
            "training images, or of other diagnoses",
            hint="Give other images, with diagnoses of the evaluation.",
        )
    return ControlImages(kept, len(table) - len(kept))


def _is_apart(images: LabelledImages, material: Material) -> NDArray[np.bool_]:
    """Tells which images [n] are neither held-out images, nor of held-out lesions, nor training images."""
    held_out = (material.validation, material.test)
    seen = {key for part in (*held_out, material.train) for key in part.keys}
    apart = np.array([key not in seen for key in images.keys], dtype=bool)
    for column in ID_COLUMNS:
        known = {str(value) for part in held_out for value in part.table[column].dropna()}
        apart &= ~images.table[column].map(lambda value, known=known: str(value) in known).to_numpy(dtype=bool)
    return apart


def _check_unseen(material: Material, real: Dataset, dataset: Dataset) -> None:
    """The material leaves out what the base behind the synthetic images has seen; that of a control may be another."""
    seen = seen_by_base(real, dataset)
    held_out = {image_id for part in (material.validation, material.test) for image_id in part.table["image_id"]}
    if found := held_out & {*seen.validation, *seen.test}:
        raise DataError(
            f"{dataset.uri}: the base model of its generator was trained on {len(found)} validation or test images",
            hint="Draw the images of label-only captions with a generator of the same base.",
        )


def _check_label_only(dataset: Dataset) -> None:
    """Images of a diagnosis have one caption where it states the diagnosis alone."""
    captions = dataset.metadata(["diagnosis", "caption"])
    of_diagnosis = captions.groupby("diagnosis")["caption"]
    wrong = [str(name) for name, each in of_diagnosis if each.isna().any() or each.nunique() > 1]
    if wrong:
        raise DataError(
            f"{dataset.uri}: the images of {', '.join(wrong)} do not have one caption: they were not drawn from "
            "captions that state the diagnosis alone",
            hint="Train and sample with captions of lesiongen caption --label-only.",
        )
