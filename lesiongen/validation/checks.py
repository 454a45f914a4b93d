"""The checks: one column each, what it must satisfy, and what it means when it does not."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from lesiongen.dataset import DIAGNOSES, SPLITS, TONE_CLASSES
from lesiongen.validation.config import Severity, ValidateConfig

__all__ = ["CHECK_NAMES", "Check", "class_checks", "row_checks"]

Kind = Literal["present", "absent", "unique", "in_set", "between"]


@dataclass(frozen=True)
class Check:
    """One expectation of one column, row by row.

    Attributes:
        name: By which a policy names it.
        column: Column of the metadata, or one that was derived from pixels or from other rows.
        kind: What the column must be; ``absent`` columns hold, where filled, what is wrong.
        severity: Unless the policy says otherwise.
        message: What it means for a row to fail.
        arguments: Bounds or allowed values.
    """

    name: str
    column: str
    kind: Kind
    severity: Severity
    message: str
    arguments: Mapping[str, Any] = field(default_factory=dict)


def row_checks(config: ValidateConfig) -> list[Check]:
    """Returns every check of rows with the configured bounds and severities, without those that are off."""
    bounds: dict[str, Mapping[str, Any]] = {
        "min_side": {"min_value": config.min_side},
        "contrast": {"min_value": config.min_contrast},
    }
    checks = []
    for check in _ROW_CHECKS:
        severity = config.severities.get(check.name, check.severity)
        arguments = bounds.get(check.column, check.arguments)
        checks.append(Check(check.name, check.column, check.kind, severity, check.message, arguments))
    return [check for check in checks if check.severity != "off"]


def class_checks(config: ValidateConfig) -> dict[str, Severity]:
    """Returns the severity of every check of classes and splits, without those that are off."""
    chosen = {name: config.severities.get(name, severity) for name, severity in _CLASS_CHECKS.items()}
    return {name: severity for name, severity in chosen.items() if severity != "off"}


def _values(*allowed: str) -> dict[str, Any]:
    return {"value_set": list(allowed)}


_ROW_CHECKS = (
    # the table
    Check("image_id_present", "image_id", "present", "error", "has no image_id"),
    Check("image_id_unique", "image_id", "unique", "error", "shares its image_id with another row"),
    Check("diagnosis_present", "diagnosis", "present", "error", "has no diagnosis"),
    Check(
        "diagnosis_known",
        "diagnosis",
        "in_set",
        "warning",
        "has a diagnosis outside the seven known classes; captions use the label as it stands",
        _values(*DIAGNOSES),
    ),
    Check("split_known", "split", "in_set", "error", "is in no known split", _values(*SPLITS)),
    Check(
        "age_in_range",
        "age",
        "between",
        "error",
        "has an age outside 0 to 120 years",
        {"min_value": 0, "max_value": 120},
    ),
    Check("sex_known", "sex", "in_set", "error", "has a sex in unknown words", _values("male", "female")),
    Check(
        "image_type_known",
        "image_type",
        "in_set",
        "error",
        "is neither dermoscopic nor clinical",
        _values("dermoscopic", "clinical"),
    ),
    Check(
        "measured_tone_known",
        "measured_tone",
        "in_set",
        "error",
        "has a measured tone outside the ITA classes",
        _values(*TONE_CLASSES),
    ),
    Check("concepts_readable", "concepts_problem", "absent", "error", "has concepts that are no clinical report"),
    Check("licence_present", "licence", "present", "warning", "has no licence; who may use it is not known"),
    # the pixels
    Check("image_decodes", "decode_problem", "absent", "error", "cannot be decoded"),
    Check("image_is_rgb", "mode", "in_set", "error", "is not stored as RGB", _values("RGB")),
    Check("image_not_blank", "contrast", "between", "error", "is blank, all pixels are nearly alike"),
    Check("image_large_enough", "min_side", "between", "warning", "is smaller than models are trained on"),
    # rows against rows
    Check(
        "duplicate_across_splits",
        "twin_in_other_split",
        "absent",
        "error",
        "shows the same pixels as an image of another split; the test would reward remembering",
    ),
    Check(
        "duplicate_within_split",
        "twin_in_same_split",
        "absent",
        "warning",
        "shows the same pixels as another image of its split; it counts twice",
    ),
    Check(
        "duplicate_with_other_diagnosis",
        "twin_with_other_diagnosis",
        "absent",
        "warning",
        "shows the same pixels as an image with another diagnosis; one of the labels is wrong",
    ),
    Check("lesion_in_one_split", "lesion_in_other_split", "absent", "error", "is of a lesion in another split too"),
    Check("patient_in_one_split", "patient_in_other_split", "absent", "error", "is of a patient in another split too"),
    Check("case_in_one_split", "case_in_other_split", "absent", "error", "is of a case in another split too"),
    Check("lesion_of_one_patient", "lesion_of_other_patient", "absent", "warning", "is of a lesion of two patients"),
    Check(
        "lesion_of_one_diagnosis",
        "lesion_with_other_diagnosis",
        "absent",
        "warning",
        "is of a lesion that has another diagnosis elsewhere",
    ),
    Check(
        "synthetic_in_train_only",
        "synthetic_outside_train",
        "absent",
        "error",
        "is synthetic and not in the train split; real patients must be the test",
    ),
)
_CLASS_CHECKS: dict[str, Severity] = {
    "split_has_images": "warning",
    "class_in_every_split": "warning",
    "class_large_enough_to_learn": "warning",
    "class_large_enough_to_judge": "warning",
}
CHECK_NAMES = (*(check.name for check in _ROW_CHECKS), *_CLASS_CHECKS)
