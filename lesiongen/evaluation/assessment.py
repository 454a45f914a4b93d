"""Everything that is measured once the classifiers are trained."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from PIL import Image

from lesiongen.evaluation.classifier.conditions import Trained
from lesiongen.evaluation.concepts.sources import ConceptSources
from lesiongen.evaluation.config import EvaluateConfig
from lesiongen.evaluation.evidence import Evidence
from lesiongen.evaluation.extractor import Extracted
from lesiongen.evaluation.material import Material
from lesiongen.evaluation.measures.measure import Measure, all_measures
from lesiongen.evaluation.measures.subgroups import absent_columns
from lesiongen.evaluation.report.protocol import describe_protocol
from lesiongen.records.evaluation import MEASURED, EvaluationRecord

__all__ = ["assess"]


def assess(
    config: EvaluateConfig,
    material: Material,
    trained: Mapping[str, Trained],
    asked: EvaluationRecord,
    folder: Path,
    concept_sources: ConceptSources | None = None,
    extracted: Extracted | None = None,
) -> tuple[EvaluationRecord, dict[str, Image.Image]]:
    """Takes every measure of the folder ``measures`` of the trained classifiers and of the synthetic images.

    Args:
        config: How sure the numbers have to be.
        material: The images.
        trained: What each kind of classifier says of every condition, the primary one first.
        asked: What the record says of how the evaluation was made.
        folder: Where measures write files of their own.
        concept_sources: What concept fidelity is measured on; None: it is not measured.
        extracted: Features by the extractor that the configuration names.

    Returns:
        The whole of evaluation.json but its ``files``, and the figures by name.
    """
    evidence = Evidence.of(config, material, trained, folder, concept_sources, extracted)
    measures = all_measures()
    entries = _entries(measures, evidence)
    known = {name: entry for name, entry in entries.items() if name in MEASURED}
    evaluation = asked.changed(
        classes=material.classes,
        protocol=describe_protocol(
            config,
            evidence.primary.source.kind,
            reconstruction=material.reconstructed is not None,
            test_sets=material.elsewhere,
        ),
        notes=(*material.notes, *_absent_notes(config, material)),
        counts=material.counts,
        further={name: entry for name, entry in entries.items() if name not in known},
        **known,
    )
    figures: dict[str, Image.Image] = {}
    for measure in measures:
        figures |= measure.figures(evidence, evaluation)
    return evaluation, figures


def _entries(measures: Sequence[Measure], evidence: Evidence) -> dict[str, object]:
    """Takes the measures, and refuses an entry that is not theirs or that two of them claim.

    Raises:
        ValueError: A measure returns such an entry.
    """
    entries: dict[str, object] = {}
    for measure in measures:
        for name, entry in measure.measure(evidence).items():
            if name in entries or name in EvaluationRecord.model_fields.keys() - MEASURED:
                raise ValueError(f"{type(measure).__name__} returns the entry {name}, which is not its own")
            entries[name] = entry
    return entries


def _absent_notes(config: EvaluateConfig, material: Material) -> list[str]:
    absent = absent_columns(material.test.table, config.subgroups)
    return [f"Subgroups by {', '.join(absent)} are not known: the test images hold no value."] if absent else []
