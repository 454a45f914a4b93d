"""Which images of a dataset show, or may show, one photograph: found once, and kept beside its shards."""

import hashlib
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from lesiongen.errors import DataError
from lesiongen.imaging import LOOK_ALIKE, Fingerprint, NearDuplicate, near_duplicates, pairs_among
from lesiongen.storage import open_storage

if TYPE_CHECKING:
    from lesiongen.dataset.reader import Dataset

__all__ = [
    "NEAR_DUPLICATES_NAME",
    "carried_near_duplicates",
    "dataset_near_duplicates",
    "datasets_near_duplicates",
    "near_duplicates_document",
    "near_duplicates_origin",
]

NEAR_DUPLICATES_NAME = "near_duplicates.json"
_ORIGIN = "near_duplicates"


class _Kept(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: Literal[1] = 1
    least: float
    """Agreement from which on pairs were looked for."""
    pairs: list[tuple[str, str, float]]


def near_duplicates_document(
    image_ids: Sequence[str], pairs: Sequence[NearDuplicate]
) -> tuple[dict[str, str], dict[str, Any]]:
    """Returns the document that keeps the pairs of a dataset, by name, and what its manifest's origin says of it.

    The order of the images does not change it.

    Args:
        image_ids: The image at each position.
        pairs: Pairs of positions that agree by `LOOK_ALIKE` at least.
    """
    order = sorted(range(len(image_ids)), key=image_ids.__getitem__)
    ordered = pairs_among(pairs, len(image_ids), order)
    named = [(image_ids[order[pair.first]], image_ids[order[pair.second]], pair.agreement) for pair in ordered]
    text = _Kept(least=LOOK_ALIKE, pairs=named).model_dump_json(indent=1) + "\n"
    return {NEAR_DUPLICATES_NAME: text}, {_ORIGIN: {"pairs": len(named), "sha256": _sha256(text.encode())}}


def near_duplicates_origin(dataset: "Dataset") -> dict[str, Any]:
    """Returns what the origin of a dataset with the same images says of the pairs that are kept; nothing without.

    Raises:
        DataError: The kept pairs are not the ones that were published.
    """
    return {} if _read(dataset) is None else {_ORIGIN: dataset.manifest.origin[_ORIGIN]}


def carried_near_duplicates(dataset: "Dataset") -> dict[str, bytes | None]:
    """Returns the document that keeps the pairs of a dataset, as it is, for a dataset with the same images.

    Raises:
        DataError: The kept pairs are not the ones that were published.
    """
    return {NEAR_DUPLICATES_NAME: None if (read := _read(dataset)) is None else read[0]}


def dataset_near_duplicates(
    dataset: "Dataset", image_ids: Sequence[str], prints: Sequence[Fingerprint]
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
    return datasets_near_duplicates([dataset], [image_ids], prints)


def datasets_near_duplicates(
    datasets: Sequence["Dataset"], image_ids: Sequence[Sequence[str]], prints: Sequence[Fingerprint]
) -> list[NearDuplicate]:
    """Returns the pairs among the images of several datasets: those kept with each, and those across them.

    Pairs within a dataset that has kept none are looked for as in that dataset alone, so that neither the order of the
    datasets nor their company changes them.

    Args:
        datasets: The datasets.
        image_ids: The images of each dataset that have a fingerprint.
        prints: Their fingerprints, dataset by dataset.

    Returns:
        Pairs of positions in ``prints``.

    Raises:
        DataError: Kept pairs are not the ones that were published.
    """
    found: list[NearDuplicate] = []
    known = []
    start = 0
    for number, (dataset, own) in enumerate(zip(datasets, image_ids, strict=True)):
        if (read := _read(dataset)) is not None:
            known.append(number)
            found += (NearDuplicate(start + pair.first, start + pair.second, pair.agreement)
                      for pair in _placed(read[1], own))  # fmt: skip
        start += len(own)
    if len(known) < len(datasets) or len(datasets) > 1:
        parts = [number for number, own in enumerate(image_ids) for _ in own]
        found += near_duplicates(prints, least=LOOK_ALIKE, parts=parts, known=known)
    return pairs_among(found, start, range(start))


def _placed(pairs: Sequence[tuple[str, str, float]], image_ids: Sequence[str]) -> list[NearDuplicate]:
    """Returns the pairs among some of the images that named pairs are of, by their positions."""
    # Pairs may name others: images of other parts of the dataset, and images that were damaged since.
    names = dict.fromkeys(chain(image_ids, *((first, second) for first, second, _ in pairs)))
    places = {name: place for place, name in enumerate(names)}
    numbered = [NearDuplicate.of(places[first], places[second], agreement) for first, second, agreement in pairs]
    return pairs_among(numbered, len(names), range(len(image_ids)))


def _read(dataset: "Dataset") -> tuple[bytes, list[tuple[str, str, float]]] | None:
    """Reads the pairs that are kept with a dataset and agree by `LOOK_ALIKE` at least, and their document."""
    described = dataset.manifest.origin.get(_ORIGIN)
    content = open_storage(dataset.uri).read_if_there(NEAR_DUPLICATES_NAME)
    if content is None or not isinstance(described, Mapping):
        return None
    kept = _kept(dataset, content, described.get("sha256"))
    if kept.least > LOOK_ALIKE:  # an earlier release looked for fewer
        return None
    return content, [pair for pair in kept.pairs if pair[2] >= LOOK_ALIKE]


def _kept(dataset: "Dataset", content: bytes, digest: object) -> _Kept:
    try:
        if _sha256(content) == digest:
            return _Kept.model_validate_json(content)
    except ValidationError:  # the same to the user: these are not the pairs that were published
        pass
    raise DataError(
        f"{dataset.uri}/{NEAR_DUPLICATES_NAME} is not what the manifest describes",
        hint="The file was changed after it was published. Publish the dataset again.",
    )


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
