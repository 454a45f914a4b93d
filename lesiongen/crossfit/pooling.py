"""The test images of all folds together: each image of the dataset, predicted by classifiers that never saw it."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray

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
from lesiongen.evaluation.measures.malignancy import MalignantDiagnoses
from lesiongen.evaluation.measures.reconstruction import losses_of_parts
from lesiongen.evaluation.measures.utility import utility_entries
from lesiongen.evaluation.measures.worst_group import named_worst_group
from lesiongen.evaluation.predictions import KeptPredictions, read_predictions
from lesiongen.evaluation.report.protocol import describe_protocol
from lesiongen.records.crossfit import FoldResult
from lesiongen.records.evaluation import (
    Comparison,
    Condition,
    Counts,
    EvaluationRecord,
    PartCounts,
    Reconstruction,
    Source,
    WorstGroup,
    read_evaluation,
)
from lesiongen.records.origin import CaptionOrigin, FoldOrigin
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
        test: Its predictions of the fold's images.
        validation: Those of the images that states and settings were chosen on.
    """

    number: int
    source: Source
    record: EvaluationRecord
    test: KeptPredictions
    validation: KeptPredictions


def open_folds(config: CrossfitConfig, dataset: Dataset, uris: Sequence[str]) -> list[Fold]:
    """Reads the evaluations of all folds, in the order of the folds.

    Args:
        config: How the dataset was divided.
        dataset: The dataset that was divided.
        uris: The evaluations, in any order.

    Raises:
        UsageError: One is not of a fold of this dataset, divided in this way; a fold is missing or given twice; or the
            evaluations differ in their settings, classes or release.
        DataError: A file is damaged.
        StorageError: There is no evaluation at an address.
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
        raise UsageError(
            f"{uri} is of another division into folds", hint="Name the number of folds and the seed of it."
        )
    test, validation = (read_predictions(uri, record, split) for split in ("test", "validation"))
    source = Source(uri=uri, version=hashlib.sha256(data).hexdigest())
    return Fold(origin.fold or 0, source, record, test, validation)


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
    fields = (one.config.keys() | other.config.keys()) - _MAY_DIFFER
    return ", ".join(sorted(name for name in fields if one.config.get(name) != other.config.get(name)))


def fold_results(dataset: Dataset, folds: Sequence[Fold]) -> tuple[FoldResult, ...]:
    """Returns what each fold contributes to the whole."""
    lesions = dataset.metadata(["image_id", "lesion_id"]).set_index("image_id")["lesion_id"]
    lesions = lesions.fillna(pd.Series(lesions.index, index=lesions.index))
    return tuple(
        FoldResult(
            fold=fold.number,
            evaluation=fold.source,
            images=len(fold.test.image_ids),
            lesions=lesions[fold.test.image_ids].nunique(),
            excluded=fold.record.counts.test_excluded,
            balanced_accuracy={name: scores.balanced_accuracy.mean for name, scores in fold.record.utility.items()},
        )
        for fold in folds
    )


def pooled_evaluation(folds: Sequence[Fold]) -> EvaluationRecord:
    """Scores and compares the conditions on the test images of all folds.

    Classifiers of one seed are taken for one across the folds. The settings are those of the folds' evaluations.

    Raises:
        DataError: Two folds have tested on the same image.
    """
    first = folds[0].record
    config = parse_config(EvaluateConfig, first.config)
    results = _results(config, folds)
    test = results.material.test
    made = describe_protocol(config).changed(test=_tested(len(folds)))
    counts = Counts(
        test=PartCounts(n=len(test), per_class=dict(test.count(first.classes))),
        test_lesions=len(np.unique(test.lesions)),
        test_excluded=sum(fold.record.counts.test_excluded or 0 for fold in folds),
    )
    return EvaluationRecord(
        name=first.name,
        lesiongen_version=__version__,
        config=config.model_dump(mode="json"),
        classes=first.classes,
        protocol=made,
        counts=counts,
        **utility_entries(results, _worst_group(config, test)),
        **MalignantDiagnoses().measure(results),
        reconstruction=_reconstruction(results, folds),
    )


def _reconstruction(results: Results, folds: Sequence[Fold]) -> Reconstruction | None:
    """Returns what the autoencoders lose over all folds; None where a fold was evaluated without reconstructions."""
    found = [fold.record.reconstruction for fold in folds]
    known = [each for each in found if each is not None]
    if len(known) < len(found):
        return None
    return Reconstruction(
        n=sum(each.n or 0 for each in known),
        peak_signal_to_noise_db=_mean([each.peak_signal_to_noise_db for each in known]),
        laplacian_variance_ratio=_mean([each.laplacian_variance_ratio for each in known]),
        **losses_of_parts(results),
    )


def _mean(values: Sequence[float | None]) -> float | None:
    """Returns the mean over the folds in which a number is known."""
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def _worst_group(config: EvaluateConfig, test: LabelledImages) -> WorstGroup:
    """Names the worst group by the configuration alone: there is no image that is not a test image."""
    if config.worst_group is not None:
        return named_worst_group(config.worst_group, test.table, config.min_worst_group)
    return WorstGroup(
        explanation="No worst group is claimed: every image is tested on, so that none is left to name it on. "
        "worst_group in the configuration names it before the run."
    )


def _tested(folds: int) -> str:
    return (
        f"The dataset was divided into {folds} folds that share no lesion and no patient. Each was the test split of "
        "one evaluation, for which captions, generator and classifiers were made from the other folds alone. Scores "
        "are over the test images of all folds; classifiers of the same seed are taken for one across the folds."
    )


def _results(config: EvaluateConfig, folds: Sequence[Fold]) -> Results:
    classes = folds[0].record.classes
    # Of the captioned datasets: the tone that is measured on an image is a group of patients, too.
    tables = [_columns(Dataset.open(fold.record.sources["real"].uri)) for fold in folds]
    parts = list(zip(tables, folds, strict=True))
    test = _without_pixels([table.loc[fold.test.image_ids] for table, fold in parts], classes)
    if test.table["image_id"].duplicated().any():
        raise DataError("Two folds have tested on the same image", hint="Divide the dataset again.")
    validation = _without_pixels([table.loc[fold.validation.image_ids] for table, fold in parts], classes)
    none = _without_pixels([tables[0].iloc[:0]], classes)
    material = Material(classes, none, validation, test, none, excluded={})
    return Results(config, material, {name: _joined(name, folds) for name in folds[0].record.utility})


def _columns(dataset: Dataset) -> pd.DataFrame:
    table = dataset.metadata(_COLUMNS).set_index("image_id", drop=False)
    return table.assign(**subgroups_of(table))


def _without_pixels(tables: Sequence[pd.DataFrame], classes: Sequence[str]) -> LabelledImages:
    rows = pd.concat(tables, ignore_index=True)
    numbers = {name: number for number, name in enumerate(classes)}
    labels = rows["diagnosis"].map(numbers).to_numpy(dtype=np.int64)
    return LabelledImages(np.empty((len(rows), 0, 0, 3), dtype=np.uint8), labels, rows)


def _joined(condition: Condition, folds: Sequence[Fold]) -> Predictions:
    scores = [fold.record.scores(condition) for fold in folds]
    return Predictions(
        _along_images([fold.test.probabilities for fold in folds], condition),
        _along_images([fold.validation.probabilities for fold in folds], condition),
        validation=_means([one.validation_balanced_accuracy for one in scores]),
        steps=[round(step) for step in _means([one.picked_steps for one in scores])],
    )


def _means(of_folds: Sequence[Sequence[float | None]]) -> list[float]:
    """Returns the mean over the folds for each classifier."""
    return np.asarray(of_folds, dtype=np.float64).mean(axis=0).tolist()  # type: ignore[no-any-return]


def _along_images(
    probabilities: Sequence[Mapping[Condition, NDArray[np.float32]]], condition: Condition
) -> NDArray[np.float32]:
    return np.concatenate([each[condition] for each in probabilities], axis=1)


def detectable_differences(evaluation: EvaluationRecord) -> dict[str, float | None]:
    """Returns, by comparison, the difference that its test finds with a power of `POWER`.

    That is (z(1 - a/2) + z(power)) standard errors, of a two-sided test at the strictest level a of Holm's correction;
    the standard error is taken from the width of the bootstrap interval (Cohen 1988, section 2.1).
    """
    config = parse_config(EvaluateConfig, evaluation.config)
    covered = NormalDist().inv_cdf((1 + config.confidence) / 2)
    return {entry.name: _detectable(entry, config.significance_level, covered) for entry in evaluation.comparisons}


def _detectable(entry: Comparison, significance_level: float, covered: float) -> float | None:
    if entry.low is None or entry.high is None:
        return None
    error = (entry.high - entry.low) / (2 * covered)
    level = significance_level / cast("int", entry.family)
    return (NormalDist().inv_cdf(1 - level / 2) + NormalDist().inv_cdf(POWER)) * error
