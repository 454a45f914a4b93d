"""Test and validation images that the generator's base was trained on: they are left out, as they prove nothing."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lesiongen.dataset import SPLITS, Dataset, groups
from lesiongen.dataset.examined import examined_images
from lesiongen.errors import StorageError, UsageError
from lesiongen.imaging import LOOK_ALIKE, Fingerprint, duplicate_groups, near_duplicates
from lesiongen.model_ancestry import Ancestor, UnknownAncestorError, ancestors, model_at
from lesiongen.records.origin import (
    CaptionOrigin,
    FoldOrigin,
    LeaveOutOrigin,
    MergeOrigin,
    OtherOrigin,
    SampleOrigin,
    SelectOrigin,
)
from lesiongen.records.seen import is_archive_id

__all__ = ["SeenByBase", "seen_by_base", "seen_of_test_set"]

NAMED = 5
_IDS = ["image_id", "lesion_id", "patient_id"]


@dataclass(frozen=True)
class SeenByBase:
    """What the models behind a synthetic dataset have seen of the real images.

    Attributes:
        validation: Ids of validation images.
        test: Ids of test images.
        unknown: Why it is not known, in words; empty where it is.
    """

    validation: tuple[str, ...] = ()
    test: tuple[str, ...] = ()
    unknown: str = ""

    def notes(self) -> Iterator[str]:
        """Yields what a reader has to know of it, in sentences."""
        for name, image_ids in (("validation", self.validation), ("test", self.test)):
            if image_ids:
                some = ", ".join(image_ids[:NAMED]) + (", …" if len(image_ids) > NAMED else "")
                yield (
                    f"{len(image_ids)} {name} images were left out: the base model of the generator was trained on "
                    f"images with their id, their lesion or their picture ({some})."
                )
        if self.unknown:
            yield f"Whether the base model of the generator has seen the test images is not known: {self.unknown}."


def seen_by_base(real: Dataset, synthetic: Dataset) -> SeenByBase:
    """Finds the validation and test images that a base model behind the synthetic images was trained on.

    Base models list what they have seen (`lesiongen.records.seen`). An image is found there by an id of the ISIC
    archive (of the image, its lesion or its patient), or by its picture: one that looks alike is enough. With it goes
    every other image of its lesion, its patient or its case.

    Args:
        real: The real images with their splits.
        synthetic: The synthetic images; the origin of their dataset names the generator.

    Raises:
        DataError: The list of a base is not the one that was published.
    """
    found, unknown = _found(real, synthetic, ("validation", "test"))
    return SeenByBase(_of_split(found, "validation"), _of_split(found, "test"), unknown)


def seen_of_test_set(dataset: Dataset, synthetic: Dataset) -> frozenset[str]:
    """Returns the ids of the images of a test set, of all its splits, that a base model was trained on.

    None is found where what the models have seen is not known: `SeenByBase.notes` says so.

    Args:
        dataset: A test set from elsewhere.
        synthetic: The synthetic images, as in `seen_by_base`.

    Raises:
        DataError: The list of a base is not the one that was published.
    """
    return frozenset(_found(dataset, synthetic, SPLITS)[0]["image_id"])


def _found(dataset: Dataset, synthetic: Dataset, splits: Sequence[str]) -> tuple[pd.DataFrame, str]:
    """Returns the images of some splits that a base has seen, and why that is not known; blank where it is."""
    table = dataset.metadata([*_IDS, "case_id", "split"])
    try:
        listed = [(each.seen(), each) for each in _behind(synthetic)]
    except (StorageError, UsageError, UnknownAncestorError) as error:
        return table[:0], str(error)
    shipped = [(seen, ancestor) for seen, ancestor in listed if seen is not None]
    if not shipped:
        return table[:0], ""
    known_ids = {each for seen, _ in shipped for image in seen.images for each in image.archive_ids}
    held_out = table["split"].isin(splits).to_numpy()
    alike = np.zeros(len(table), dtype=bool)
    alike[held_out] = _looks_alike(dataset, held_out, [ancestor for _, ancestor in shipped])
    by_id = table[_IDS].map(lambda value: is_archive_id(value) and value in known_ids).any(axis=1).to_numpy()
    bound = groups(table)  # another photograph of a lesion that was seen is not a new lesion
    return table[held_out & np.isin(bound, bound[held_out & (by_id | alike)])], ""


def _of_split(found: pd.DataFrame, split: str) -> tuple[str, ...]:
    return tuple(sorted(found.loc[found["split"] == split, "image_id"]))


def _behind(synthetic: Dataset) -> Iterator[Ancestor]:
    """Yields the LesionGen models that a dataset was drawn by, and those that they began from."""
    origin = synthetic.manifest.origin
    if isinstance(origin, MergeOrigin | SelectOrigin):
        for part in origin.datasets:
            yield from _behind(_as_it_was(part.uri, part.version))
    elif isinstance(origin, SampleOrigin):
        if not origin.model_version:
            raise UnknownAncestorError(f"{synthetic.uri} does not name the version of its generator")
        generator = model_at(origin.model, origin.model_version)
        yield generator
        yield from ancestors(generator.manifest)
    elif isinstance(origin, CaptionOrigin | FoldOrigin | LeaveOutOrigin | OtherOrigin) and origin.dataset:
        yield from _behind(_as_it_was(origin.dataset, origin.dataset_version))


def _as_it_was(uri: str, version: str) -> Dataset:
    """Opens a dataset that another one was made of.

    Raises:
        UnknownAncestorError: It is another version.
    """
    dataset = Dataset.open(uri)
    if dataset.manifest.version != version:
        raise UnknownAncestorError(f"{uri} is no longer the version {version[:12]}")
    return dataset


def _looks_alike(real: Dataset, rows: NDArray[np.bool_], bases: Sequence[Ancestor]) -> list[bool]:
    """Tells of each of some rows of a dataset whether its picture looks like one that a base has seen."""
    seen = np.concatenate([base.fingerprints() for base in bases])
    examined, prints = examined_images([real], doing="Looking for images that the base model has seen")
    usable = np.flatnonzero(examined["decode_problem"].isna().to_numpy())
    wanted = [place for place, row in enumerate(usable) if rows[row]]
    marks = [*(Fingerprint(mark.tobytes()) for mark in seen), *(prints[place] for place in wanted)]
    parts = [0] * len(seen) + [1] * len(wanted)
    found = near_duplicates(marks, least=LOOK_ALIKE, parts=parts, known=[0, 1])
    # Of equal images only the first is paired with others: what counts is the group, not the pair.
    looks = duplicate_groups(found, len(marks))
    hit = np.isin(looks[len(seen) :], looks[: len(seen)])
    alike = {usable[place] for place, is_seen in zip(wanted, hit, strict=True) if is_seen}
    return [row in alike for row in np.flatnonzero(rows)]
