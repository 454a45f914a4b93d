"""Which images of a dataset show, or may show, one photograph: found once, and kept beside its shards."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from lesiongen.dataset.reader import Dataset
from lesiongen.errors import DataError
from lesiongen.imaging import LOOK_ALIKE, Fingerprint, NearDuplicate, near_duplicates
from lesiongen.storage import open_storage

__all__ = ["NEAR_DUPLICATES_NAME", "dataset_near_duplicates", "near_duplicates_document"]

NEAR_DUPLICATES_NAME = "near_duplicates.json"
_ORIGIN = "near_duplicates"


class _Kept(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: Literal[1] = 1
    pairs: list[tuple[str, str, float]]


def near_duplicates_document(
    image_ids: Sequence[str], pairs: Iterable[NearDuplicate]
) -> tuple[dict[str, str], dict[str, Any]]:
    """Returns the document that keeps the pairs of a dataset, by name, and what its manifest's origin says of it.

    Args:
        image_ids: The image at each position.
        pairs: Pairs of positions.
    """
    named = ((*sorted((image_ids[pair.first], image_ids[pair.second])), pair.agreement) for pair in pairs)
    kept = _Kept(pairs=sorted(named))
    text = kept.model_dump_json(indent=1) + "\n"
    return {NEAR_DUPLICATES_NAME: text}, {_ORIGIN: {"pairs": len(kept.pairs), "sha256": _sha256(text.encode())}}


def dataset_near_duplicates(
    dataset: Dataset, image_ids: Sequence[str], prints: Sequence[Fingerprint]
) -> list[NearDuplicate]:
    """Returns the pairs of images that agree by `LOOK_ALIKE` at least: those kept with the dataset, else looked for.

    A dataset that was copied without them gets the same answer, only later.

    Args:
        dataset: The dataset.
        image_ids: The image of each fingerprint.
        prints: Fingerprints of the images that decode.

    Returns:
        Pairs of positions in ``image_ids``.

    Raises:
        DataError: The kept pairs are not the ones that were published.
    """
    described = dataset.manifest.origin.get(_ORIGIN)
    content = open_storage(dataset.uri).read_if_there(NEAR_DUPLICATES_NAME)
    if content is None or not isinstance(described, Mapping):
        return near_duplicates(prints, least=LOOK_ALIKE)
    places = {image_id: place for place, image_id in enumerate(image_ids)}
    known = [pair for pair in _kept(dataset, content, described.get("sha256")) if places.keys() >= set(pair[:2])]
    return [NearDuplicate.of(places[first], places[second], agreement) for first, second, agreement in known]


def _kept(dataset: Dataset, content: bytes, digest: object) -> list[tuple[str, str, float]]:
    try:
        if _sha256(content) == digest:
            return _Kept.model_validate_json(content).pairs
    except ValidationError:  # the same to the user: these are not the pairs that were published
        pass
    raise DataError(
        f"{dataset.uri}/{NEAR_DUPLICATES_NAME} is not what the manifest describes",
        hint="The file was changed after it was published. Publish the dataset again.",
    )


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
