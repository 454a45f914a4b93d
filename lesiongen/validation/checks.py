"""The checks of the canonical dataset: one column each, what it must satisfy, and what it means when it does not."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from lesiongen.dataset import DIAGNOSES, MALIGNANCY, SPLITS, TONE_CLASSES
from lesiongen.validation.identifiers import OLDEST_AGE
from lesiongen.validation.thresholds import Severity, Thresholds

__all__ = ["CANONICAL_CHECKS", "Check", "Kind", "resolved"]

Kind = Literal["present", "absent", "unique", "in_set", "between"]


@dataclass(frozen=True)
class Check:
    """One expectation of one column, row by row.

    Attributes:
        name: By which a checks file names it.
        column: Column of the metadata, or one that was derived from pixels or from other rows.
        kind: What the column must be; ``absent`` columns hold, where filled, what is wrong. All kinds but ``present``
            pass a row that holds nothing.
        severity: Unless the configuration says otherwise.
        message: What it means for a row to fail; follows "1 image" or "each".
        why: Why it matters, for who reads the checks file.
        remedy: What to do about it, in sentences, where that is not plain.
        arguments: Bounds or allowed values.
        thresholds: Bounds that the configuration sets: the expectation's argument and the field of `Thresholds`.
        links: Whether the column names other images, which a report shows beside the row's own.
    """

    name: str
    column: str
    kind: Kind
    severity: Severity
    message: str
    why: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    thresholds: Mapping[str, str] = field(default_factory=dict)
    links: bool = False
    remedy: str = ""


def resolved(checks: Iterable[Check], config: Thresholds, prefix: str = "") -> list[Check]:
    """Returns the checks with the configured severities and bounds, without those that are off.

    Args:
        checks: Checks of one suite.
        config: Severities and bounds.
        prefix: Precedes a check's name in a checks file and from here on, such as ``ham10000.``.
    """
    made = []
    for check in checks:
        name = f"{prefix}{check.name}"
        bounds = {argument: getattr(config, bound) for argument, bound in check.thresholds.items()}
        severity = config.severities.get(name, check.severity)
        made.append(replace(check, name=name, severity=severity, arguments={**check.arguments, **bounds}))
    return [check for check in made if check.severity != "off"]


def _values(*allowed: str) -> dict[str, Any]:
    return {"value_set": list(allowed)}


_TABLE = (
    Check(
        "image_id_present", "image_id", "present", "error", "has no image_id",
        "Nothing that is found of the image could be traced back to it.",
    ),
    Check(
        "image_id_unique", "image_id", "unique", "error", "shares its image_id with another row",
        "Findings, captions and nearest neighbours would name two images at once.",
    ),
    Check(
        "diagnosis_present", "diagnosis", "present", "error", "has no diagnosis",
        "Captions, the sampling plan and the classifiers are all by diagnosis.",
    ),
    Check(
        "diagnosis_known", "diagnosis", "in_set", "warning",
        "has a diagnosis outside the known classes; captions use the label as given",
        "A misspelt label makes a class of its own. Where the label is meant, set this check to off.",
        _values(*DIAGNOSES, *MALIGNANCY),
    ),
    Check(
        "split_known", "split", "in_set", "error", "is in no known split",
        "Stages read train, validation and test; an image elsewhere is never used.",
        _values(*SPLITS),
    ),
    Check(
        "age_in_range", "age", "between", "error", "has an age outside 0 to 120 years",
        "Such an age is a code for something else, and captions would state it.",
        {"min_value": 0, "max_value": OLDEST_AGE},
    ),
    Check(
        "age_does_not_identify", "identifying_age", "absent", "warning", "is of a patient over 89 years",
        "So few people are that old that the age can name one of them. Captions say 90 years and over; the column does "
        "not: record such ages as 90 where the dataset is handed on.",
    ),
    Check(
        "ids_without_name", "id_like_name", "absent", "warning", "has an id that looks like a person's name",
        "Ids go wherever the dataset, its reports and its logs go. Replace them by numbers and ingest again.",
    ),
    Check(
        "ids_without_date", "id_like_date", "absent", "warning", "has an id that looks like a date",
        "A date of birth or of a visit leads to a person. Replace such ids by numbers of your own and ingest again.",
    ),
    Check(
        "ids_without_record_number", "id_like_record_number", "absent", "warning",
        "has an id that looks like a record number",
        "Whoever has the hospital's records finds the person. Replace such ids by other numbers and ingest again.",
    ),
    Check(
        "sex_known", "sex", "in_set", "error", "has a sex in unknown words",
        "Subgroups are formed by the word; two spellings are two groups.",
        _values("male", "female"),
    ),
    Check(
        "image_type_known", "image_type", "in_set", "error", "is neither dermoscopic nor clinical",
        "Measurements and captions depend on how the image was taken.",
        _values("dermoscopic", "clinical"),
    ),
    Check(
        "skin_tone_scale_present", "skin_tone_without_scale", "absent", "error",
        "has a skin tone on no named scale",
        "A 3 is another skin on the Fitzpatrick scale than on the Monk scale.",
    ),
    Check(
        "measured_tone_known", "measured_tone", "in_set", "error", "has a measured tone outside the ITA classes",
        "A measured tone is one of six classes of the individual typology angle, or nothing.",
        _values(*TONE_CLASSES),
    ),
    Check(
        "concepts_readable", "concepts_problem", "absent", "error", "has concepts that are not a clinical report",
        "The caption would leave out, or misread, what experts recorded.",
    ),
    Check(
        "licence_present", "licence", "present", "warning", "has no licence; who may use it is not known",
        "A model inherits the terms of what it was trained on; a release needs them.",
    ),
)  # fmt: skip
_PIXELS = (
    Check(
        "image_decodes", "decode_problem", "absent", "error", "cannot be decoded",
        "Training would stop at it, hours later.",
    ),
    Check(
        "image_is_rgb", "mode", "in_set", "error", "is not stored as RGB",
        "Other programs that read the dataset would see other colours than ours do.",
        _values("RGB"),
    ),
    Check(
        "image_format_known", "file_format", "in_set", "error", "is stored as neither JPEG nor PNG",
        "Those are the formats that every reader of the dataset decodes alike.",
        _values("JPEG", "PNG"),
    ),
    Check(
        "image_upright", "orientation_pending", "absent", "error",
        "lies on its side or its head: its EXIF orientation is not applied",
        "Readers differ in whether they apply it; captions and models would see the image turned.",
    ),
    Check(
        "image_without_private_metadata", "private_metadata", "absent", "error",
        "carries metadata that could identify a person",
        "Where and when, by whose camera: it goes wherever the image goes. Ingest removes it; ingest the images again.",
    ),
    Check(
        "image_not_blank", "contrast", "between", "error", "is blank, or all its pixels are nearly alike",
        "A photograph of skin, even of a single tone, varies by more than this.",
        thresholds={"min_value": "min_contrast"},
    ),
    Check(
        "image_large_enough", "min_side", "between", "warning", "is smaller than models are trained on",
        "It would be enlarged, and the model learns the blur.",
        thresholds={"min_value": "min_side"},
    ),
    Check(
        "image_sharp", "sharpness", "between", "warning", "is blurred, or shows nothing of structure",
        "A generator learns blur as readily as lesions; a caption names structures that cannot be seen.",
        thresholds={"min_value": "min_sharpness"},
    ),
    Check(
        "image_without_vignette", "vignette_share", "between", "info", "is in part hidden by the dermatoscope's rim",
        "A generator learns the rim too. It distinguishes devices, and with them clinics and diagnoses.",
        thresholds={"max_value": "max_vignette_share"},
    ),
)  # fmt: skip
_LINKS = (
    Check(
        "duplicate_across_splits", "twin_in_other_split", "absent", "error",
        "shows the same pixels as an image of another split; the test would reward remembering",
        "Scores on a test image that was trained on say nothing of new patients.", links=True,
    ),
    Check(
        "duplicate_within_split", "twin_in_same_split", "absent", "warning",
        "shows the same pixels as another image of its split; it counts twice",
        "Generators copy most readily what they have seen several times (Carlini et al. 2023).", links=True,
    ),
    Check(
        "duplicate_with_other_diagnosis", "twin_with_other_diagnosis", "absent", "warning",
        "shows the same pixels as an image with another diagnosis; one of the labels is wrong",
        "The model is taught both, and the caption of one of them is false.", links=True,
    ),
    Check(
        "near_duplicate_across_splits", "near_twin_in_other_split", "absent", "error",
        "shows a photograph of another split, changed a little in size, colours, coding, orientation or border",
        "A network recognises it as readily as the same pixels.",
        links=True,
        remedy="Leave one of the two out, or give both one lesion_id and ingest again. If they are different lesions, "
        "make this a warning: --set severities.near_duplicate_across_splits=warning, or in the checks file "
        "severities: {near_duplicate_across_splits: warning}.",
    ),
    Check(
        "look_alike_across_splits", "alike_in_other_split", "absent", "warning",
        "may show the photograph of an image of another split; look at both",
        "They agree more than different lesions do, and less than copies. If they are one photograph, leave one of "
        "them out.",
        links=True,
    ),
    Check(
        "near_duplicate_within_split", "near_twin_in_same_split", "absent", "warning",
        "shows another photograph of its split, changed a little; it would count twice",
        "As with the same pixels: what is seen more often is copied more often.",
        links=True,
    ),
    Check(
        "near_duplicate_with_other_diagnosis", "near_twin_with_other_diagnosis", "absent", "warning",
        "shows a photograph with another diagnosis, changed a little; one of the labels is wrong",
        "The model is taught both, and the caption of one of them is false.",
        links=True,
    ),
    Check(
        "duplicate_across_sources", "twin_in_other_source", "absent", "warning",
        "shows the same pixels as an image of another source",
        "Collections borrow from one another; numbers and licences then count an image twice.",
        links=True,
    ),
    Check(
        "near_duplicate_across_sources", "near_twin_in_other_source", "absent", "warning",
        "shows a photograph of another source, changed a little",
        "Collections borrow from one another, often resized; numbers and licences then count an image twice.",
        links=True,
    ),
    Check(
        "lesion_in_one_split", "lesion_in_other_split", "absent", "error", "is of a lesion in another split too",
        "Two photographs of a lesion are nearly one: the test would reward remembering.", links=True,
    ),
    Check(
        "patient_in_one_split", "patient_in_other_split", "absent", "error", "is of a patient in another split too",
        "A patient's skin, device and clinic recur in all of the patient's images.", links=True,
    ),
    Check(
        "case_in_one_split", "case_in_other_split", "absent", "error", "is of a case in another split too",
        "A case's images show one lesion.", links=True,
    ),
    Check(
        "lesion_of_one_patient", "lesion_of_other_patient", "absent", "warning", "is of a lesion of two patients",
        "Lesions were renumbered for each patient, or a patient has two names.", links=True,
    ),
    Check(
        "lesion_of_one_diagnosis", "lesion_with_other_diagnosis", "absent", "warning",
        "is of a lesion that has another diagnosis elsewhere",
        "One of the labels is wrong, or the lesion's number was given twice.", links=True,
    ),
    Check(
        "synthetic_in_train_only", "synthetic_outside_train", "absent", "error",
        "is synthetic or a reconstruction, and not in the train split; real images must be the test",
        "A score on generated images measures the generator with itself.",
    ),
)  # fmt: skip
CANONICAL_CHECKS = (*_TABLE, *_PIXELS, *_LINKS)
