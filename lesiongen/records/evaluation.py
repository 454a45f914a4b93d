"""The content of ``evaluation.json``: what an evaluation measured, on what, and how."""

import json
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import JsonValue

from lesiongen.errors import DataError
from lesiongen.records.base import Count, Number, Record, added

__all__ = [
    "MEASURED",
    "Agreement",
    "Bounded",
    "Calibration",
    "ClassAgreement",
    "ClassDistance",
    "ClassRecall",
    "ClassifierScores",
    "ClassifierSource",
    "Comparison",
    "Condition",
    "ConditionScores",
    "Contamination",
    "Counts",
    "Drift",
    "DriftedColumn",
    "EvaluationRecord",
    "FeatureDistances",
    "Fidelity",
    "GroupMalignancy",
    "Malignancy",
    "MalignancyScores",
    "Memorisation",
    "MixProtocol",
    "NearestPair",
    "PartCounts",
    "Protocol",
    "Reconstruction",
    "Score",
    "Share",
    "Source",
    "SubgroupScore",
    "WorstGroup",
    "read_evaluation",
]

Condition = Literal["real", "synthetic", "both", "reconstruction"]
"""What a classifier is trained on; ``reconstruction``: real images as the generator's autoencoder gives them back."""


class Source(Record):
    """A dataset that was evaluated."""

    uri: str = ""
    version: str = ""


class MixProtocol(Record):
    """How synthetic images are mixed into the training of the condition ``both``."""

    synthetic_share: Number = None
    until: Number = None
    meaning: str = ""


class Protocol(Record):
    """How the classifiers are trained, picked, tested and compared, in words."""

    training: str = ""
    selection: str = ""
    test: str = ""
    both: MixProtocol = MixProtocol()
    intervals: str = ""
    tests: str = ""
    reconstruction: str = added("")
    """Blank where there is no such condition."""


class PartCounts(Record):
    """Number of images of one part, and of each class in it."""

    n: Count = None
    per_class: dict[str, Count] = {}


class Counts(Record):
    """Numbers of images and of test lesions, and of images left out because their pixels occur elsewhere."""

    train: PartCounts = PartCounts()
    validation: PartCounts = PartCounts()
    test: PartCounts = PartCounts()
    synthetic: PartCounts = PartCounts()
    test_lesions: Count = None
    validation_excluded: Count = None
    test_excluded: Count = None


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


class FeatureDistances(Record):
    """Distances between two sets of images in the features of a network."""

    n_real: Count = None
    n_fake: Count = None
    kid: Number = None
    kid_spread: Number = None
    frechet_distance: Number = None
    precision: Number = None
    recall: Number = None
    density: Number = None
    coverage: Number = None


class ClassDistance(Record):
    """KID of one class; None where there are too few images."""

    n_real: Count = None
    n_synthetic: Count = None
    kid: Number = None


class Fidelity(Record):
    """Distances of the synthetic and, for scale, of held-out real images to the real training images."""

    extractor: str = ""
    neighbours: Count = None
    synthetic: FeatureDistances = FeatureDistances()
    held_out_real: FeatureDistances = FeatureDistances()
    per_class: dict[str, ClassDistance] = {}


class Agreement(Record):
    """Share of the synthetic images of one class that are recognised as it; None where there are none."""

    n: Count = None
    agreement: Number = None


class ClassAgreement(Record):
    """Share of the synthetic images whose diagnosis a classifier of real images recognises."""

    classifier: str = ""
    n: Count = None
    agreement: Number = None
    chance: Number = None
    per_class: dict[str, Agreement] = {}


class DriftedColumn(Record):
    """Distance of one measured property between real and synthetic images."""

    column: str = ""
    method: str = ""
    distance: Number = None
    drifted: bool = False


class Drift(Record):
    """Drift of measured properties from the real to the synthetic images."""

    tool: str = ""
    threshold: Number = None
    columns: tuple[DriftedColumn, ...] = ()
    share_drifted: Number = None
    absent: tuple[str, ...] = ()


class NearestPair(Record):
    """A synthetic image, the training image nearest to it, and whether it is nearer than the threshold."""

    synthetic: str = ""
    train: str = ""
    similarity: Number = None
    above: bool = False


class Memorisation(Record):
    """How many synthetic images are nearer to a training image than held-out real images are."""

    method: str = ""
    threshold: Number = None
    percentile: Number = None
    expected_share: Number = None
    share_above: Number = None
    n_above: Count = None
    n_synthetic: Count = None
    n_held_out: Count = None
    calibrated: bool = False
    synthetic_quantiles: dict[str, Number] = {}
    held_out_quantiles: dict[str, Number] = {}
    nearest_pairs: tuple[NearestPair, ...] = ()


class Contamination(Record):
    """Numbers of validation and test images that the generator was trained on."""

    validation: Count = None
    test: Count = None


class Bounded(Record):
    """A number and its interval over resamples of the test lesions."""

    value: Number = None
    low: Number = None
    high: Number = None


class Reconstruction(Record):
    """What the generator's autoencoder loses by itself, and what is left to its denoiser."""

    n: Count = None
    peak_signal_to_noise_db: Number = None
    """Mean over the images; those that came back as they were are left out."""
    laplacian_variance_ratio: Number = None
    """Mean variance of the Laplacian of the reconstructions over that of the originals: 1 is as sharp."""
    ceiling: Bounded = Bounded()
    """Balanced accuracy from reconstructions over that from real images."""
    autoencoder: Bounded = Bounded()
    """Balanced accuracy from reconstructions less that from real images."""
    denoiser: Bounded = Bounded()
    """Balanced accuracy from synthetic images less that from reconstructions."""


MEASURED = frozenset(
    {
        "best_condition",
        "class_agreement",
        "classifier",
        "comparisons",
        "drift",
        "fidelity",
        "further_classifiers",
        "malignancy",
        "memorisation",
        "reconstruction",
        "utility",
        "worst_group",
    }
)
"""The fields of `EvaluationRecord` that measures fill."""


class EvaluationRecord(Record):
    """Content of ``evaluation.json``."""

    schema_version: Literal[1] = 1
    name: str = ""
    lesiongen_version: str = ""
    config: dict[str, JsonValue] = {}
    sources: dict[Literal["real", "synthetic", "reconstructed"], Source] = {}
    created: str = ""
    classes: tuple[str, ...] = ()
    protocol: Protocol = Protocol()
    notes: tuple[str, ...] = ()
    counts: Counts = Counts()
    utility: dict[Condition, ConditionScores] = {}
    best_condition: Condition = "real"
    worst_group: WorstGroup = added(WorstGroup())
    malignancy: Malignancy = added(Malignancy())
    comparisons: tuple[Comparison, ...] = ()
    reconstruction: Reconstruction | None = added(None)
    """None where no reconstructions were given."""
    classifier: ClassifierSource | None = added(None)
    """The primary classifier, whose scores are in ``utility``; None in files of earlier releases."""
    further_classifiers: dict[str, ClassifierScores] = added({})
    """The other classifiers, by the name that they were asked for by."""
    fidelity: Fidelity = Fidelity()
    class_agreement: ClassAgreement = ClassAgreement()
    drift: Drift = Drift()
    memorisation: Memorisation = Memorisation()
    further: dict[str, JsonValue] = {}
    """Entries of measures that this record has no field for, by name; not written where there are none."""
    files: dict[str, str] = {}
    """SHA-256 of every other file of the evaluation."""

    def scores(self, condition: Condition) -> ConditionScores:
        """Returns the scores of a condition; empty ones where it was not evaluated."""
        return self.utility.get(condition, ConditionScores())

    def made_as(self, other: "EvaluationRecord") -> bool:
        """Tells whether two evaluations have the same name, settings, sources and release."""
        same = ("schema_version", "name", "lesiongen_version", "config", "sources")
        return all(getattr(self, name) == getattr(other, name) for name in same)

    def text(self) -> str:
        """Returns the document as it is stored."""
        plain = self.model_dump(mode="json", exclude=None if self.further else {"further"})
        return json.dumps(plain, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def read_evaluation(data: bytes, name: str) -> EvaluationRecord:
    """Reads ``evaluation.json``.

    Args:
        data: Its content.
        name: Its address, for errors.

    Raises:
        DataError: It is not JSON, not an evaluation, or was written by a later release.
    """
    try:
        content: Any = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{name} is not JSON: {error}", hint="Run evaluate again.") from error
    if not isinstance(content, Mapping):
        raise DataError(f"{name} is not an evaluation.", hint="Run evaluate again.")
    version = content.get("schema_version", 1)
    if version != 1:
        raise DataError(f"{name} has schema version {version!r}; this release reads 1", hint="Use a later release.")
    return EvaluationRecord.read(content)
