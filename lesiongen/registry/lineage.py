"""What an evaluation says about a model is worth something only if it is this model's, on images it never saw."""

import hashlib
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from lesiongen.dataset import Dataset
from lesiongen.errors import DataError, StorageError, UsageError
from lesiongen.imaging import ImageError, content_digest, decode
from lesiongen.progress import progress
from lesiongen.records.evaluation import EvaluationRecord, Source
from lesiongen.records.image_measures import Contamination
from lesiongen.records.model import MODEL_NAME, BaseReference, ModelManifest, read_model
from lesiongen.records.origin import OtherOrigin, SampleOrigin
from lesiongen.storage import open_storage

__all__ = ["check_same_model", "contamination"]

logger = logging.getLogger(__name__)
PIPELINE_FILE = "model_index.json"


class _UnknownError(Exception):
    """It is no longer known what a model was trained on."""


def check_same_model(evaluation: EvaluationRecord, model_version: str) -> None:
    """Checks that the evaluated synthetic images were drawn by a version of a model.

    Raises:
        DataError: They were drawn by another one, do not say by which, or are no longer those that were evaluated.
        StorageError, UsageError: The synthetic images are no longer there.
    """
    source = _source(evaluation, "synthetic")
    origin = _opened(source).manifest.origin
    drawn_by = origin.model_version if isinstance(origin, SampleOrigin | OtherOrigin) else None
    if drawn_by != model_version:
        by = f"the model {drawn_by[:12]}, not {model_version[:12]}" if drawn_by else "an unnamed model"
        raise DataError(
            f"The evaluated images in {source.uri} were drawn by {by}.",
            hint="Evaluate images that this model drew, or name the model that drew them.",
        )


def contamination(evaluation: EvaluationRecord, model: ModelManifest) -> Contamination | None:
    """Counts the images of the evaluation's validation and test splits that the generator was trained on.

    What LesionGen models the generator began from were trained on counts too. Other bases (a hub id, a diffusers
    pipeline without ``_model.json``) do not say what they saw, and count as not having seen these images.

    Training on the evaluation's own version of the dataset is not contamination: its splits share no lesion, which the
    evaluation has checked. Else the decoded pixels are compared.

    Args:
        evaluation: The evaluation.
        model: The generator.

    Returns:
        Counts by split; None where the images that the generator or its base was trained on are no longer known.
    """
    tested = _source(evaluation, "real")
    try:
        others = {source.version: source for source in _seen(model) if source.version != tested.version}
        if not others:
            return Contamination(validation=0, test=0)
        seen = {digest for source in others.values() for digest in _digests(source, "train")}
        validation, test = (len(seen & set(_digests(tested, name))) for name in ("validation", "test"))
        return Contamination(validation=validation, test=test)
    except (StorageError, UsageError, _UnknownError) as error:
        logger.warning("What the generator was trained on is not known: %s", error)
        return None


def _seen(model: ModelManifest) -> Iterator[Source]:
    """Gives the datasets that a model was trained on, and those of the LesionGen models that it began from."""
    following: ModelManifest | None = model
    while following is not None:  # ends: every base is named by the digest of its manifest, so none leads back
        training = following.training
        if training.dataset is not None and training.dataset.uri and training.dataset.version:
            yield training.dataset
        elif following.method != "base":  # a base model may be built without images
            raise _UnknownError("a manifest names no training dataset")
        following = None if training.base_trained_on_own_images else _base(following.base)


def _base(base: BaseReference | None) -> ModelManifest | None:
    """Reads the manifest of a base; None where there is no base, or it is not a LesionGen model."""
    if base is None or not ("://" in base.uri or Path(base.uri).is_absolute()):
        return None  # a hub id: folders are written down with their whole path
    storage = open_storage(base.uri)
    if not storage.exists(MODEL_NAME):
        if storage.exists(PIPELINE_FILE):
            return None
        raise _UnknownError(f"the base {base.uri} is no longer there")
    content = storage.read_bytes(MODEL_NAME)
    if hashlib.sha256(content).hexdigest() != base.version:
        raise _UnknownError(f"the base {base.uri} is no longer the version {base.version[:12]}")
    try:
        return read_model(content, f"{storage.uri}/{MODEL_NAME}")
    except DataError as error:
        raise _UnknownError(str(error)) from error


def _source(evaluation: EvaluationRecord, name: Literal["real", "synthetic"]) -> Source:
    source = evaluation.sources.get(name)
    if source is None or not (source.uri and source.version):
        raise DataError(f"The evaluation does not name its {name} images.", hint="Run evaluate again.")
    return source


def _opened(source: Source) -> Dataset:
    dataset = Dataset.open(source.uri)
    if dataset.manifest.version != source.version:
        raise DataError(f"{source.uri} is no longer the version {source.version[:12]} that was used.")
    return dataset


def _digests(source: Source, split: str) -> Iterator[str]:
    dataset = _opened(source)
    total = dataset.manifest.splits.get(split, 0)
    with progress(f"Comparing {split} images", total=total, unit="images") as bar:
        for sample in dataset.samples(split):
            yield _digest(sample.image)
            bar.advance()


def _digest(image: bytes) -> str:
    try:
        return content_digest(decode(image))
    except ImageError:  # a damaged file can still be recognised as a file
        return hashlib.sha256(image).hexdigest()
