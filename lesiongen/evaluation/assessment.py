"""Everything that is measured once the classifiers are trained."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lesiongen.evaluation.config import EvaluateConfig
from lesiongen.evaluation.material import Material
from lesiongen.evaluation.measures.agreement import class_agreement
from lesiongen.evaluation.measures.comparisons import compare_conditions
from lesiongen.evaluation.measures.drift import measure_drift, properties
from lesiongen.evaluation.measures.fidelity import fidelity
from lesiongen.evaluation.measures.memorisation import (
    SHOWN,
    Neighbours,
    copy_threshold,
    find_copies,
    nearest_pairs,
    nearest_training_images,
)
from lesiongen.evaluation.measures.metrics import Resamples, calibration, condition_scores
from lesiongen.evaluation.measures.subgroups import absent_columns, group_gaps, subgroup_scores, worst_group
from lesiongen.evaluation.measures.utility import Outcome, best_condition
from lesiongen.evaluation.report.figures import (
    calibration_picture,
    confusion_picture,
    nearest_pairs_picture,
    recall_picture,
    samples_picture,
    similarity_picture,
)
from lesiongen.evaluation.report.protocol import describe_protocol
from lesiongen.records.evaluation import (
    ClassAgreement,
    Comparison,
    Condition,
    ConditionScores,
    Drift,
    EvaluationRecord,
    Fidelity,
    NearestPair,
)
from lesiongen.seeds import derive_seed

__all__ = ["Assessment", "assess"]


@dataclass(frozen=True)
class Assessment:
    """The whole of evaluation.json, the pictures by name, every synthetic image's nearest training image."""

    evaluation: EvaluationRecord
    pictures: dict[str, Image.Image]
    nearest: list[NearestPair]


def assess(
    config: EvaluateConfig,
    material: Material,
    outcomes: Mapping[Condition, Outcome],
    asked: EvaluationRecord,
    drift_html: Path,
) -> Assessment:
    """Scores the trained classifiers on the test split and compares the synthetic images with the real ones.

    Args:
        config: How sure the numbers have to be.
        material: The images.
        outcomes: The trained classifiers of each condition.
        asked: What the record says of how the evaluation was made.
        drift_html: Where evidently's report is written.
    """
    resamples = Resamples(
        material.test.lesions, config.n_bootstrap, config.confidence, derive_seed(config.seed, "bootstrap")
    )
    utility = {name: _score(config, material, outcome, resamples) for name, outcome in outcomes.items()}
    synthetic, held_out = _neighbours(material)
    images = (material.synthetic.table["image_id"].tolist(), material.train.table["image_id"].tolist())
    memorisation = find_copies(synthetic, held_out, images, config.copy_percentile)
    threshold = copy_threshold(held_out, config.copy_percentile)
    distances, agreement, drift = _against_real(config, material, outcomes["real"], drift_html)
    evaluation = asked.changed(
        classes=material.classes,
        protocol=describe_protocol(config),
        notes=(*material.notes, *_absent_notes(config, material)),
        counts=material.counts,
        utility=utility,
        best_condition=best_condition(outcomes),
        comparisons=_compare(config, material, outcomes, resamples),
        fidelity=distances,
        class_agreement=agreement,
        drift=drift,
        memorisation=memorisation,
    )
    pictures = {
        "recall": recall_picture(utility, material.classes),
        "confusion": confusion_picture(utility, material.classes),
        "samples": samples_picture(material, real=config.allow_real_images),
        "nearest_pairs": nearest_pairs_picture(
            material.synthetic, material.train, synthetic, shown=SHOWN, real=config.allow_real_images
        ),
        "similarity": similarity_picture(synthetic, held_out, threshold),
        "calibration": calibration_picture(
            material.test.labels, {name: outcome.probabilities for name, outcome in outcomes.items()}
        ),
    }
    return Assessment(evaluation, pictures, nearest_pairs(synthetic, images, threshold))


def _score(config: EvaluateConfig, material: Material, outcome: Outcome, resamples: Resamples) -> ConditionScores:
    test = material.test
    entries = subgroup_scores(
        test, outcome.predictions, len(material.classes), config.subgroups, config.min_group, resamples
    )
    plain = condition_scores(test.labels, outcome.predictions, material.classes, resamples)
    return plain.changed(
        calibration=calibration(test.labels, outcome.probabilities),
        subgroups=entries,
        worst_group=worst_group(entries),
        gaps=group_gaps(entries),
        validation_balanced_accuracy=tuple(outcome.validation),
        picked_steps=tuple(outcome.steps),
    )


def _compare(
    config: EvaluateConfig, material: Material, outcomes: Mapping[Condition, Outcome], resamples: Resamples
) -> tuple[Comparison, ...]:
    return compare_conditions(
        material.test.labels,
        {name: outcome.predictions for name, outcome in outcomes.items()},
        len(material.classes),
        resamples,
        permutations=config.n_permutations,
        significance_level=config.significance_level,
        seed=derive_seed(config.seed, "permutations"),
    )


def _neighbours(material: Material) -> tuple[Neighbours, Neighbours]:
    synthetic, held_out = nearest_training_images(material.train.images, material.synthetic.images, _held_out(material))
    return synthetic, held_out


def _held_out(material: Material) -> NDArray[np.uint8]:
    return np.concatenate([material.validation.images, material.test.images])


def _against_real(
    config: EvaluateConfig, material: Material, real: Outcome, drift_html: Path
) -> tuple[Fidelity, ClassAgreement, Drift]:
    """Fidelity, class agreement and drift, all seen by one classifier that was trained on real images."""
    model = real.best.model
    name = f"the classifier trained on real images (seed {real.best_seed}, {config.image_size} pixels)"
    chances = {
        part: model.probabilities(images.images)
        for part, images in (("train", material.train), ("synthetic", material.synthetic))
    }
    tables = [
        properties(material.train, chances["train"], material.classes),
        properties(material.synthetic, chances["synthetic"], material.classes),
    ]
    distances = fidelity(
        model.embed(material.train.images),
        model.embed(material.synthetic.images),
        model.embed(_held_out(material)),
        (material.train.labels, material.synthetic.labels),
        material.classes,
        extractor=f"penultimate features of {name}",
        seed=derive_seed(config.seed, "fidelity"),
    )
    agreement = class_agreement(material.synthetic.labels, chances["synthetic"], material.classes, name)
    return distances, agreement, measure_drift(tables[0], tables[1], drift_html)


def _absent_notes(config: EvaluateConfig, material: Material) -> list[str]:
    absent = absent_columns(material.test, config.subgroups)
    return [f"Subgroups by {', '.join(absent)} are not known: the test images hold no value."] if absent else []
