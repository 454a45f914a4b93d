"""What an evaluation says about a model is worth something only if it is this model's, on images it never saw."""

import hashlib
import logging
from collections.abc import Collection, Iterator
from typing import Literal

from lesiongen.dataset import Dataset
from lesiongen.errors import DataError, StorageError, UsageError
from lesiongen.imaging import ImageError, content_digest, decode
from lesiongen.model_ancestry import Ancestor, UnknownAncestorError, ancestors
from lesiongen.progress import progress
from lesiongen.records.evaluation import EvaluationRecord, Source
from lesiongen.records.image_measures import Contamination
from lesiongen.records.origin import OtherOrigin, SampleOrigin, SelectOrigin

__all__ = ["check_same_model", "contamination"]

logger = logging.getLogger(__name__)


def check_same_model(evaluation: EvaluationRecord, model_version: str) -> None:
    """Checks that the evaluated synthetic images were drawn by a version of a model.

    Raises:
        DataError: They were drawn by another one, do not say by which, or are no longer those that were evaluated.
        StorageError, UsageError: The synthetic images are no longer there.
    """
    source = _source(evaluation, "synthetic")
    origin = _opened(source).manifest.origin
    drawn_by = origin.model_version if isinstance(origin, SampleOrigin | SelectOrigin | OtherOrigin) else None
    if drawn_by != model_version:
        by = f"the model {drawn_by[:12]}, not {model_version[:12]}" if drawn_by else "an unnamed model"
        raise DataError(
            f"The evaluated images in {source.uri} were drawn by {by}.",
            hint="Evaluate images that this model drew, or name the model that drew them.",
        )


def contamination(evaluation: EvaluationRecord, model: Ancestor) -> Contamination | None:
    """Counts the images of the evaluation's validation and test splits that the generator was trained on.

    What the LesionGen models that the generator began from were trained on counts too. The images of each model are
    those of its ``seen.json``; where it ships none, those of its training dataset. Other bases (a hub id, a diffusers
    pipeline without ``_model.json``) do not say what they saw, and count as not having seen these images.

    Training on the evaluation's own version of the dataset is not contamination: its splits share no lesion, which the
    evaluation has checked. Else the decoded pixels are compared. Images that the evaluation left out because the
    generator's base has seen them do not count.

    Args:
        evaluation: The evaluation.
        model: The generator.

    Returns:
        Counts by split; None where the images that the generator or its base was trained on, or those of the
        evaluation, are no longer known: missing, damaged, or of another version.

    Raises:
        DataError: The evaluation does not name its real images.
    """
    tested = _source(evaluation, "real")
    try:
        if not (seen := set(_digests_seen(model, tested))):
            return Contamination(validation=0, test=0)
        counts = evaluation.counts
        validation = len(seen & set(_digests(tested, "validation", counts.validation_seen)))
        test = len(seen & set(_digests(tested, "test", counts.test_seen)))
        return Contamination(validation=validation, test=test)
    except (DataError, StorageError, UsageError, UnknownAncestorError) as error:
        logger.warning("Whether the generator was trained on the evaluated images is not known: %s", error)
        return None


def _digests_seen(model: Ancestor, tested: Source) -> Iterator[str]:
    """Yields the digests of what a model and its ancestors were trained on, the tested dataset itself left out."""
    opened: set[str] = set()
    for each in [model, *ancestors(model.manifest)]:
        if (shipped := each.seen()) is not None:
            yield from (image.pixels_sha256 for image in shipped.images)
            continue
        source = each.manifest.training.dataset
        if source is None or not (source.uri and source.version):
            if each.manifest.method != "base":  # a base model may be built without images
                raise UnknownAncestorError("a manifest names no training dataset")
        elif source.version not in {tested.version, *opened}:
            opened.add(source.version)
            yield from _digests(source, "train")


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


def _digests(source: Source, split: str, left_out: Collection[str] = ()) -> Iterator[str]:
    dataset = _opened(source)
    total = dataset.manifest.splits.get(split, 0)
    with progress(f"Comparing {split} images", total=total, unit="images") as bar:
        for sample in dataset.samples(split):
            if sample.image_id not in left_out:
                yield _digest(sample.image)
            bar.advance()


def _digest(image: bytes) -> str:
    try:
        return content_digest(decode(image))
    except ImageError:  # a damaged file can still be recognised as a file
        return hashlib.sha256(image).hexdigest()
