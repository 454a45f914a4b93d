"""The content of ``export.json``: what an export holds, and of which dataset it was made."""

import json
from typing import Literal

from pydantic import JsonValue

from lesiongen.records.base import Count, Number, Record, added
from lesiongen.records.documents import parsed_document

__all__ = ["ExportRecord", "ExportedCopies", "read_export"]


class ExportedCopies(Record):
    """What an evaluation found of near copies of training images among the images."""

    evaluation_sha256: str = ""
    """Version of the evaluation."""
    method: str = ""
    """How similarity is measured, in words."""
    threshold: Number = None
    """Similarity above which an image is a near copy."""
    percentile: Number = None
    """The threshold is this percentile of what held-out real images reach."""
    calibrated: bool = False
    """Whether enough held-out images set the threshold."""
    found: Count = None
    left_out: Count = None
    """How many of the found images are not in the export: all of them, or none."""
    search_above: Count = added(None)
    """How many of `search_images` several descriptors together call near copies; None where they did not search."""
    search_images: Count = added(None)
    above_chance: Number = added(None)
    """Share of these images less that of held-out real images."""
    of_training_images: bool | None = added(None)
    """Whether the real images are the dataset whose captions were drawn; None where that is not recorded."""


class ExportRecord(Record):
    """Content of ``export.json``. It names no address, no patient and no real image."""

    schema_version: Literal[1] = 1
    name: str = ""
    lesiongen_version: str = ""
    created: str = ""
    """UTC, ISO 8601."""
    dataset_version: str = ""
    """Version of the dataset that was exported."""
    config: dict[str, JsonValue] = {}
    model_versions: tuple[str, ...] = ()
    """Versions of the generators that drew the images, as far as they are recorded."""
    licence: str = ""
    attribution: str | None = None
    images: Count = None
    splits: dict[str, int] = {}
    diagnoses: dict[str, int] = {}
    """Number of images by code of the diagnosis."""
    measured_tones: dict[str, int] = {}
    """Number of images by the tone class that was measured on them; ``unknown`` where none was."""
    skin_tones: dict[str, int] = {}
    """Number of images by recorded tone and its scale; empty where none is recorded."""
    near_copies: ExportedCopies | None = None
    """None where no evaluation was given."""
    near_copies_left_out_before: Count = None
    """Near copies that a selection had dropped before; None where the dataset is not a selection that drops them."""

    def text(self) -> str:
        """Returns the document as it is stored."""
        return json.dumps(self.model_dump(mode="json"), indent=2, ensure_ascii=False, allow_nan=False) + "\n"

    def made_as(self, other: "ExportRecord") -> bool:
        """Tells whether two exports differ in nothing but the time of writing."""
        return self.changed(created="") == other.changed(created="")


def read_export(data: bytes, name: str) -> ExportRecord:
    """Reads ``export.json``.

    Args:
        data: Its content.
        name: Its address, for errors.

    Raises:
        DataError: It is not JSON, not an export, or was written by a later release.
    """
    hint = "Run export again."
    return ExportRecord.read(parsed_document(data, name, what="an export", hint=hint, key="dataset_version"))
