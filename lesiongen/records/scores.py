"""What an evaluation says of the classifiers: their scores, and comparisons between them."""

from typing import Literal

from pydantic import JsonValue

from lesiongen.records.base import Count, Number, Record, added

__all__ = [
    "Calibration",
    "ClassRecall",
    "ClassifierScores",
    "ClassifierSource",
    "Comparison",
    "Condition",
    "ConditionScores",
    "GroupMalignancy",
    "Malignancy",
    "MalignancyScores",
    "Score",
    "Share",
    "SubgroupScore",
    "WorstGroup",
]

Condition = Literal["real", "synthetic", "both", "reconstruction"]
"""What a classifier is trained on; ``reconstruction``: real images as the generator's autoencoder gives them back."""


class Score(Record):
    """A score of one condition: the mean over the seeds, its interval, every seed, their standard deviation."""

    mean: Number = None
    low: Number = None
    high: Number = None
    per_seed: tuple[Number, ...] = ()
    spread: Number = None


class ClassRecall(Record):
    """Recall of one class; None where no test image has it."""

    recall: Number = None
    n: Count = None
    low: Number = None
    high: Number = None


class Calibration(Record):
    """Brier score and expected calibration error, means over the seeds."""

    brier: Number = None
    ece: Number = None


class SubgroupScore(Record):
    """Scores of one group of patients."""

    column: str = ""
    group: str = ""
    n: Count = None
    lesions: Count = None
    diagnoses: Count = None
    accuracy: Number = None
    recall: Number = None
    low: Number = None
    high: Number = None
    too_small: bool = False


class WorstGroup(Record):
    """The group that is compared as the worst served, how it was named, and on what; empty where none is claimed."""

    column: str = ""
    group: str = ""
    named_by: Literal["", "configuration", "validation"] = ""
    explanation: str = ""
    n_test: Count = None
    n_validation: Count = None
    validation_recall: Number = None
    ranked: Count = None


class Share(Record):
    """A share of test images, the mean over the seeds; None where there are none."""

    share: Number = None
    n: Count = None
    lesions: Count = None
    low: Number = None
    high: Number = None
    too_small: bool = False


class GroupMalignancy(Record):
    """Sensitivity and specificity for malignant diagnoses in one group of patients."""

    column: str = ""
    group: str = ""
    sensitivity: Share = Share()
    specificity: Share = Share()


class MalignancyScores(Record):
    """How the classifiers of one condition tell malignant from benign diagnoses."""

    auroc: Score = Score()
    sensitivity: Share = Share()
    specificity: Share = Share()
    groups: tuple[GroupMalignancy, ...] = ()


class Malignancy(Record):
    """Malignant against benign diagnoses; images of undecided classes are left out."""

    malignant: tuple[str, ...] = ()
    benign: tuple[str, ...] = ()
    undecided: tuple[str, ...] = ()
    n_left_out: Count = None
    conditions: dict[Condition, MalignancyScores] = {}


class ConditionScores(Record):
    """Scores of the classifiers of one condition on the test images."""

    accuracy: Score = Score()
    balanced_accuracy: Score = Score()
    macro_f1: Score = Score()
    auroc: Score = added(Score())
    per_class: dict[str, ClassRecall] = {}
    confusion: tuple[tuple[Number, ...], ...] = ()
    calibration: Calibration = Calibration()
    subgroups: tuple[SubgroupScore, ...] = ()
    intersections: tuple[SubgroupScore, ...] = added(())
    worst_group: SubgroupScore | None = None
    """Of the group that `EvaluationRecord.worst_group` names; in earlier releases of the lowest on the test images."""
    gaps: dict[str, Number] = {}
    validation_balanced_accuracy: tuple[Number, ...] = ()
    picked_steps: tuple[int, ...] = ()


class Comparison(Record):
    """A paired comparison of two conditions on the same test lesions."""

    name: str = ""
    metric: str = ""
    difference: Number = None
    low: Number = None
    high: Number = None
    p_value: Number = None
    per_seed: tuple[Number, ...] = ()
    spread: Number = None
    p_holm: Number = None
    significant: bool = False
    family: Count = None
    n: Count = added(None)
    lesions: Count = added(None)
    not_computed: str = added("")
    """Why it could not be computed; empty where it was."""


class ClassifierSource(Record):
    """A kind of classifier, where its weights come from, and the settings that all conditions share."""

    kind: str = ""
    source: str = ""
    """Where it begins: ``lesiongen`` (random weights), a folder, an address, a hub id or a package."""
    revision: str | None = None
    """Commit of the hub repository, or version of the package."""
    licence: str | None = None
    """Licence of the weights; None where none is stated."""
    files: dict[str, str] = {}
    """SHA-256 of the files with the weights."""
    image_size: Count = None
    hyperparameters: dict[str, JsonValue] = {}


class ClassifierScores(Record):
    """What a further classifier says of the conditions, outside the declared family of comparisons."""

    classifier: ClassifierSource = ClassifierSource()
    utility: dict[Condition, ConditionScores] = {}
    best_condition: Condition = "real"
    comparisons: tuple[Comparison, ...] = ()
    """Secondary: ``p_holm`` and ``family`` are None, and none is called significant."""
