"""The canonical columns: one row is one image with everything that is known of it."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, fields
from itertools import accumulate
from typing import Any

import numpy as np
import pyarrow as pa

__all__ = ["SCHEMA", "SCHEMA_VERSION", "SPLITS", "TONE_CLASSES", "Sample", "sample_from_row", "samples_as_table"]

SCHEMA_VERSION = 1
SPLITS = ("train", "validation", "test")
TONE_CLASSES = ("very light", "light", "intermediate", "tan", "brown", "dark")


@dataclass(frozen=True, slots=True)
class Sample:
    """One image and what is known of it; what a source lacks is None, never guessed.

    Attributes:
        image: The encoded file (JPEG or PNG bytes), RGB, free of EXIF.
        image_id: Unique within the dataset.
        diagnosis: Class label; a code of the taxonomy wherever the source's label maps to one.
        original_diagnosis: The source's own label.
        lesion_id: The photographed lesion; images of one lesion share a split.
        patient_id: The patient; images of one patient share a split.
        case_id: The source's case, where one case has several images.
        age: Years.
        sex: ``male`` or ``female``.
        site: Anatomic site in the source's words.
        skin_tone: Recorded tone; never filled from a measurement.
        skin_tone_scale: Scale of ``skin_tone`` (``fitzpatrick``, ``monk``, ``ddi``, ``milk10k``).
        skin_tone_source: Who recorded ``skin_tone`` (``metadata``, ``expert``).
        measured_tone: Tone class of the skin in the image (`TONE_CLASSES`), from its ITA.
        image_type: ``dermoscopic`` or ``clinical``.
        device: The camera or the collection's sub-set.
        official_split: Split that the source's authors published.
        split: Split in this dataset, one of `SPLITS`.
        concepts: The clinical report as JSON (`lesiongen.concepts.Report`).
        caption: Text that the generator is trained on.
        provenance: Where the image comes from, as JSON; a synthetic image says so here.
        source: Name of the collection.
        licence: Licence of this image.
        attribution: Whom to name when it is used.
    """

    image: bytes
    image_id: str
    diagnosis: str
    split: str
    original_diagnosis: str | None = None
    lesion_id: str | None = None
    patient_id: str | None = None
    case_id: str | None = None
    age: float | None = None
    sex: str | None = None
    site: str | None = None
    skin_tone: str | None = None
    skin_tone_scale: str | None = None
    skin_tone_source: str | None = None
    measured_tone: str | None = None
    image_type: str | None = None
    device: str | None = None
    official_split: str | None = None
    concepts: str | None = None
    caption: str | None = None
    provenance: str | None = None
    source: str | None = None
    licence: str | None = None
    attribution: str | None = None


_ORDER = tuple(field.name for field in fields(Sample))
_IMAGE = pa.struct([pa.field("bytes", pa.binary()), pa.field("path", pa.string())])
_TYPES = {"image": _IMAGE, "age": pa.float32()}


def _hugging_face_features() -> dict[bytes, bytes]:
    """Describes the columns as the `datasets` library expects them in a Parquet schema."""
    features: dict[str, dict[str, str]] = {name: {"dtype": "string", "_type": "Value"} for name in _ORDER}
    features["image"] = {"_type": "Image"}
    features["age"] = {"dtype": "float32", "_type": "Value"}
    return {b"huggingface": json.dumps({"info": {"features": features}}).encode()}


SCHEMA: pa.Schema = pa.schema(
    [pa.field(name, _TYPES.get(name, pa.string())) for name in _ORDER], metadata=_hugging_face_features()
)


def samples_as_table(samples: Sequence[Sample]) -> pa.Table:
    """Returns samples as a table of `SCHEMA`; the images are copied once."""
    images = [sample.image for sample in samples]
    ends = np.fromiter(accumulate(map(len, images), initial=0), dtype=np.int32, count=len(images) + 1)
    data = pa.Array.from_buffers(
        pa.binary(), len(images), [None, pa.py_buffer(ends.tobytes()), pa.py_buffer(b"".join(images))]
    )
    columns = {"image": pa.StructArray.from_arrays([data, pa.nulls(len(images), pa.string())], fields=list(_IMAGE))}
    for name in _ORDER[1:]:
        columns[name] = pa.array([getattr(sample, name) for sample in samples], SCHEMA.field(name).type)
    return pa.table(columns, schema=SCHEMA)


def sample_from_row(row: dict[str, Any]) -> Sample:
    """Returns a row of `SCHEMA` as a sample."""
    values = {field.name: row[field.name] for field in fields(Sample)}
    values["image"] = row["image"]["bytes"]
    return Sample(**values)
