"""The canonical dataset: Parquet shards named by split, a manifest written last, splits that part no lesion."""

from lesiongen.dataset.age_bands import AGE_BANDS, age_bands
from lesiongen.dataset.derived import derive
from lesiongen.dataset.manifest import MANIFEST_NAME, DatasetManifest, Shard
from lesiongen.dataset.parts import Part, join_parts, part_of
from lesiongen.dataset.reader import Dataset
from lesiongen.dataset.schema import SCHEMA, SCHEMA_VERSION, SPLITS, TONE_CLASSES, Sample
from lesiongen.dataset.splits import GROUP_COLUMNS, assign_splits, groups
from lesiongen.dataset.taxonomy import (
    DIAGNOSES,
    FIRST_LEVELS,
    MALIGNANCY,
    REFERENCE_DIAGNOSES,
    Diagnosis,
    diagnosis_phrase,
    is_malignant,
    overlapping_classes,
    resolve_diagnosis,
)
from lesiongen.dataset.writer import DatasetWriter

__all__ = [
    "AGE_BANDS",
    "DIAGNOSES",
    "FIRST_LEVELS",
    "MALIGNANCY",
    "GROUP_COLUMNS",
    "MANIFEST_NAME",
    "REFERENCE_DIAGNOSES",
    "SCHEMA",
    "SCHEMA_VERSION",
    "SPLITS",
    "TONE_CLASSES",
    "Dataset",
    "DatasetManifest",
    "DatasetWriter",
    "Diagnosis",
    "Part",
    "Sample",
    "Shard",
    "age_bands",
    "assign_splits",
    "derive",
    "diagnosis_phrase",
    "is_malignant",
    "groups",
    "join_parts",
    "overlapping_classes",
    "part_of",
    "resolve_diagnosis",
]
