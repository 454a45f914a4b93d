"""Whether the images of an evaluation are what they are given as: real, synthetic, or its own reconstructions."""

from collections.abc import Iterator, Sequence

import pandas as pd

from lesiongen.dataset import Dataset
from lesiongen.errors import DataError
from lesiongen.records.origin import (
    CaptionOrigin,
    FoldOrigin,
    IngestOrigin,
    LeaveOutOrigin,
    MergeOrigin,
    ReconstructOrigin,
    SampleOrigin,
    SelectOrigin,
)
from lesiongen.records.provenance import is_generated, is_synthetic, reconstructed_side

__all__ = [
    "check_all_real",
    "check_real",
    "check_reconstructed",
    "check_synthetic",
    "enlarged_notes",
    "generated_notes",
    "other_model_notes",
]

NAMED = 5
HINT = "Make them of this very dataset: lesiongen reconstruct MODEL --dataset DATASET --output RECONSTRUCTED"


def check_real(real: Dataset, splits: Sequence[str] = ("validation", "test")) -> None:
    """Refuses images that a model made among those that are tested or chosen on.

    Raises:
        DataError: There is one in one of the splits.
    """
    for split in splits:
        if found := _generated(real, split):
            raise DataError(
                f"{real.uri}: {len(found)} {split} images are synthetic or reconstructions, not real: {_some(found)}",
                hint="Test and choose on real images alone: lesiongen validate names such images.",
            )


def check_all_real(dataset: Dataset, split: str) -> None:
    """Refuses images that a model made in the place of further real images.

    Raises:
        DataError: There is one in the split.
    """
    if found := _generated(dataset, split):
        raise DataError(
            f"{dataset.uri}: {len(found)} {split} images are synthetic or reconstructions, not real: {_some(found)}",
            hint="Give real images: lesiongen validate names the others.",
        )


def generated_notes(real: Dataset) -> Iterator[str]:
    """Yields a sentence where a model made some of the training images, as ingest and validate allow."""
    if found := _generated(real, "train"):
        yield (
            f"{len(found)} of the {real.manifest.splits['train']} training images are synthetic or reconstructions: "
            "the condition real is not one of real images alone."
        )


def _generated(real: Dataset, split: str) -> list[str]:
    made = real.metadata(["image_id", "provenance"], split)
    return [image_id for image_id, provenance in made.itertuples(index=False) if is_generated(provenance)]


def check_synthetic(synthetic: Dataset) -> None:
    """Refuses real images and reconstructions in the place of synthetic images, which they would flatter.

    A dataset of LesionGen's own says where its images are from. One that another program wrote is taken as it is given.

    Raises:
        DataError: There is one among the images.
    """
    made = synthetic.metadata(["image_id", "provenance"])
    if isinstance(synthetic.manifest.origin, IngestOrigin | CaptionOrigin | FoldOrigin | LeaveOutOrigin | MergeOrigin):
        _check_none_is_real(synthetic, made)
    found = [
        image_id
        for image_id, provenance in made.itertuples(index=False)
        if is_generated(provenance) and not is_synthetic(provenance)
    ]
    if found:
        raise DataError(
            f"{synthetic.uri}: {len(found)} images are reconstructions of real ones, not synthetic: {_some(found)}",
            hint="Give the dataset that lesiongen reconstruct wrote with --reconstructed.",
        )


def _check_none_is_real(synthetic: Dataset, made: pd.DataFrame) -> None:
    found = made.loc[[not is_generated(provenance) for provenance in made["provenance"]], "image_id"].tolist()
    if found:
        raise DataError(
            f"{synthetic.uri}: {len(found)} of {len(made)} images are real, not synthetic: {_some(found)}",
            hint="Give what lesiongen sample has written. A table of another generator's images says so in a column "
            "image_manipulation: synthetic.",
        )


def check_reconstructed(reconstructed: Dataset, real: Dataset) -> None:
    """Checks that a dataset holds a reconstruction of each real training image, with its diagnosis, and nothing else.

    Raises:
        DataError: It does not; the message names the images.
    """
    if not isinstance(reconstructed.manifest.origin, ReconstructOrigin):
        raise DataError(f"{reconstructed.uri} holds no reconstructions", hint=HINT)
    wanted, found = (
        {image_id: diagnosis for image_id, diagnosis in table.itertuples(index=False)}
        for table in (dataset.metadata(["image_id", "diagnosis"], "train") for dataset in (real, reconstructed))
    )
    if missing := sorted(wanted.keys() - found.keys()):
        raise DataError(
            f"{reconstructed.uri} lacks {len(missing)} of the {len(wanted)} training images of {real.uri}: "
            f"{_some(missing)}",
            hint=HINT,
        )
    if foreign := sorted(found.keys() - wanted.keys()):
        raise DataError(
            f"{reconstructed.uri}: {len(foreign)} images are not in the train split of {real.uri}: {_some(foreign)}",
            hint=HINT,
        )
    if other := sorted(image_id for image_id in wanted if wanted[image_id] != found[image_id]):
        raise DataError(
            f"{reconstructed.uri}: {len(other)} images have another diagnosis than in {real.uri}: {_some(other)}",
            hint=HINT,
        )


def other_model_notes(reconstructed: Dataset, synthetic: Dataset) -> Iterator[str]:
    """Yields a sentence where the synthetic images were drawn by another model than the reconstructions are of."""
    ours, drawn = reconstructed.manifest.origin, synthetic.manifest.origin
    if not isinstance(ours, ReconstructOrigin) or not isinstance(drawn, SampleOrigin | SelectOrigin):
        return
    if ours.model_version and drawn.model_version and ours.model_version != drawn.model_version:
        yield (
            f"The reconstructions are of the model {ours.model_version[:12]}, the synthetic images of "
            f"{drawn.model_version[:12]}: what the autoencoder and the denoiser lose is told apart only where both "
            "have the same autoencoder."
        )


def enlarged_notes(reconstructed: Dataset, size: int) -> Iterator[str]:
    """Yields a sentence where the reconstructions are smaller than what the classifier is shown.

    Args:
        reconstructed: The reconstructions.
        size: Side in pixels of the classifier's images.
    """
    sides = {reconstructed_side(provenance) for provenance in reconstructed.metadata(["provenance"])["provenance"]}
    smallest = min((side for side in sides if side is not None), default=size)
    if smallest < size:
        yield (
            f"The reconstructions have {smallest} pixels a side, the classifier is shown {size}: the ceiling and the "
            "autoencoder's part also hold what resizing the images to the generator's size loses."
        )


def _some(image_ids: list[str]) -> str:
    return ", ".join(image_ids[:NAMED])
