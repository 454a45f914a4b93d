"""The small references that steps exchange; the bulk data stays where it is stored."""

import json
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from lesiongen.errors import UsageError

__all__ = [
    "DatasetReference",
    "EvaluationReference",
    "ModelReference",
    "Reference",
    "read_reference",
    "write_reference",
]


class _Reference(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    uri: str
    """Folder or ``s3://`` prefix that holds the data."""
    version: str
    """SHA-256 over the digests of all its files: equal data, equal version."""


class DatasetReference(_Reference):
    """A published dataset."""

    kind: Literal["dataset"] = "dataset"
    rows: int
    splits: dict[str, int]
    classes: dict[str, int]


class ModelReference(_Reference):
    """A published generator."""

    kind: Literal["model"] = "model"
    family: str
    method: str
    base: str


class EvaluationReference(_Reference):
    """A finished evaluation: its folder holds evaluation.json, report.html and the figures."""

    kind: Literal["evaluation"] = "evaluation"
    metrics: dict[str, float]


Reference = Annotated[DatasetReference | ModelReference | EvaluationReference, Field(discriminator="kind")]
_ADAPTER: TypeAdapter[DatasetReference | ModelReference | EvaluationReference] = TypeAdapter(Reference)


def write_reference(reference: BaseModel, path: str | Path) -> None:
    """Writes a reference as JSON."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(reference.model_dump_json(indent=2) + "\n", encoding="utf-8")


def read_reference(path: str | Path) -> DatasetReference | ModelReference | EvaluationReference:
    """Reads a reference back as the class that it was written from.

    Raises:
        UsageError: The file is absent or holds no reference.
    """
    try:
        return _ADAPTER.validate_python(json.loads(Path(path).read_text(encoding="utf-8")))
    except (OSError, ValueError, RecursionError) as error:
        raise UsageError(f"{path} contains no reference: {error}") from error
