"""Scores of the images of a sweep, kept in its output: a resumed sweep filters by the same scores."""

import json
from collections.abc import Callable

from lesiongen.errors import UsageError
from lesiongen.evaluation.choosing import ChoosingMaterial
from lesiongen.records.sweep import ImageScores
from lesiongen.storage import Storage

__all__ = ["kept_scores"]


def kept_scores(
    storage: Storage, key: str, material: ChoosingMaterial, found: Callable[[], ImageScores]
) -> ImageScores:
    """Returns the scores that an output holds; where it holds none, they are computed and written.

    Args:
        storage: The output of the sweep.
        key: The file of the scores.
        material: The images that have been scored.
        found: Computes the scores.

    Raises:
        UsageError: The file does not have a score for each image.
    """
    if not storage.exists(key):
        # If two processes write, the first wins, and both use its scores.
        storage.create_bytes(key, json.dumps(found().model_dump(mode="json")).encode())
    scores = ImageScores.read(storage.read_json(key))
    counts = {name: len(each) for name, each in scores.synthetic.items()}
    expected = {name: len(images) for name, images in material.synthetic.items()}
    if counts != expected or len(scores.validation) not in (0, len(material.validation)):
        raise UsageError(
            f"{storage.uri}/{key} does not have a score for each image",
            hint="Choose another output, and sweep there from the beginning.",
        )
    return scores
