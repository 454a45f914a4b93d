"""Classes that are too small, and what for."""

import math
from collections.abc import Iterator

import pandas as pd

from lesiongen.dataset import SPLITS, groups
from lesiongen.validation.checks import class_checks
from lesiongen.validation.config import ValidateConfig
from lesiongen.validation.findings import Finding

__all__ = ["check_classes", "class_counts", "lesion_counts"]


def class_counts(table: pd.DataFrame) -> pd.DataFrame:
    """Counts images by diagnosis (rows) and split (columns)."""
    return pd.crosstab(table["diagnosis"], table["split"]).reindex(columns=list(SPLITS), fill_value=0)


def lesion_counts(table: pd.DataFrame) -> pd.DataFrame:
    """Counts groups of images that belong together (lesion, patient, case) by diagnosis and split."""
    firsts = table.assign(group=groups(table)).drop_duplicates(["group", "diagnosis", "split"])
    return class_counts(firsts)


def check_classes(config: ValidateConfig, table: pd.DataFrame) -> list[Finding]:
    """Finds empty splits, and classes that miss a split or are too small to learn from or to be judged.

    A synthetic dataset needs no validation and test split; for it an empty split is no finding.
    """
    images, lesions = class_counts(table), lesion_counts(table)
    used = [split for split in SPLITS if images[split].sum()]
    findings = [
        *(() if table["synthetic"].all() else _empty(used)),
        *_missing(images, used),
        *(_small_train(images["train"], config.min_train_per_class) if "train" in used else ()),
        *(_small_test(lesions["test"], config.min_test_per_class) if "test" in used else ()),
    ]
    severities = class_checks(config)
    return [Finding(severities[check], check, message) for check, message in findings if check in severities]


def _empty(used: list[str]) -> Iterator[tuple[str, str]]:
    needs = {"train": "there is nothing to train on", "validation": "training cannot be watched on unseen images"}
    for split in SPLITS:
        if split not in used:
            yield "split_has_images", f"no image is in {split}: {needs.get(split, 'nothing can be evaluated on it')}"


def _missing(images: pd.DataFrame, used: list[str]) -> Iterator[tuple[str, str]]:
    for diagnosis, counts in images.iterrows():
        if missing := [split for split in used if not counts[split]]:
            yield "class_in_every_split", f"{diagnosis} has no image in {' and '.join(missing)}"


def _small_train(train: "pd.Series[int]", least: int) -> Iterator[tuple[str, str]]:
    for diagnosis, count in train.items():
        if 0 < count < least:
            yield (
                "class_large_enough_to_learn",
                f"{diagnosis} has {count} training images (fewer than {least}): "
                "a generator learns such a class by heart rather than its variety",
            )


def _small_test(test: "pd.Series[int]", least: int) -> Iterator[tuple[str, str]]:
    for diagnosis, count in test.items():
        if 0 < count < least:
            # 95% normal interval of a share at its widest, p = 1/2
            width = min(0.5, 1.96 * math.sqrt(0.25 / count))
            yield (
                "class_large_enough_to_judge",
                f"{diagnosis} has {count} test lesions (fewer than {least}): "
                f"its recall is known only to about ±{width:.2f}",
            )
