"""The reconstructions that an evaluation is given: whether they are those of its training images."""

from collections.abc import Iterator

import numpy as np

from lesiongen.dataset import Dataset
from lesiongen.errors import DataError
from lesiongen.evaluation.images import LabelledImages
from lesiongen.records.origin import ReconstructOrigin, SampleOrigin
from lesiongen.records.provenance import is_generated, is_synthetic

__all__ = ["check_not_reconstructed", "check_reconstructed", "in_order_of", "other_model_notes"]

NAMED = 5
HINT = "Make them of this very dataset: lesiongen reconstruct --model MODEL --dataset DATASET --output RECONSTRUCTED"


def check_not_reconstructed(synthetic: Dataset) -> None:
    """Refuses reconstructions in the place of synthetic images, which they would flatter.

    Raises:
        DataError: There is one among the images.
    """
    made = synthetic.metadata(["image_id", "provenance"])
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


def in_order_of(train: LabelledImages, reconstructed: LabelledImages) -> LabelledImages:
    """Returns reconstructions in the order of the training images that they are of."""
    row_of = {image_id: row for row, image_id in enumerate(reconstructed.table["image_id"])}
    return reconstructed.take(np.array([row_of[image_id] for image_id in train.table["image_id"]], dtype=np.int64))


def other_model_notes(reconstructed: Dataset, synthetic: Dataset) -> Iterator[str]:
    """Yields a sentence where the synthetic images were drawn by another model than the reconstructions are of."""
    ours, drawn = reconstructed.manifest.origin, synthetic.manifest.origin
    if not isinstance(ours, ReconstructOrigin) or not isinstance(drawn, SampleOrigin):
        return
    if ours.model_version and drawn.model_version and ours.model_version != drawn.model_version:
        yield (
            f"The reconstructions are of the model {ours.model_version[:12]}, the synthetic images of "
            f"{drawn.model_version[:12]}: what the autoencoder and the denoiser lose is told apart only where both "
            "have the same autoencoder."
        )


def _some(image_ids: list[str]) -> str:
    return ", ".join(image_ids[:NAMED])
