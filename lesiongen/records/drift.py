"""The content of ``drift.json``: how far a dataset is from a reference, and whether that is within the limits."""

from typing import Any, Literal

from pydantic import JsonValue

from lesiongen.records.base import Count, Number, Record
from lesiongen.records.evaluation import Source

__all__ = ["DriftReport", "PropertyDistance"]

Side = Literal["reference", "dataset"]


class PropertyDistance(Record):
    """Distance of one property between the reference and the dataset."""

    name: str
    method: str
    distance: Number
    chance: Number
    """Distance that random parts of both seldom exceed (``chance_percentile``)."""
    limit: Number
    """The larger one of the threshold and of ``chance``."""
    drifted: bool
    """Whether the distance is at least the threshold and above ``chance``."""
    known: dict[Side, Count]
    """Real images whose value is known."""


class DriftReport(Record):
    """Content of ``drift.json``."""

    schema_version: Literal[1] = 1
    name: str
    lesiongen_version: str
    created: str
    config: dict[str, JsonValue]
    sources: dict[Side, Source]
    images: dict[Side, Count]
    """Real images that were compared."""
    synthetic: dict[Side, Count]
    """Synthetic images, which were left out."""
    tool: str
    properties: tuple[PropertyDistance, ...]
    """Those furthest above their limit first."""
    absent: dict[str, str]
    """Properties that were not compared, and why: "not recorded in …", for example."""
    share_drifted: Number
    passed: bool
    reasons: tuple[str, ...]
    """Limits that were exceeded or could not be checked, in sentences; empty where it passed."""

    def content(self) -> dict[str, Any]:
        """Returns the report as it is stored."""
        return self.model_dump(mode="json")
