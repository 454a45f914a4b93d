"""The test images of all folds together: each image of the dataset, predicted by classifiers that never saw it."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import cast

import numpy as np
import pandas as pd

from lesiongen import __version__
from lesiongen.config import parse_config
from lesiongen.crossfit.config import CrossfitConfig
from lesiongen.dataset import Dataset
from lesiongen.dataset.subgroups import SUBGROUP_COLUMNS, subgroups_of
from lesiongen.errors import DataError, UsageError
from lesiongen.evaluation.classifier.conditions import Predictions
from lesiongen.evaluation.config import EvaluateConfig
from lesiongen.evaluation.evidence import Results
from lesiongen.evaluation.images import LabelledImages
from lesiongen.evaluation.material import Material
from lesiongen.evaluation.measures.classifiers import further_scores
from lesiongen.evaluation.measures.malignancy import MalignantDiagnoses
from lesiongen.evaluation.measures.reconstruction import losses_of_parts
from lesiongen.evaluation.measures.utility import utility_entries
from lesiongen.evaluation.measures.worst_group import named_worst_group
from lesiongen.evaluation.predictions import KeptPredictions, read_predictions
from lesiongen.evaluation.report.protocol import describe_protocol
from lesiongen.records.crossfit import FoldResult
from lesiongen.records.evaluation import Counts, EvaluationRecord, PartCounts, Protocol, Source, read_evaluation
from lesiongen.records.image_measures import Reconstruction
from lesiongen.records.origin import CaptionOrigin, FoldOrigin, SampleOrigin, SelectOrigin
from lesiongen.records.scores import (
    ClassifierSource,
    Comparison,
    Condition,
    ConditionScores,
    Malignancy,
    Score,
    WorstGroup,
)
from lesiongen.storage import open_storage

__all__ = ["Fold", "detectable_differences", "fold_results", "open_folds", "pooled_evaluation"]

POWER = 0.8
_COLUMNS = ["image_id", "diagnosis", "lesion_id", "patient_id", "case_id", *SUBGROUP_COLUMNS]
_MAY_DIFFER = {"name"}


@dataclass(frozen=True)
class Fold:
    """The evaluation of one fold.

    Attributes:
        number: Which fold, from 1.
        source: The evaluation; its version is the SHA-256 of its evaluation.json.
        record: Its evaluation.json.
        predictions: What each of its classifiers predicted for the fold's images, the primary one first.
    """

    number: int
    source: Source
    record: EvaluationRecord
    predictions: Mapping[str, KeptPredictions]

    @property
    def image_ids(self) -> list[str]:
        """The images that it was tested on."""
        return next(iter(self.predictions.values())).image_ids

    def scores(self, classifier: str) -> Mapping[Condition, ConditionScores]:
        """Returns the scores of a classifier by condition."""
        further = self.record.further_classifiers.get(classifier)
        return self.record.utility if further is None else further.utility


def open_folds(config: CrossfitConfig, dataset: Dataset, uris: Sequence[str]) -> list[Fold]:
    """Reads the evaluations of all folds, in the order of the folds.

    Args:
        config: How the dataset was divided.
        dataset: The dataset that was divided.
        uris: The evaluations, in any order.

    Raises:
        UsageError: One is not of a fold of this dataset, divided in this way; a fold is missing or given twice; or the
            evaluations differ in their settings, conditions, classes, release, or in how their images were drawn.
        DataError: A file is damaged.
        StorageError: One of the addresses holds no evaluation.
    """
    folds = sorted((_open_fold(config, dataset, uri) for uri in uris), key=lambda fold: fold.number)
    if [fold.number for fold in folds] != list(range(1, config.folds + 1)):
        given = ", ".join(str(fold.number) for fold in folds) or "none"
        raise UsageError(f"Each of the {config.folds} folds is needed once; given: {given}")
    for fold in folds[1:]:
        if differs := _difference(folds[0].record, fold.record):
            raise UsageError(
                f"{fold.source.uri} and {folds[0].source.uri} differ in {differs}",
                hint="Evaluate all folds in the same way.",
            )
    return folds


def _open_fold(config: CrossfitConfig, dataset: Dataset, uri: str) -> Fold:
    data = open_storage(uri).read_bytes("evaluation.json")
    record = read_evaluation(data, f"{uri}/evaluation.json")
    origin = _fold_origin(record.sources["real"].uri)
    if origin is None or origin.dataset_version != dataset.manifest.version:
        raise UsageError(f"{uri} is not the evaluation of a fold of {dataset.uri}")
    if parse_config(CrossfitConfig, origin.config).changed(name=config.name) != config:
        hint = "Use the folds, seed, validation_share and worst_group that it was made with."
        raise UsageError(f"{uri} is of another division into folds", hint=hint)
    source = Source(uri=uri, version=hashlib.sha256(data).hexdigest())
    return Fold(origin.fold or 0, source, record, read_predictions(uri, record, "test"))


def _fold_origin(uri: str) -> FoldOrigin | None:
    """Returns how the fold was taken that a dataset is, or is the captioned form of."""
    origin = Dataset.open(uri).manifest.origin
    if isinstance(origin, CaptionOrigin):
        return _fold_origin(origin.dataset)
    return origin if isinstance(origin, FoldOrigin) else None


def _difference(one: EvaluationRecord, other: EvaluationRecord) -> str:
    """Names what two evaluations differ in that have to be alike; blank where they are."""
    if one.classes != other.classes:
        return "their classes"
    if one.utility.keys() != other.utility.keys():
        return "what they trained on"
    if one.lesiongen_version != other.lesiongen_version:
        return "the release of LesionGen"
    if _sampling(one) != _sampling(other):
        return "how their synthetic images were drawn"
    fields = (one.config.keys() | other.config.keys()) - _MAY_DIFFER
    return ", ".join(sorted(name for name in fields if one.config.get(name) != other.config.get(name)))


def _sampling(record: EvaluationRecord) -> object:
    origin = Dataset.open(record.sources["synthetic"].uri).manifest.origin
    return {**origin.config, "name": None} if isinstance(origin, SampleOrigin | SelectOrigin) else None


def fold_results(folds: Sequence[Fold]) -> tuple[FoldResult, ...]:
    """Returns what each fold contributes to the whole."""
    return tuple(
        FoldResult(
            fold=fold.number,
            evaluation=fold.source,
            images=len(fold.image_ids),
            lesions=fold.record.counts.test_lesions,
            excluded=fold.record.counts.test_excluded,
            classes=sum(bool(count) for count in fold.record.counts.test.per_class.values()),
            balanced_accuracy={name: scores.balanced_accuracy.mean for name, scores in fold.record.utility.items()},
        )
        for fold in folds
    )


def pooled_evaluation(config: CrossfitConfig, folds: Sequence[Fold]) -> EvaluationRecord:
    """Scores and compares the conditions on the test images of all folds.

    Classifiers of one seed are taken for one across the folds. The settings are those of the folds' evaluations.
    AUROC is the mean of the folds' own: probabilities of differently trained classifiers are not on one scale, and
    ranking them together would lower it (Forman and Scholz 2010).

    Raises:
        DataError: Two folds have tested on the same image.
    """
    first = folds[0].record
    settings = parse_config(EvaluateConfig, first.config).changed(worst_group=config.worst_group)
    primary, *further = folds[0].predictions
    results = _results(settings, folds, primary)
    test = results.material.test
    worst = _worst_group(settings, test)
    entries = utility_entries(results, worst)
    utility = cast("dict[Condition, ConditionScores]", entries["utility"])
    malignancy = cast("Malignancy", MalignantDiagnoses().measure(results)["malignancy"])
    return EvaluationRecord(
        name=config.name,
        lesiongen_version=__version__,
        config=settings.model_dump(mode="json"),
        classes=first.classes,
        protocol=_protocol(settings, folds),
        notes=tuple(f"Fold {fold.number}: {note}" for fold in folds for note in fold.record.notes),
        counts=Counts(
            test=PartCounts(n=len(test), per_class=dict(test.count(first.classes))),
            test_lesions=len(np.unique(test.lesions)),
            test_excluded=sum(fold.record.counts.test_excluded or 0 for fold in folds),
        ),
        classifier=first.classifier,
        further_classifiers={
            name: further_scores(results, name, _source(first, name), _outcomes(folds, name), worst) for name in further
        },
        malignancy=_ranked_by_fold(malignancy, folds),
        reconstruction=_reconstruction(results, folds),
        **{
            **entries,
            "utility": {
                name: scores.changed(auroc=_mean_score([fold.record.scores(name).auroc for fold in folds]))
                for name, scores in utility.items()
            },
        },
    )


def _source(record: EvaluationRecord, classifier: str) -> ClassifierSource:
    return record.further_classifiers[classifier].classifier


def _protocol(settings: EvaluateConfig, folds: Sequence[Fold]) -> Protocol:
    first = folds[0].record
    kind = first.classifier.kind if first.classifier else "small"
    made = describe_protocol(settings, kind, reconstruction="reconstruction" in first.utility)
    return made.changed(
        test=(
            f"The dataset was divided into {len(folds)} folds that share no lesion and no patient. Each was the test "
            "split of one evaluation, whose generator and classifiers learnt from the other folds alone. Scores are "
            "over the test images of all folds, classifiers of the same seed taken for one across the folds; AUROC is "
            "the mean of the folds' own, as the probabilities of different classifiers are not on one scale."
        )
    )


def _ranked_by_fold(malignancy: Malignancy, folds: Sequence[Fold]) -> Malignancy:
    """Returns the pooled shares with the mean of the folds' areas under the ROC curve."""
    ranked = {
        name: scores.changed(auroc=_mean_score([_malignant_auroc(fold, name) for fold in folds]))
        for name, scores in malignancy.conditions.items()
    }
    return malignancy.changed(conditions=ranked)


def _malignant_auroc(fold: Fold, condition: Condition) -> Score:
    found = fold.record.malignancy.conditions.get(condition)
    return Score() if found is None else found.auroc


def _mean_score(scores: Sequence[Score]) -> Score:
    """Returns the mean of the folds' scores, without an interval."""
    return Score(mean=_mean([score.mean for score in scores]))


def _reconstruction(results: Results, folds: Sequence[Fold]) -> Reconstruction | None:
    """Returns what the autoencoders lose over all folds; None where a fold was evaluated without reconstructions.

    How faithful the images are is the mean over the folds; an image is in the training split of several.
    """
    found = [fold.record.reconstruction for fold in folds]
    known = [each for each in found if each is not None]
    if len(known) < len(found):
        return None
    return Reconstruction(
        peak_signal_to_noise_db=_mean([each.peak_signal_to_noise_db for each in known]),
        laplacian_variance_ratio=_mean([each.laplacian_variance_ratio for each in known]),
        **losses_of_parts(results),
    )


def _mean(values: Sequence[float | None]) -> float | None:
    """Returns the mean over the folds in which a number is known."""
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def _worst_group(settings: EvaluateConfig, test: LabelledImages) -> WorstGroup:
    """Names the worst group by the configuration alone: every image is a test image."""
    if settings.worst_group is not None:
        return named_worst_group(settings.worst_group, test.table, settings.min_worst_group)
    return WorstGroup(
        explanation="No worst group is claimed: every image is tested on, so that none is left to name it on. "
        "crossfit.worst_group names it before the run."
    )


def _results(settings: EvaluateConfig, folds: Sequence[Fold], classifier: str) -> Results:
    classes = folds[0].record.classes
    # Of the captioned datasets: the tone that is measured on an image is a group of patients, too.
    tables = [_tested_rows(fold) for fold in folds]
    test = _without_pixels(tables, classes)
    if test.table["image_id"].duplicated().any():
        raise DataError("Two folds have tested on the same image", hint="Divide the dataset again.")
    none = _without_pixels([tables[0].iloc[:0]], classes)
    material = Material(classes, none, none, test, none, excluded={})
    return Results(settings, material, _outcomes(folds, classifier))


def _tested_rows(fold: Fold) -> pd.DataFrame:
    table = Dataset.open(fold.record.sources["real"].uri).metadata(_COLUMNS).set_index("image_id", drop=False)
    return table.assign(**subgroups_of(table)).loc[fold.image_ids]


def _without_pixels(tables: Sequence[pd.DataFrame], classes: Sequence[str]) -> LabelledImages:
    rows = pd.concat(tables, ignore_index=True)
    numbers = {name: number for number, name in enumerate(classes)}
    labels = rows["diagnosis"].map(numbers).to_numpy(dtype=np.int64)
    return LabelledImages(np.empty((len(rows), 0, 0, 3), dtype=np.uint8), labels, rows)


def _outcomes(folds: Sequence[Fold], classifier: str) -> dict[Condition, Predictions]:
    """Returns what a classifier predicted for the test images of all folds, by condition."""
    return {name: _joined(name, folds, classifier) for name in folds[0].record.utility}


def _joined(condition: Condition, folds: Sequence[Fold], classifier: str) -> Predictions:
    scores = [fold.scores(classifier)[condition] for fold in folds]
    probabilities = np.concatenate([fold.predictions[classifier].probabilities[condition] for fold in folds], axis=1)
    return Predictions(
        probabilities,
        probabilities[:, :0],  # no image is left that is not tested on
        validation=_means([one.validation_balanced_accuracy for one in scores]),
        steps=[round(step) for step in _means([one.picked_steps for one in scores])],
    )


def _means(of_folds: Sequence[Sequence[float | None]]) -> list[float]:
    """Returns the mean over the folds for each classifier."""
    return np.asarray(of_folds, dtype=np.float64).mean(axis=0).tolist()  # type: ignore[no-any-return]


def detectable_differences(evaluation: EvaluationRecord) -> dict[str, float | None]:
    """Returns, by comparison that was made, the difference that its test finds with a power of `POWER`.

    That is (z(1 - a/2) + z(power)) standard errors, of a two-sided test at the strictest level a of Holm's correction;
    the standard error is taken from the width of the bootstrap interval (Cohen 1988, section 2.1).
    """
    config = parse_config(EvaluateConfig, evaluation.config)
    covered = NormalDist().inv_cdf((1 + config.confidence) / 2)
    made = [entry for entry in evaluation.comparisons if not entry.not_computed]
    return {entry.name: _detectable(entry, config.significance_level, covered) for entry in made}


def _detectable(entry: Comparison, significance_level: float, covered: float) -> float | None:
    """Returns the smallest true difference that a comparison would have found with the power `POWER`."""
    if entry.low is None or entry.high is None:
        return None
    error = (entry.high - entry.low) / (2 * covered)
    level = significance_level / cast("int", entry.family)
    return (NormalDist().inv_cdf(1 - level / 2) + NormalDist().inv_cdf(POWER)) * error
