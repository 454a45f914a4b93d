"""Which images of a dataset show, or may show, one photograph: found once, and kept beside its shards."""

from collections.abc import Sequence
from itertools import chain
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from lesiongen import limits
from lesiongen.dataset.kept import NEAR_DUPLICATES
from lesiongen.imaging import LOOK_ALIKE, Fingerprint, NearDuplicate, near_duplicates, pairs_among
from lesiongen.imaging.duplicates import SEARCH
from lesiongen.storage import temporary_space

if TYPE_CHECKING:
    from lesiongen.dataset.reader import Dataset
    from lesiongen.dataset.writer import DatasetWriter

__all__ = ["dataset_near_duplicates", "datasets_near_duplicates", "keep_near_duplicates"]


class _Kept(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: Literal[1] = 1
    search: int | None = None
    """Version of how they were looked for (`SEARCH`)."""
    least: float
    """Agreement from which on pairs were looked for."""
    pairs: list[tuple[str, str, float]]


def keep_near_duplicates(writer: "DatasetWriter", image_ids: Sequence[str], pairs: Sequence[NearDuplicate]) -> None:
    """Has a dataset that is being written keep the pairs of its images, whose order does not change the document.

    Of more pairs than `MAX_PAIRS_BYTES` allows none are kept.

    Args:
        writer: The dataset.
        image_ids: The image at each position.
        pairs: Pairs of positions that agree by `LOOK_ALIKE` at least.
    """
    order = sorted(range(len(image_ids)), key=image_ids.__getitem__)
    ordered = pairs_among(pairs, len(image_ids), order)
    named = [(image_ids[order[pair.first]], image_ids[order[pair.second]], pair.agreement) for pair in ordered]
    document = _Kept(search=SEARCH, least=LOOK_ALIKE, pairs=named).model_dump_json(indent=1).encode() + b"\n"
    if len(document) > limits.MAX_PAIRS_BYTES:
        return
    path = writer.place_of(NEAR_DUPLICATES.name)
    with temporary_space():
        path.write_bytes(document)
    NEAR_DUPLICATES.write(writer, path, pairs=len(named))


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
        if (pairs := _read(dataset)) is not None:
            known.append(number)
            found += (NearDuplicate(start + pair.first, start + pair.second, pair.agreement)
                      for pair in _placed(pairs, own))  # fmt: skip
        start += len(own)
    if len(known) < len(datasets) or len(datasets) > 1:
        parts = [number for number, own in enumerate(image_ids) for _ in own]
        with temporary_space():
            found += near_duplicates(prints, least=LOOK_ALIKE, parts=parts, known=known)
    return pairs_among(found, start, range(start))


def _placed(pairs: Sequence[tuple[str, str, float]], image_ids: Sequence[str]) -> list[NearDuplicate]:
    """Returns the pairs among some of the images that named pairs are of, by their positions."""
    # Pairs may name others: images of other parts of the dataset, and images that were damaged since.
    names = dict.fromkeys(chain(image_ids, *((first, second) for first, second, _ in pairs)))
    places = {name: place for place, name in enumerate(names)}
    numbered = [NearDuplicate.of(places[first], places[second], agreement) for first, second, agreement in pairs]
    return pairs_among(numbered, len(names), range(len(image_ids)))


def _read(dataset: "Dataset") -> list[tuple[str, str, float]] | None:
    """Reads the pairs that are kept with a dataset and agree by `LOOK_ALIKE` at least; None where they are not all."""
    with NEAR_DUPLICATES.opened(dataset) as path:
        if path is None:
            return None
        if path.stat().st_size > limits.MAX_PAIRS_BYTES:
            raise NEAR_DUPLICATES.changed(dataset)
        try:
            kept = _Kept.model_validate_json(path.read_bytes())
        except ValidationError as error:  # the same to the user: these are not the pairs that were published
            raise NEAR_DUPLICATES.changed(dataset) from error
    if kept.search != SEARCH or kept.least > LOOK_ALIKE:  # another release looked otherwise, or for fewer
        return None
    return [pair for pair in kept.pairs if pair[2] >= LOOK_ALIKE]
