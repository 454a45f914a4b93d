"""The whole cross-fitted evaluation on one machine: fold by fold through all stages, then the folds pooled."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pandas as pd

from lesiongen import __version__
from lesiongen.captions import CaptionConfig, caption
from lesiongen.crossfit.config import CrossfitConfig
from lesiongen.crossfit.folds import check_dataset, fold_name, take_fold
from lesiongen.crossfit.pool import CrossfitResult, pool_folds
from lesiongen.dataset import MANIFEST_NAME, Dataset
from lesiongen.dataset.subgroups import subgroups_of
from lesiongen.diffusion import FinetuneConfig, ReconstructConfig, SampleConfig, finetune, reconstruct, sample
from lesiongen.errors import UsageError
from lesiongen.evaluation import EvaluateConfig, evaluate
from lesiongen.evaluation.classifier.kinds.registry import check_classifier
from lesiongen.evaluation.measures.worst_group import named_worst_group
from lesiongen.evaluation.test_sets import check_test_sets
from lesiongen.names import captioned_name
from lesiongen.storage import as_json, open_storage

__all__ = ["StageConfigs", "crossfit"]

SETTINGS = "settings.json"
EVALUATION = "evaluation.json"

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class StageConfigs:
    """The settings of the stages, the same for every fold."""

    caption: CaptionConfig
    finetune: FinetuneConfig
    sample: SampleConfig
    reconstruct: ReconstructConfig
    evaluate: EvaluateConfig


def crossfit(
    config: CrossfitConfig,
    stages: StageConfigs,
    dataset_uri: str,
    output: str,
    *,
    only: Sequence[int] = (),
) -> CrossfitResult | tuple[int, ...]:
    """Captions, trains, samples, reconstructs and evaluates for every fold, and pools the folds.

    What is finished is found again: a call that was stopped or killed is repeated to go on, and a training resumes from
    its newest checkpoint. The settings are written down before anything is trained; other settings need another output.

    Args:
        config: How the dataset is divided.
        stages: The settings of the stages.
        dataset_uri: A dataset of real images; its own splits play no part.
        output: Folder or ``s3://`` prefix: a new one, or that of a call with the same settings.
        only: Only these folds, for several machines that share the output; they are pooled where all are finished.

    Returns:
        The result; the folds that are missing, where some are.

    Raises:
        UsageError: The output has other settings, or a fold or a classifier is unknown.
        Interrupted: SIGTERM or Ctrl-C came.
        DataError, StorageError, Diverged: As the stages raise them.
    """
    dataset = Dataset.open(dataset_uri)
    storage = open_storage(output)
    if wrong := [fold for fold in only if not 1 <= fold <= config.folds]:
        raise UsageError(f"fold = {wrong[0]}: must be from 1 to {config.folds}")
    _check_evaluation(stages.evaluate)
    _warn_of_a_small_group(config, stages.evaluate.min_worst_group, check_dataset(config, dataset))
    _keep_settings(output, config, stages, dataset)
    everything = range(1, config.folds + 1)
    for fold in only or everything:
        logger.info("Fold %d of %d", fold, config.folds)
        _fold(config, stages, dataset, f"{storage.uri}/fold{fold}", fold)
    evaluations = [f"{storage.uri}/fold{fold}/evaluation" for fold in everything]
    missing = tuple(fold for fold, uri in zip(everything, evaluations, strict=True) if not _holds(uri, EVALUATION))
    if missing:
        return missing
    return pool_folds(config, dataset.uri, evaluations, f"{storage.uri}/pooled")


def _check_evaluation(config: EvaluateConfig) -> None:
    """Refuses, before anything is trained, what every fold would refuse, and what is for one test split alone."""
    if config.worst_group is not None:
        hint = "Set crossfit.worst_group: it is for all folds together."
        raise UsageError("evaluate.worst_group is for one test split", hint=hint)
    if config.label_only_images is not None:
        hint = "Compare label-only captions on one split, with lesiongen evaluate."
        raise UsageError("evaluate.label_only_images is for one test split: its generator saw the others", hint=hint)
    check_test_sets(config, {})
    for name in config.classifiers:
        check_classifier(name)


def _warn_of_a_small_group(config: CrossfitConfig, least: int, table: pd.DataFrame) -> None:
    """Says before anything is trained that the worst group will not be claimed, where its images are too few."""
    groups = subgroups_of(table)
    if config.worst_group is None or (config.worst_group.startswith("measured_tone=") and not _captioned(groups)):
        return
    found = named_worst_group(config.worst_group, groups, least)
    if not found.column:
        logger.warning(found.explanation)


def _captioned(groups: pd.DataFrame) -> bool:
    """Tells whether tones have been measured."""
    return bool(groups["measured_tone"].notna().any())


def _keep_settings(output: str, config: CrossfitConfig, stages: StageConfigs, dataset: Dataset) -> None:
    """Writes down what all folds have in common, or refuses what differs from what is there."""
    storage = open_storage(output)
    settings = {
        "lesiongen_version": __version__,
        "crossfit": config.model_dump(mode="json"),
        "dataset_version": dataset.manifest.version,
        **{
            name: getattr(stages, name).model_dump(mode="json")
            for name in ("caption", "finetune", "sample", "reconstruct", "evaluate")
        },
    }
    storage.require_writable()
    if not storage.exists(SETTINGS):
        storage.create_bytes(SETTINGS, as_json(settings).encode())
    there = storage.read_json(SETTINGS)
    if there != settings:
        differ = [name for name in settings if not isinstance(there, dict) or there.get(name) != settings[name]]
        raise UsageError(
            f"{storage.uri} has a cross-fitted evaluation with other settings ({', '.join(differ)})",
            hint="Name another output, or repeat the call with the settings in settings.json there.",
        )


def _fold(config: CrossfitConfig, stages: StageConfigs, dataset: Dataset, place: str, fold: int) -> None:
    """Goes through the stages of one fold; what is published already is not made again."""
    real, captioned, model = f"{place}/dataset", f"{place}/captioned", f"{place}/model"
    synthetic, reconstructed = f"{place}/synthetic", f"{place}/reconstructed"
    evaluation = f"{place}/evaluation"
    if _holds(evaluation, EVALUATION):  # nothing before it is needed any more
        return
    name = fold_name(config.name, fold)
    _once(real, lambda: take_fold(config, dataset.uri, real, fold=fold))
    caption_config = stages.caption.changed(name=captioned_name(fold_name(dataset.manifest.name, fold)))
    _once(captioned, lambda: caption(caption_config, real, captioned))
    finetune(stages.finetune.changed(name=name), captioned, model)  # finds a finished training by itself
    _once(synthetic, lambda: sample(stages.sample, model, synthetic, dataset=captioned))
    _once(reconstructed, lambda: reconstruct(stages.reconstruct, model, captioned, reconstructed))
    evaluate(stages.evaluate.changed(name=name), captioned, synthetic, evaluation, reconstructed)


def _once(uri: str, make: Callable[[], object]) -> None:
    """Makes a dataset, unless it is there: its manifest, which is written last, says so."""
    if not _holds(uri, MANIFEST_NAME):
        make()


def _holds(uri: str, name: str) -> bool:
    return open_storage(uri).exists(name)
