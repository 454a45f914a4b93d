"""Splits, classes and subgroups that are too small, and what for."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pandas as pd

from lesiongen.dataset import AGE_BANDS, GROUP_COLUMNS, SPLITS, groups
from lesiongen.dataset.subgroups import SUBGROUPS, subgroups_of
from lesiongen.validation.findings import Finding
from lesiongen.validation.links import NEAR_GROUP
from lesiongen.validation.thresholds import Severity, Thresholds

__all__ = [
    "CHECKED_SUBGROUPS",
    "SIZE_CHECKS",
    "SizeCheck",
    "check_sizes",
    "class_counts",
    "counted",
    "lesion_counts",
    "subgroup_table",
]

CHECKED_SUBGROUPS = (*(name for name in SUBGROUPS if name not in ("site", "device")), "source")
"""Subgroups whose size is checked: sites and devices are many and often rare."""


@dataclass(frozen=True)
class SizeCheck:
    """A question to the counts of a dataset.

    Attributes:
        name: By which a checks file names it.
        about: What is counted, for the report.
        severity: Unless the configuration says otherwise.
        message: What follows from being too small; the parts name what is.
        why: Why it matters, for who reads the checks file.
        find: Yields a line for each part that is too small.
        of_real: Asked only of datasets that hold real images: a synthetic one needs no validation and test split.
    """

    name: str
    about: str
    severity: Severity
    message: str
    why: str
    find: Callable[[Thresholds, "_Counts"], Iterator[str]]
    of_real: bool = True


def class_counts(table: pd.DataFrame) -> pd.DataFrame:
    """Counts images by diagnosis (rows) and split (columns)."""
    return counted(table, "diagnosis")


def lesion_counts(table: pd.DataFrame) -> pd.DataFrame:
    """Counts groups of images that belong together (lesion, patient, case, photograph) by diagnosis and split."""
    group = groups(table, (*GROUP_COLUMNS, "digest", NEAR_GROUP))
    firsts = table.assign(group=group).drop_duplicates(["group", "diagnosis", "split"])
    return class_counts(firsts)


def subgroup_table(table: pd.DataFrame) -> pd.DataFrame:
    """Returns the split, the source and the subgroups of each image."""
    return subgroups_of(table).assign(split=table["split"], source=table["source"])


def check_sizes(config: Thresholds, table: pd.DataFrame) -> list[Finding]:
    """Finds splits, classes and subgroups that are empty or too small for what follows."""
    counts = _Counts(table)
    findings = []
    for check in SIZE_CHECKS:
        severity = config.severities.get(check.name, check.severity)
        if severity == "off" or (check.of_real and counts.all_synthetic):
            continue
        if parts := tuple(check.find(config, counts)):
            findings.append(Finding(severity, check.name, check.message, parts=parts))
    return findings


class _Counts:
    """The counts that several checks ask for."""

    def __init__(self, table: pd.DataFrame) -> None:
        self.table = subgroup_table(table)
        self.grouped = bool(table.reindex(columns=["lesion_id", "patient_id", "case_id"]).notna().any(axis=None))
        self.at_best = "" if self.grouped else " at best (lesions not recorded)"
        self.all_synthetic = bool(table["synthetic"].all())
        self.images = class_counts(table)
        self.lesions = lesion_counts(table)
        self.used = [split for split in SPLITS if self.images[split].sum()]

    def subgroups(self, split: str) -> Iterator[tuple[str, str, int]]:
        """Yields column, group and number of images in a split for every subgroup that the dataset has."""
        for column in CHECKED_SUBGROUPS:
            if self.table[column].nunique() > 1:
                for group, count in counted(self.table, column)[split].items():
                    yield column.replace("_", " "), str(group), int(count)


def counted(table: pd.DataFrame, column: str) -> pd.DataFrame:
    """Counts images by a column (rows, in its order: age bands by age, others by name) and split (columns)."""
    counts = pd.crosstab(table[column], table["split"]).reindex(columns=list(SPLITS), fill_value=0)
    order = {band: position for position, band in enumerate(AGE_BANDS)}
    return counts.sort_index(key=lambda names: names.map(lambda name: (order.get(name, len(order)), str(name))))


def _empty_splits(_: Thresholds, counts: _Counts) -> Iterator[str]:
    needs = {"train": "there is nothing to train on", "validation": "training cannot be watched on unseen images"}
    for split in SPLITS:
        if split not in counts.used:
            yield f"{split}: {needs.get(split, 'nothing can be evaluated')}"


def _small_test(config: Thresholds, counts: _Counts) -> Iterator[str]:
    count = int(counts.images["test"].sum())
    if 0 < count < config.min_test:
        yield f"{count} test images, {config.min_test} are needed"


def _few_held_out(config: Thresholds, counts: _Counts) -> Iterator[str]:
    count = int(counts.images[["validation", "test"]].to_numpy().sum())
    if 0 < count < config.min_held_out:
        yield f"{count} validation and test images, {config.min_held_out} are needed"


def _missing_classes(_: Thresholds, counts: _Counts) -> Iterator[str]:
    for diagnosis, row in counts.images.iterrows():
        if missing := [split for split in counts.used if not row[split]]:
            yield f"{diagnosis} has no image in {' and '.join(missing)}"


def _classes_to_learn(config: Thresholds, counts: _Counts) -> Iterator[str]:
    for diagnosis, count in counts.images["train"].items():
        if 0 < count < config.min_train_per_class:
            yield f"{diagnosis}: {_number(count, 'training image')}"


def _classes_to_judge(config: Thresholds, counts: _Counts) -> Iterator[str]:
    for diagnosis, count in counts.lesions["test"].items():
        if 0 < count < config.min_test_per_class:
            what = "test lesion" if counts.grouped else "test image"  # without ids, several may show one lesion
            yield f"{diagnosis}: {_number(count, what)}, recall known to ±{_half_width(count):.2f}{counts.at_best}"


def _groups_to_learn(config: Thresholds, counts: _Counts) -> Iterator[str]:
    for column, group, count in counts.subgroups("train") if "train" in counts.used else ():
        if count < config.min_train_per_group:
            yield f"{column} {group}: {_number(count, 'training image')}"


def _groups_to_judge(config: Thresholds, counts: _Counts) -> Iterator[str]:
    for column, group, count in counts.subgroups("test") if "test" in counts.used else ():
        if count < config.min_test_per_group:
            width = f", recall known to ±{_half_width(count):.2f}" if count else ""
            yield f"{column} {group}: {_number(count, 'test image')}{width}"


def _unrecorded(_: Thresholds, counts: _Counts) -> Iterator[str]:
    for column in ("sex", "age_band", "skin_tone", "image_type"):
        if counts.table[column].isna().all():
            yield column.replace("_", " ")


def _ungrouped(_: Thresholds, counts: _Counts) -> Iterator[str]:
    if not counts.grouped and len(counts.used) > 1:
        yield "no image has a lesion_id, patient_id or case_id"


def _number(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"


def _half_width(count: int) -> float:
    """Half of the 95% Wilson interval (1927) of a share at its widest, p = 1/2: z / (2 sqrt(n + z²))."""
    z = 1.96
    return z / (2 * math.sqrt(count + z * z))


SIZE_CHECKS = (
    SizeCheck(
        "split_has_images", "splits", "warning", "Splits are empty",
        "The generator is trained on train, the classifier is picked on validation and judged on test.", _empty_splits,
    ),
    SizeCheck(
        "test_large_enough", "test split", "warning", "`evaluate` will refuse it: the test split is too small",
        "Scores on fewer images say nothing.", _small_test,
    ),
    SizeCheck(
        "held_out_large_enough", "validation and test split", "warning",
        "The memorisation check will be marked as not calibrated: too few held-out images set its threshold",
        "A 99th percentile of fewer images is little more than their maximum.", _few_held_out,
    ),
    SizeCheck(
        "class_in_every_split", "diagnosis", "warning", "Classes are missing from splits",
        "A class without training images cannot be generated, one without test images cannot be judged.",
        _missing_classes,
    ),
    SizeCheck(
        "class_large_enough_to_learn", "diagnosis", "warning",
        "Classes are too small for a generator, which learns such images by heart rather than their variety",
        "Small and repeated training sets raise the share of near copies (Dar et al. 2025, Carlini et al. 2023).",
        _classes_to_learn, of_real=False,
    ),
    SizeCheck(
        "class_large_enough_to_judge", "diagnosis", "warning", "Classes are too small to be judged in the test split",
        "The width of the 95% interval of a recall follows from the number of lesions alone.", _classes_to_judge,
    ),
    SizeCheck(
        "subgroup_large_enough_to_learn", "subgroups", "warning",
        "Subgroups are too small for a generator: what it makes for them is learnt from other patients",
        "Rare groups are where generated images are wanted most, and where a generator knows least.", _groups_to_learn,
    ),
    SizeCheck(
        "subgroup_large_enough_to_judge", "subgroups", "warning",
        "Subgroups are too small for their recall to be judged; the evaluation lists them without ranking them",
        "The worst of many small groups looks bad by chance.", _groups_to_judge,
    ),
    SizeCheck(
        "lesion_or_patient_recorded", "lesion_id, patient_id", "warning",
        "Photographs of one lesion or patient may be in train and test",
        "The test would reward remembering. In a folder of one's own name the column: ingest --column patient_id=NAME.",
        _ungrouped,
    ),
    SizeCheck(
        "subgroup_recorded", "subgroups", "info", "Not recorded for any image: nothing can be judged by it",
        "Fairness is judged only by what was recorded; a measured tone replaces a recorded one only in part.",
        _unrecorded,
    ),
)  # fmt: skip
