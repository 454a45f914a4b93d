"""The folds of a dataset: parts that share no lesion, each of which is the test split once."""

import warnings
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedGroupKFold

from lesiongen.crossfit.config import CrossfitConfig
from lesiongen.dataset import Dataset, Sample, assign_splits, derive, groups
from lesiongen.dataset.derived import derived_origin
from lesiongen.dataset.examined import examined_images
from lesiongen.dataset.near_duplicates import dataset_near_duplicates
from lesiongen.dataset.subgroups import SUBGROUP_COLUMNS, require_group, subgroups_of
from lesiongen.dataset.writer import is_published
from lesiongen.errors import DataError, UsageError
from lesiongen.imaging import duplicate_groups
from lesiongen.progress import progress
from lesiongen.records.origin import FoldOrigin
from lesiongen.records.provenance import is_generated
from lesiongen.references import DatasetReference
from lesiongen.seeds import derive_seed
from lesiongen.storage import claimed, open_storage
from lesiongen.tracking import stage_run

__all__ = ["assign_folds", "check_dataset", "fold_name", "take_fold"]

_COLUMNS = ["image_id", "diagnosis", "lesion_id", "patient_id", "case_id", "provenance", *SUBGROUP_COLUMNS]


def assign_folds(table: pd.DataFrame, bound: NDArray[np.int32], count: int, seed: int) -> NDArray[np.int64]:
    """Numbers the fold of each row: groups stay whole, and each fold gets its share of each diagnosis.

    The same rows get the same folds in any order (scikit-learn's `StratifiedGroupKFold` on rows sorted by image).

    Args:
        table: Columns ``image_id`` and ``diagnosis``.
        bound: For each row the number of its group.
        count: Number of folds.
        seed: Seed of the order in which groups are dealt.

    Returns:
        [rows], from 1 to ``count``.

    Raises:
        DataError: There are fewer groups than folds, or no diagnosis has as many images.
    """
    if (most := table["diagnosis"].value_counts().max()) < count:
        raise DataError(
            f"No diagnosis has more than {most} images, fewer than the {count} folds", hint="Ask for fewer folds."
        )
    if (found := len(np.unique(bound))) < count:
        raise DataError(
            f"There are {found} groups of images that belong together, fewer than the {count} folds",
            hint="Ask for fewer folds.",
        )
    order = np.argsort(table["image_id"].astype(str).to_numpy(), kind="stable")
    # Groups are dealt in the order of their numbers where they are alike.
    numbers = pd.factorize(bound[order])[0]
    dealer = StratifiedGroupKFold(count, shuffle=True, random_state=derive_seed(seed, "folds") % 2**32)
    folds = np.zeros(len(table), dtype=np.int64)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The least populated class", UserWarning)  # it is then not in every fold
        parts = dealer.split(np.zeros(len(order)), table["diagnosis"].to_numpy()[order], numbers)
        for fold, (_, rows) in enumerate(parts, start=1):
            folds[order[rows]] = fold
    return folds


def take_fold(config: CrossfitConfig, dataset_uri: str, output: str, *, fold: int) -> DatasetReference:
    """Publishes the images of a dataset with one fold as the test split, and the rest as train and validation.

    Images that share a lesion, a patient or a case, or that look alike, are never parted. The splits that the dataset
    has play no part.

    Args:
        config: How it is divided.
        dataset_uri: A dataset of real images.
        output: New folder or ``s3://`` prefix.
        fold: Which fold is tested on, from 1.

    Raises:
        UsageError: The fold is out of range, or the output holds another dataset.
        DataError: The dataset holds images that are not real, an image cannot be decoded, there are too few groups,
            or no image is of the worst group that the configuration names.
    """
    if not 1 <= fold <= config.folds:
        raise UsageError(f"fold = {fold}: must be from 1 to {config.folds}")
    dataset = Dataset.open(dataset_uri)
    origin = FoldOrigin(stage="fold", config=config.model_dump(mode="json"), fold=fold, **derived_origin(dataset))
    target = open_storage(output)
    params = {**config.model_dump(), "dataset": dataset.uri, "fold": fold}
    with claimed(target) as claim, stage_run("fold", params) as run:
        if not (claim.taken_over and is_published(target, origin)):
            splits = _splits(config, dataset, fold)
            name = fold_name(dataset.manifest.name, fold)
            derive(dataset, output, lambda samples: _moved(samples, splits), name=name, origin=origin)
        published = Dataset.open(output).reference()
        run.log_metrics({f"images_{split}": rows for split, rows in published.splits.items()})
    return published


def fold_name(name: str, fold: int) -> str:
    """Returns the name of a dataset whose test split is a fold.

    >>> fold_name("ham10000", 3)
    'ham10000-fold3'
    """
    return f"{name}-fold{fold}"


def _moved(samples: Iterator[Sample], splits: dict[str, str]) -> Iterator[Sample]:
    with progress("Dividing", total=len(splits), unit="images") as bar:
        for sample in samples:
            yield replace(sample, split=splits[sample.image_id])
            bar.advance()


def _splits(config: CrossfitConfig, dataset: Dataset, fold: int) -> dict[str, str]:
    """Returns the split of each image."""
    table = check_dataset(config, dataset)
    bound = _bound(dataset, table)
    folds = assign_folds(table, bound, config.folds, config.seed)
    splits = np.where(folds == fold, "test", "train").astype(object)
    rest = np.flatnonzero(folds != fold)
    inner = assign_splits(
        table.iloc[rest][["image_id", "diagnosis"]].assign(lesion_id=bound[rest]),
        seed=derive_seed(config.seed, "inner", fold),
        fractions=(1 - config.validation_share, config.validation_share, 0.0),
    )
    splits[rest] = _trained_on(inner, table["diagnosis"].to_numpy()[rest], bound[rest])
    return dict(zip(table["image_id"], splits, strict=True))


def _trained_on(splits: NDArray[np.object_], diagnoses: NDArray[np.object_], bound: NDArray[np.int32]) -> Any:
    """Moves into the training split what a diagnosis of few lesions has in the validation split alone."""
    lacking = set(diagnoses) - set(diagnoses[splits == "train"])
    moved = np.isin(bound, bound[np.isin(diagnoses, list(lacking))])
    return np.where(moved, "train", splits)


def check_dataset(config: CrossfitConfig, dataset: Dataset) -> pd.DataFrame:
    """Refuses what cannot be divided or compared, before anything is trained, and returns the columns that matter.

    Raises:
        DataError: An image is not real, or no image is of the worst group; the message names the groups that there are.
    """
    table = dataset.metadata(_COLUMNS)
    if any(is_generated(provenance) for provenance in table["provenance"]):
        raise DataError(
            f"{dataset.uri} contains synthetic images or reconstructions", hint="Folds are of real images alone."
        )
    _check_worst_group(config, dataset.uri, table)
    return table


def _check_worst_group(config: CrossfitConfig, uri: str, table: pd.DataFrame) -> None:
    """Refuses a worst group without images; the tone that captioning measures may not be known yet."""
    if config.worst_group is None:
        return
    groups_of = subgroups_of(table)
    if not (config.worst_group.startswith("measured_tone=") and groups_of["measured_tone"].isna().all()):
        require_group(groups_of, config.worst_group, uri, "images")


def _bound(dataset: Dataset, table: pd.DataFrame) -> NDArray[np.int32]:
    """Numbers the groups of images that belong together, those that look alike as ingest binds them."""
    seen, prints = examined_images([dataset], doing="Looking for near-duplicates")
    if not (problems := seen["decode_problem"].dropna()).empty:
        raise DataError(
            f"{dataset.uri}, image_id = {table.loc[problems.index[0], 'image_id']}: {problems.iloc[0]}",
            hint="lesiongen validate lists every such image.",
        )
    alike = dataset_near_duplicates(dataset, table["image_id"].tolist(), prints)
    return groups(table.assign(content_digest=duplicate_groups(alike, len(table))))
