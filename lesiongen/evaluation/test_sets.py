"""Test sets from elsewhere: what is left out of them so that nothing is tested on that was learnt from."""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import numpy as np
import pandas as pd

from lesiongen.dataset import Dataset, groups
from lesiongen.dataset.examined import examined_images
from lesiongen.dataset.near_duplicates import datasets_near_duplicates
from lesiongen.errors import DataError, UsageError
from lesiongen.evaluation.config import EvaluateConfig
from lesiongen.evaluation.images import LabelledImages, load_images
from lesiongen.evaluation.seen import seen_of_test_set
from lesiongen.imaging import duplicate_groups
from lesiongen.records.comparison_names import ComparisonName
from lesiongen.records.provenance import is_generated
from lesiongen.records.test_sets import LeftOutReason, NamedImages

__all__ = ["OutsideSet", "check_test_sets", "load_test_sets"]

NAMED = 5
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
_BOUND = ("lesion_id", "patient_id", "case_id")
_SHARED = ("image_id", *_BOUND, "picture")
_COLUMNS = ["image_id", *_BOUND, "diagnosis", "split", "licence", "provenance"]
_WORDS: Mapping[LeftOutReason, str] = {
    "image_id": "have the id of an image that is learnt from",
    "lesion_id": "have the lesion of an image that is learnt from",
    "patient_id": "have the patient of an image that is learnt from",
    "case_id": "have the case of an image that is learnt from",
    "picture": "show, or may show, the photograph of an image that is learnt from",
    "base": "were seen by the base model of the generator: their id, lesion, patient or picture",
    "related": "have the lesion, patient or case of an image that was left out for one of these reasons",
    "diagnosis": "have a diagnosis that the classifiers do not know",
}
"""Training, validation and synthetic images are learnt from: validation images pick a classifier's state."""


@dataclass(frozen=True)
class OutsideSet:
    """A test set from elsewhere, without what was left out.

    Attributes:
        dataset: The dataset, all of whose splits are tested on.
        images: The images that are tested on.
        licences: Licences of these.
        left_out: The other images, by the first reason that holds.
        also_in: Images that are also in the run's own test split (``test``) or in another test set.
    """

    dataset: Dataset
    images: LabelledImages
    licences: tuple[str, ...]
    left_out: Mapping[LeftOutReason, NamedImages]
    also_in: Mapping[str, NamedImages]

    def at_size(self, name: str, classes: Sequence[str], size: int, folder: Path) -> "OutsideSet":
        """Returns the same images at another size, their pixels in a file of a folder."""
        return replace(self, images=_load(name, self.dataset, self.images.table["image_id"], classes, size, folder))

    def notes(self, name: str) -> Iterator[str]:
        """Yields sentences on what was left out, and on what other test images it shares."""
        for reason, found in self.left_out.items():
            yield f"Test set {name}: {found.n} of {len(self.dataset)} images were left out: {_said(reason, found)}."
        for other, found in self.also_in.items():
            where = "the run's own test split" if other == "test" else f"the test set {other}"
            yield f"Test set {name}: {found.n} images are also in {where}, by id, lesion, patient, case or picture."


def check_test_sets(config: EvaluateConfig, test_sets: Mapping[str, str]) -> None:
    """Checks the names of test sets from elsewhere, and that the family of comparisons names no others.

    Raises:
        UsageError: A name is not usable, is that of a classifier, or the family names a set that is not given.
    """
    for name in test_sets:
        if not _NAME.fullmatch(name) or name in (*config.classifiers, "test"):
            raise UsageError(
                f"test set {name!r}: the name must begin with a letter or digit and hold only letters, digits, '_' and "
                "'-'; neither 'test' nor a classifier may be called so",
                hint="Write NAME=DATASET, such as pad=data/pad_ufes_20.",
            )
    for comparison in config.family:
        asked = ComparisonName.read(comparison).test_set
        if asked and asked not in test_sets:
            raise UsageError(
                f"family: {comparison!r} is on the test set {asked!r}, which is not given",
                hint=f"Test sets that are given: {', '.join(test_sets) or 'none'}.",
            )


def load_test_sets(
    min_test: int,
    real: Dataset,
    synthetic: Dataset,
    test_sets: Mapping[str, Dataset],
    classes: Sequence[str],
    size: int,
    folder: Path | None,
) -> dict[str, OutsideSet]:
    """Loads test sets from elsewhere, all splits of each, without images that overlap with what is learnt from.

    An image overlaps where it shares the id, the lesion, the patient or the case with a real training or validation
    image or with a synthetic image, or where both show, or may show, one photograph (`datasets_near_duplicates`, by
    which ingest keeps images in one split). Images of the lesion, patient or case of one that overlaps go with it.

    Args:
        min_test: Fewest images that a set needs.
        real: The real images.
        synthetic: The synthetic images.
        test_sets: The sets by name.
        classes: The diagnoses that the classifiers know.
        size: Side of the images in pixels.
        folder: Where their pixels are kept; None: in memory.

    Raises:
        DataError: A set holds generated images or too few usable ones, or an image cannot be decoded.
    """
    if not test_sets:
        return {}
    for name, dataset in test_sets.items():
        _check_real(name, dataset)
    learnt, test, *own = _tables(real, synthetic, test_sets)
    tables = dict(zip(test_sets, own, strict=True))
    found = {}
    for name, dataset in test_sets.items():
        table = tables[name]
        reasons = _reasons(table, learnt, seen_of_test_set(dataset, synthetic), classes)
        kept = table[reasons.isna()]
        left_out = {reason: _named(table[reasons == reason]) for reason in _WORDS if (reasons == reason).any()}
        _require(name, dataset, len(kept), min_test, left_out)
        others = {"test": test, **{other: each for other, each in tables.items() if other != name}}
        shared = {other: kept[_overlaps(kept, each).notna()] for other, each in others.items()}
        found[name] = OutsideSet(
            dataset,
            _load(name, dataset, kept["image_id"], classes, size, folder),
            tuple(sorted(kept["licence"].fillna("not stated").unique())),
            left_out,
            {other: _named(rows) for other, rows in shared.items() if len(rows)},
        )
    return found


def _check_real(name: str, dataset: Dataset) -> None:
    made = dataset.metadata(["image_id", "provenance"])
    found = [image_id for image_id, provenance in made.itertuples(index=False) if is_generated(provenance)]
    if found:
        raise DataError(
            f"test set {name} ({dataset.uri}): {len(found)} images are synthetic or reconstructions, not real: "
            f"{', '.join(found[:NAMED])}",
            hint="Test on real images alone.",
        )


def _tables(real: Dataset, synthetic: Dataset, test_sets: Mapping[str, Dataset]) -> list[pd.DataFrame]:
    """Returns a row for each image: of those that are learnt from, of the run's own test split, and of each set."""
    datasets = [real, synthetic, *test_sets.values()]
    rows = [dataset.metadata(_COLUMNS) for dataset in datasets]
    pictures = _pictures(datasets, rows)
    ends = np.cumsum([len(each) for each in rows])[:-1]
    of_real, of_synthetic, *own = (
        each.assign(picture=numbers) for each, numbers in zip(rows, np.split(pictures, ends), strict=True)
    )
    is_test = of_real["split"] == "test"
    return [pd.concat([of_real[~is_test], of_synthetic], ignore_index=True), of_real[is_test], *own]


def _pictures(datasets: Sequence[Dataset], rows: Sequence[pd.DataFrame]) -> np.ndarray:
    """Numbers the photographs that the images of some datasets show, as ingest binds them."""
    seen, prints = examined_images(datasets, doing="Looking for images that test sets share")
    problems = seen["decode_problem"].dropna()
    if not problems.empty:
        image_id = pd.concat(rows, ignore_index=True)["image_id"].loc[problems.index[0]]
        raise DataError(f"image_id = {image_id}: {problems.iloc[0]}", hint="lesiongen validate lists every such image.")
    pairs = datasets_near_duplicates(datasets, [each["image_id"].tolist() for each in rows], prints)
    return duplicate_groups(pairs, len(seen))


def _reasons(own: pd.DataFrame, learnt: pd.DataFrame, seen: Collection[str], classes: Sequence[str]) -> pd.Series:
    """Returns why each image of a set is left out; None where it is not."""
    reasons = _overlaps(own, learnt)
    reasons = reasons.mask(reasons.isna() & own["image_id"].isin(seen), "base")
    bound = groups(own, _BOUND)
    related = np.isin(bound, bound[reasons.notna()])
    reasons = reasons.mask(reasons.isna() & related, "related")
    return reasons.mask(reasons.isna() & ~own["diagnosis"].isin(classes), "diagnosis")


def _overlaps(own: pd.DataFrame, others: pd.DataFrame) -> pd.Series:
    """Returns the first of the columns in which each image has a value of one of the others; None where none is."""
    found = pd.Series(None, own.index, dtype=object)
    for column in _SHARED:
        shared = own[column].notna() & own[column].isin(others[column].dropna())
        found = found.mask(found.isna() & shared, column)
    return found


def _named(rows: pd.DataFrame) -> NamedImages:
    return NamedImages(n=len(rows), examples=tuple(rows["image_id"].astype(str)[:NAMED]))


def _said(reason: LeftOutReason, found: NamedImages) -> str:
    more = ", …" if (found.n or 0) > len(found.examples) else ""
    return f"they {_WORDS[reason]} ({', '.join(found.examples)}{more})"


def _require(
    name: str, dataset: Dataset, kept: int, needed: int, left_out: Mapping[LeftOutReason, NamedImages]
) -> None:
    if kept < needed:
        reasons = "; ".join(f"{found.n} images: {_said(reason, found)}" for reason, found in left_out.items())
        raise DataError(
            f"test set {name} ({dataset.uri}) has {kept} usable images, fewer than the {needed} that a test needs",
            hint=f"Left out: {reasons}." if reasons else "min_test sets the limit.",
        )


def _load(
    name: str, dataset: Dataset, image_ids: pd.Series, classes: Sequence[str], size: int, folder: Path | None
) -> LabelledImages:
    file = None if folder is None else folder / f"elsewhere-{name}"
    ids = cast("list[str]", image_ids.tolist())
    return load_images(dataset, None, classes, size, kind=f"{name} test", file=file, image_ids=ids)
