"""The near copies of training images that an evaluation, or a selection before, has found."""

import hashlib
import json
import logging
from dataclasses import dataclass

from lesiongen.dataset import Dataset
from lesiongen.errors import DataError, UsageError
from lesiongen.records.evaluation import EvaluationRecord, read_evaluation
from lesiongen.records.export import ExportedCopies
from lesiongen.records.image_measures import NearestPair
from lesiongen.records.origin import SampleOrigin, SelectOrigin
from lesiongen.records.selection import SelectionReport
from lesiongen.storage import Storage, open_storage

__all__ = ["FoundCopies", "find_near_copies", "left_out_before"]

logger = logging.getLogger(__name__)

RESULT, NEAREST, SELECTION = "evaluation.json", "nearest.json", "selection.json"


@dataclass(frozen=True)
class FoundCopies:
    """What an evaluation found.

    Attributes:
        image_ids: The near copies.
        record: What the export says of them; how many are left out is not known yet.
    """

    image_ids: frozenset[str]
    record: ExportedCopies


def find_near_copies(dataset: Dataset, evaluation_uri: str) -> FoundCopies:
    """Reads which images of a dataset an evaluation has found nearer to a training image than held-out images are.

    Args:
        dataset: The synthetic images.
        evaluation_uri: What ``lesiongen evaluate`` wrote.

    Raises:
        UsageError: The address holds no evaluation, or one of other images.
        DataError: It is damaged, or lists other images.
        StorageError: It cannot be read.
    """
    storage = open_storage(evaluation_uri)
    if not storage.exists(RESULT):
        raise UsageError(
            f"{storage.uri} is not an evaluation: it contains no {RESULT}",
            hint="Give the folder or prefix that lesiongen evaluate has written.",
        )
    data = storage.read_bytes(RESULT)
    evaluation = read_evaluation(data, f"{storage.uri}/{RESULT}")
    evaluated = evaluation.sources.get("synthetic")
    if evaluated is None or evaluated.version != dataset.manifest.version:
        raise UsageError(
            f"{storage.uri} is the evaluation of other images than those of {dataset.uri}",
            hint="Export the dataset that was evaluated, or evaluate this one.",
        )
    copies = _listed(dataset, storage, evaluation.files.get(NEAREST))
    found = evaluation.memorisation
    record = ExportedCopies(
        evaluation_sha256=hashlib.sha256(data).hexdigest(),
        method=found.method,
        threshold=found.threshold,
        percentile=found.percentile,
        calibrated=found.calibrated,
        found=len(copies),
        search_above=found.search.synthetic.n_above,
        search_images=found.search.synthetic.n,
        above_chance=found.search.above_chance,
        of_training_images=_of_training_images(dataset, evaluation, storage.uri),
    )
    return FoundCopies(copies, record)


def _of_training_images(dataset: Dataset, evaluation: EvaluationRecord, name: str) -> bool | None:
    """Tells whether an evaluation compared with the dataset that the generator was trained on, as far as is recorded.

    Captions are drawn from the training images; of a generator that got none of them, no such dataset is recorded.
    """
    origin, real = dataset.manifest.origin, evaluation.sources.get("real")
    if not isinstance(origin, SampleOrigin) or origin.captions is None:
        return None
    same = real is not None and real.version == origin.captions
    if not same:
        logger.warning(
            "%s compared %s with other real images than those of the captions: the generator's own training images "
            "were not looked at. Evaluate with the dataset that the generator was trained on.",
            name,
            dataset.uri,
        )
    return same


def _listed(dataset: Dataset, storage: Storage, digest: str | None) -> frozenset[str]:
    """Returns the ids of the near copies, from the list of the nearest training image of each image."""
    listed = storage.read_bytes(NEAREST)
    if hashlib.sha256(listed).hexdigest() != digest:
        raise DataError(
            f"{storage.uri}/{NEAREST} is damaged: its SHA-256 is not that in {RESULT}",
            hint="Copy the evaluation again from where it is whole, or run evaluate again.",
        )
    pairs = [NearestPair.read(pair) for pair in json.loads(listed)]
    if {pair.synthetic for pair in pairs} != set(dataset.metadata(["image_id"])["image_id"]):
        raise DataError(f"{storage.uri}/{NEAREST} lists other images than those of {dataset.uri}")
    return frozenset(pair.synthetic for pair in pairs if pair.above)


def left_out_before(dataset: Dataset) -> int | None:
    """Returns how many near copies a selection has dropped from the images; None where none looked for any."""
    origin, storage = dataset.manifest.origin, open_storage(dataset.uri)
    if not isinstance(origin, SelectOrigin) or not storage.exists(SELECTION):
        return None
    report = SelectionReport.read(storage.read_json(SELECTION))
    return None if report.threshold is None else sum(one.near_copies or 0 for one in report.classes)
