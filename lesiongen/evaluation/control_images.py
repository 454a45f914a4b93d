"""The datasets of controls: other real images, and images drawn from captions that name the diagnosis alone."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

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
    """Images that a control mixes in, how many of its dataset were left out, and what a reader has to know of them."""

    images: LabelledImages
    n_left_out: int
    notes: tuple[str, ...] = ()


def load_control_images(
    material: Material, real: Dataset, datasets: Mapping[ControlName, Dataset], folder: Path | None = None
) -> dict[ControlName, ControlImages]:
    """Loads the datasets of controls at the size of the material.

    Of further images those of the train split are taken. Left out are images of a diagnosis that the evaluation does
    not have, images that share an id of image, lesion, patient or case with a validation or test image, and images
    whose pixels are those of a validation, test or training image.

    Args:
        material: The images of the evaluation.
        real: The dataset of real images that they are of.
        datasets: By the name of the control.
        folder: Where the pixels are kept, so that memory stays flat; None: in memory.

    Raises:
        DataError: No image is left; the dataset of further images has no train split, or one of them is not real; an
            image in the place of one of label-only captions is a reconstruction, a diagnosis does not have one caption,
            or the base of their generator has seen a held-out image that is not left out.
    """
    return {
        name: _loaded(material, real, name, dataset, folder and folder / f"control-{name}")
        for name, dataset in datasets.items()
    }


def _loaded(material: Material, real: Dataset, name: ControlName, dataset: Dataset, file: Path | None) -> ControlImages:
    split = "train" if name == "further-images" else None
    notes: tuple[str, ...] = ()
    if name == "further-images":
        _check_train_split(dataset)
        check_all_real(dataset, "train")
    else:
        check_synthetic(dataset)
        _check_label_only(dataset)
        notes = _unseen_notes(name, material, real, dataset)
    table = dataset.metadata(["image_id", "diagnosis"], split)
    image_ids = table.loc[table["diagnosis"].isin(material.classes), "image_id"].tolist()
    size = material.train.size
    images = load_images(dataset, split, material.classes, size, kind=name, file=file, image_ids=image_ids)
    kept = images.take(_is_apart(images, material))
    if not len(kept):
        raise DataError(
            f"{dataset.uri}: none of the {len(table)} images can be used by the control {name}: they are held-out or "
            "training images, or of other diagnoses",
            hint="Give other images, with diagnoses of the evaluation.",
        )
    return ControlImages(kept, len(table) - len(kept), notes)


def _check_train_split(dataset: Dataset) -> None:
    if not dataset.manifest.splits.get("train"):
        raise DataError(
            f"{dataset.uri} has no train images; the control further-images takes no others",
            hint="Ingest the images again, with a split that has training images.",
        )


def _is_apart(images: LabelledImages, material: Material) -> NDArray[np.bool_]:
    """Returns, for each image [n], whether it is neither a training image nor related to a held-out one.

    Equal pixels make a training image. Equal pixels, or an equal id of image, lesion, patient or case, relate it to a
    held-out image.
    """
    held_out = (material.validation, material.test)
    seen = {key for part in (*held_out, material.train) for key in part.keys}
    apart = np.array([key not in seen for key in images.keys], dtype=bool)
    for column in ID_COLUMNS:
        known = {str(value) for part in held_out for value in part.table[column].dropna()}
        apart &= ~images.table[column].map(lambda value, known=known: str(value) in known).to_numpy(dtype=bool)
    return apart


def _unseen_notes(name: ControlName, material: Material, real: Dataset, dataset: Dataset) -> tuple[str, ...]:
    """Checks that the base has seen no held-out image; returns a sentence where that is not known.

    The material leaves out what the base behind the synthetic images has seen; that of a control may be another.
    """
    seen = seen_by_base(real, dataset)
    held_out = {image_id for part in (material.validation, material.test) for image_id in part.table["image_id"]}
    if found := held_out & {*seen.validation, *seen.test}:
        raise DataError(
            f"{dataset.uri}: the base model of its generator was trained on {len(found)} validation or test images",
            hint="Draw the images of label-only captions with a generator of the same base.",
        )
    if not seen.unknown:
        return ()
    return (
        f"Control {name}: whether the base model of its generator has seen validation or test images is not known: "
        f"{seen.unknown}.",
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
