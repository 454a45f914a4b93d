"""Everything that is measured once the classifiers are trained."""

from collections.abc import Mapping
from pathlib import Path

from PIL import Image

from lesiongen.evaluation.classifier.conditions import Outcome
from lesiongen.evaluation.config import EvaluateConfig
from lesiongen.evaluation.evidence import Evidence
from lesiongen.evaluation.material import Material
from lesiongen.evaluation.measures.measure import all_measures
from lesiongen.evaluation.measures.subgroups import absent_columns
from lesiongen.evaluation.report.protocol import describe_protocol
from lesiongen.records.evaluation import Condition, EvaluationRecord

__all__ = ["assess"]


def assess(
    config: EvaluateConfig,
    material: Material,
    outcomes: Mapping[Condition, Outcome],
    asked: EvaluationRecord,
    folder: Path,
) -> tuple[EvaluationRecord, dict[str, Image.Image]]:
    """Takes every measure of the folder ``measures`` of the trained classifiers and of the synthetic images.

    Args:
        config: How sure the numbers have to be.
        material: The images.
        outcomes: The trained classifiers of each condition.
        asked: What the record says of how the evaluation was made.
        folder: Where measures write files of their own.

    Returns:
        The whole of evaluation.json but its ``files``, and the pictures by name.
    """
    evidence, measures = Evidence(config, material, outcomes, folder), all_measures()
    entries = {name: entry for measure in measures for name, entry in measure.measure(evidence).items()}
    known = {name: entry for name, entry in entries.items() if name in EvaluationRecord.model_fields}
    evaluation = asked.changed(
        classes=material.classes,
        protocol=describe_protocol(config),
        notes=(*material.notes, *_absent_notes(config, material)),
        counts=material.counts,
        further={name: entry for name, entry in entries.items() if name not in known},
        **known,
    )
    pictures: dict[str, Image.Image] = {}
    for measure in measures:
        pictures |= measure.pictures(evidence, evaluation)
    return evaluation, pictures


def _absent_notes(config: EvaluateConfig, material: Material) -> list[str]:
    absent = absent_columns(material.test, config.subgroups)
    return [f"Subgroups by {', '.join(absent)} are not known: the test images hold no value."] if absent else []
