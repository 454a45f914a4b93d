"""JSON Schemas of the documents that stages exchange, for programs that read them without LesionGen."""

import json
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from lesiongen.records.card import CardRecord
from lesiongen.records.crossfit import CrossfitRecord
from lesiongen.records.decision import Decision
from lesiongen.records.drift import DriftReport
from lesiongen.records.evaluation import EvaluationRecord
from lesiongen.records.export import ExportRecord
from lesiongen.records.history import HistoryCheck, HistoryEvent
from lesiongen.records.merge import MergeReport
from lesiongen.records.model import ModelManifest
from lesiongen.records.origin import Origin
from lesiongen.records.provenance import ReconstructedProvenance, SyntheticProvenance
from lesiongen.records.seen import SeenImages
from lesiongen.records.selection import SelectionReport
from lesiongen.records.sweep import SweepRecord

__all__ = ["SCHEMAS", "json_schema", "write_schemas"]

SCHEMAS: dict[str, Any] = {
    "card": CardRecord,
    "crossfit": CrossfitRecord,
    "decision": Decision,
    "drift": DriftReport,
    "evaluation": EvaluationRecord,
    "export": ExportRecord,
    "history_check": HistoryCheck,
    "history_event": HistoryEvent,
    "merge_report": MergeReport,
    "model": ModelManifest,
    "origin": Origin,
    "provenance": SyntheticProvenance | ReconstructedProvenance,
    "seen": SeenImages,
    "selection": SelectionReport,
    "sweep": SweepRecord,
}
"""The record of each published schema."""


def json_schema(name: str) -> dict[str, Any]:
    """Returns the JSON Schema (2020-12) of one of `SCHEMAS`, as its documents are written."""
    schema = TypeAdapter(SCHEMAS[name]).json_schema(mode="serialization")
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def write_schemas(folder: str | Path) -> None:
    """Writes every schema as ``<name>.schema.json`` into a folder."""
    for name in SCHEMAS:
        text = json.dumps(json_schema(name), indent=2, ensure_ascii=False) + "\n"
        (Path(folder) / f"{name}.schema.json").write_text(text, encoding="utf-8")
